"""What an annotation reads: photos, videos, folders of both, streams and cameras; each has its own files to write."""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from align import UsageError, image_suffixes, printable
from curate import VIDEO_SUFFIXES

Kind = Literal["photo", "video", "stream", "camera"]

PHOTO_TABLE = "photos.csv"
"""The one table of all photos; each video has its own."""

_FILES = ("http://", "https://", "file://", "ftp://")

_CAMERA = re.compile(r"camera(?::(\d+))?")
_JPEG = frozenset({".jpg", ".jpeg"})


@dataclass(frozen=True)
class Input:
    """One thing to annotate.

    Attributes:
        kind: What it is.
        address: Path of a file, address of a stream, or number of a camera.
        source: How it is called in tables and sentences.
        name: What the files that are written of it are called, without suffix, relative to the output folder.
    """

    kind: Kind
    address: Path | str | int
    source: str
    name: str

    @property
    def is_endless(self) -> bool:
        """Whether it may go on until somebody ends it."""
        return self.kind in ("stream", "camera")

    @property
    def is_live(self) -> bool:
        """Whether it does not wait for us: a camera, or a stream that is no file on a server."""
        return self.kind == "camera" or (self.kind == "stream" and not str(self.address).startswith(_FILES))

    @property
    def picture(self) -> str:
        """File name of the annotated video or photo, relative to the output folder."""
        if self.kind != "photo":
            return f"{self.name}.mp4"
        is_jpeg = isinstance(self.address, Path) and self.address.suffix.lower() in _JPEG
        return f"{self.name}.{'jpg' if is_jpeg else 'png'}"

    @property
    def table(self) -> str:
        """File name of the table."""
        return PHOTO_TABLE if self.kind == "photo" else f"{self.name}.csv"

    @property
    def timeline(self) -> str:
        """File name of the plot of the answers over time; photos have none."""
        return f"{self.name}.timeline.png"

    @property
    def own_files(self) -> tuple[str, ...]:
        """What is written of this input alone."""
        return (self.picture,) if self.kind == "photo" else (self.picture, self.table, self.timeline)


def list_inputs(given: Sequence[str], out: Path) -> list[Input]:
    """List what the arguments name, each once: in their order, what is below a folder sorted.

    Args:
        given: Files, folders, quoted globs, addresses with `://`, and `camera:0`.
        out: The output folder; nothing in it is read.

    Raises:
        UsageError: Something is not there, a folder holds nothing that is known, or a result would lie over an input.
    """
    found: dict[str, Input] = {}
    for argument in given:
        for item in _inputs(argument, out):
            key = os.path.realpath(item.address) if isinstance(item.address, Path) else f"{item.kind} {item.address}"
            found.setdefault(key, item)
    if not found:
        raise UsageError("expected photos, videos, folders, a stream's address or camera:0 (got none)")
    inputs = _told_apart(list(found.values()))
    for item in inputs:
        for name in item.own_files:
            if os.path.realpath(out / name) in found:
                raise UsageError(f"--out {out}: {name} would be written over an input; name another folder")
    return inputs


def _inputs(argument: str, out: Path) -> Iterator[Input]:
    camera = _CAMERA.fullmatch(argument)
    if camera:
        number = int(camera[1] or 0)
        yield Input("camera", number, f"camera:{number}", f"camera-{number}")
    elif "://" in argument:
        shown = re.sub(r"//[^/@]*@", "//", argument)  # without user and password
        name = re.sub(r"[^\w.-]+", "-", shown.partition("://")[2].partition("?")[0]).strip("-.")
        yield Input("stream", argument, shown, name or "stream")
    else:
        for path in _paths(argument):
            yield from _below(path, out) if path.is_dir() else [_file(path, Path(path.name))]


def _paths(argument: str) -> list[Path]:
    if os.path.lexists(argument):
        return [Path(argument)]
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207  a pattern may begin anywhere
    if not matches:
        raise UsageError(f"{printable(argument)}: expected a photo, a video or a folder (no such file)")
    return [Path(match) for match in matches]


def _below(folder: Path, out: Path) -> list[Input]:
    """List the photos and videos below a folder."""
    known = VIDEO_SUFFIXES | image_suffixes()
    written = os.path.realpath(out)
    inside = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if os.path.realpath(Path(root, name)) != written)
        inside += [Path(root, name) for name in sorted(files) if Path(name).suffix.lower() in known]
    if not inside:
        raise UsageError(f"{printable(folder)}: expected photos or videos in it (found none)")
    return [_file(path, path.relative_to(folder)) for path in inside]


def _file(path: Path, relative: Path) -> Input:
    """Tell a photo from a video; a file of a suffix that is not known is taken for a video, which FFmpeg judges."""
    suffix = path.suffix.lower()
    kind: Kind = "photo" if suffix in image_suffixes() - VIDEO_SUFFIXES else "video"
    name = printable(relative.with_suffix(""))
    return Input(kind, path, printable(path), name)


def _told_apart(inputs: list[Input]) -> list[Input]:
    """Give those a longer name that would write the same file, also where upper and lower case are one."""
    counts = Counter(name.casefold() for item in inputs for name in {*item.own_files, item.table})
    counts[PHOTO_TABLE] = 1 + any(item.kind != "photo" and item.name.casefold() == "photos" for item in inputs)
    return [
        replace(item, name=f"{item.name}-{_digest(item)}")
        if any(counts[name.casefold()] > 1 for name in item.own_files)
        else item
        for item in inputs
    ]


def _digest(item: Input) -> str:
    """Digest an input's address, the same wherever it stands in a list."""
    return blake2b(os.fsencode(str(item.address)), digest_size=4).hexdigest()
