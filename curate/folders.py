"""Pictures in folders named after splits: their digests and hashes, and what of them stands on two sides.

Works on any folder of `train`, `val` and `test` (or one of `ALIASES`), with or without a folder a class. Memory is a
few dozen pictures of at most some 256 px a thread, and a hash and a digest for each; the pictures are not kept.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from align import ImageError, UsageError, image_suffixes, load_image, printable

from . import hashing

ALIASES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of a split's folder, upper and lower case alike -> the side."""

_MOST_THREADS = 4
_CHUNK = 64
_ENOUGH_PX = 256  # of the shorter side: four times what the widest hash looks at

Progress = Callable[[int, int], None]
"""Called with pictures done, and pictures in all."""


@dataclass(frozen=True)
class Picture:
    """One file.

    Attributes:
        path: The file.
        name: Its path below the folder, as text.
        side: `train`, `val` or `test`.
        label: Its folder below the side's, None where it lies in the side's own.
    """

    path: Path
    name: str
    side: str
    label: str | None


@dataclass(frozen=True)
class Pictures:
    """The readable pictures of a folder, sorted by name, with what was computed of them.

    Attributes:
        items: N pictures.
        digest: object [N], of the decoded pixels: two that are equal are copies, whatever their format.
        h: uint64 [N, words], 0 where the picture is flat.
        mirrored: Likewise, of their mirror images.
        flat: bool [N]: nearly one grey, so that the hash says nothing.
        unreadable: One sentence for each file that cannot be read.
    """

    items: Sequence[Picture]
    digest: NDArray[np.object_]
    h: hashing.Words
    mirrored: hashing.Words
    flat: NDArray[np.bool_]
    unreadable: tuple[str, ...] = field(default=())


def list_pictures(folder: Path) -> list[Picture]:
    """List the pictures in the split folders of `folder`, sorted by name.

    Raises:
        UsageError: There is no such folder, it has no folder that is called as a split, or no picture.
    """
    if not folder.is_dir():
        raise UsageError(f"{printable(folder)}: expected a folder (not found); mend the path")
    sides = [(entry, ALIASES[entry.name.lower()]) for entry in sorted(folder.iterdir()) if _is_side(entry)]
    if not sides:
        raise UsageError(
            f"{printable(folder)}: expected a curated set, or folders called {', '.join(ALIASES)} (found neither)"
        )
    suffixes = image_suffixes()
    found = [picture for entry, side in sides for picture in _below(entry, folder, side, suffixes)]
    if not found:
        raise UsageError(
            f"{printable(folder)}: expected pictures in {', '.join(e.name for e, _ in sides)} (found none)"
        )
    return sorted(found, key=lambda picture: picture.name)


def hash_pictures(pictures: Sequence[Picture], algorithm: str, bits: int, progress: Progress | None = None) -> Pictures:
    """Read every picture once and hash it.

    Args:
        pictures: What to read.
        algorithm: A key of `hashing.ALGORITHMS`.
        bits: 64 or 256.
        progress: Told of pictures that are done.

    Returns:
        What was found; the result does not depend on threads.
    """
    chunks = [pictures[start : start + _CHUNK] for start in range(0, len(pictures), _CHUNK)]
    read: list[_Read] = []
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for done in pool.map(partial(_read_chunk, algorithm=algorithm, bits=bits), chunks):
            read.extend(done)
            if progress is not None:
                progress(len(read), len(pictures))
    good = [(picture, one) for picture, one in zip(pictures, read, strict=True) if one.error is None]
    return Pictures(
        [picture for picture, _ in good],
        np.array([*(one.digest for _, one in good), None], object)[:-1],
        np.array([one.h for _, one in good], np.uint64).reshape(-1, bits // 64),
        np.array([one.mirrored for _, one in good], np.uint64).reshape(-1, bits // 64),
        np.array([one.flat for _, one in good], np.bool_),
        tuple(one.error for one in read if one.error is not None),
    )


@dataclass
class _Read:
    """What became of one file."""

    digest: bytes = b""
    h: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    mirrored: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    flat: bool = False
    error: str | None = None


def _read_chunk(pictures: Sequence[Picture], algorithm: str, bits: int) -> list[_Read]:
    """Read some pictures, and hash together those that could be read."""
    done, small = [], []
    for picture in pictures:
        try:
            image = load_image(picture.path)
        except ImageError as error:
            done.append(_Read(error=str(error)))
            continue
        digest = blake2b(repr(image.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(image).data)
        done.append(_Read(digest.digest()))
        small.append(_reduced(image))
    good = [one for one in done if one.error is None]
    hashes, flat = hashing.ALGORITHMS[algorithm](small, bits), hashing.is_flat(small)
    mirrored = hashing.ALGORITHMS[algorithm]([np.ascontiguousarray(image[:, ::-1]) for image in small], bits)
    for one, h, mirror, is_flat in zip(good, hashes, mirrored, flat, strict=True):
        one.h, one.mirrored, one.flat = h, mirror, bool(is_flat)
    return done


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce a large picture to `_ENOUGH_PX`, four times as fast to hash, and much less to hold."""
    scale = _ENOUGH_PX / min(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(_ENOUGH_PX, round(image.shape[1] * scale)), max(_ENOUGH_PX, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _is_side(entry: Path) -> bool:
    return entry.name.lower() in ALIASES and entry.is_dir()


def _below(top: Path, root: Path, side: str, suffixes: frozenset[str]) -> Iterator[Picture]:
    """Yield the pictures below a side's folder; links to folders are not followed."""
    for folder, folders, files in os.walk(top):
        folders.sort()
        below = Path(folder).relative_to(top).parts
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix.lower() in suffixes:
                label = printable("/".join(below)) if below else None
                yield Picture(path, printable(path.relative_to(root)), side, label)
