"""What a job reads: files, folders, globs and lists on stdin -> pictures in order, each with a file name of its own."""

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from .errors import UsageError
from .image import image_suffixes, shown

DIGEST_BYTES = 8
"""Of a path's digest in a crop's name; two paths that share one are told apart by `name_pictures`."""

_STEM_LENGTH = 40
_STDIN = "-"


@dataclass(frozen=True)
class Picture:
    """One picture to read.

    Attributes:
        path: As given, or below the folder as given.
        name: What the file names of its crops begin with; no other picture of the list has it.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class PathList:
    """A list of paths that another program writes.

    Attributes:
        stream: Where the list is read from.
        null: Whether the paths end with NUL, so that a name may hold a line break; else with a line break.
    """

    stream: BinaryIO
    null: bool = False

    def read(self) -> list[Path]:
        """Read all paths; empty lines are left out."""
        content = self.stream.read()
        if not self.null and b"\0" in content:
            raise UsageError("-: expected one path a line (found a NUL byte); add --null for paths that end with NUL")
        lines = content.split(b"\0" if self.null else b"\n")
        names = lines if self.null else [line.removesuffix(b"\r") for line in lines]
        return [Path(os.fsdecode(name)) for name in names if name]


@dataclass
class _Walk:
    """What is known while the paths of one job are listed.

    Attributes:
        out: Nothing below this folder is read.
        skipped: How many files and folders below `out` were met.
    """

    out: Path
    skipped: int = 0
    files: dict[str, Path] = field(default_factory=dict)  # real folder and own name -> the path as first met
    reals: dict[Path, str] = field(default_factory=dict)

    @cached_property
    def suffixes(self) -> frozenset[str]:
        return image_suffixes()

    @cached_property
    def real_out(self) -> str:
        return os.path.realpath(self.out)

    def add(self, path: Path) -> None:
        """Take a file; two links to one file are two pictures, two ways to one link are one."""
        folder = self.real(path.parent)
        if self.is_out(folder):
            self.skipped += 1
        else:
            self.files.setdefault(os.path.join(folder, path.name), path)  # noqa: PTH118  a million of them

    def real(self, folder: Path) -> str:
        if folder not in self.reals:
            self.reals[folder] = os.path.realpath(folder)
        return self.reals[folder]

    def is_out(self, real: str) -> bool:
        return real == self.real_out or real.startswith(self.real_out.rstrip(os.sep) + os.sep)

    def add_folder(self, folder: Path) -> int:
        """Take the pictures below a folder; give how many files with a picture's suffix were met."""
        met = 0
        for path in self._below(folder):
            self.add(path)
            met += 1
        return met

    def _below(self, folder: Path) -> Iterator[Path]:
        """Yield the files below a folder that have a picture's suffix; each real folder once, so that loops end."""
        visited: set[str] = set()
        waiting = [(folder, True)]
        while waiting:
            path, is_folder = waiting.pop()
            if not is_folder:
                yield path
                continue
            real = self.real(path)
            if self.is_out(real):
                self.skipped += 1
            elif real not in visited:
                visited.add(real)
                waiting.extend(reversed(self._inside(path)))

    def _inside(self, folder: Path) -> list[tuple[Path, bool]]:
        """List the folders and the pictures in a folder in natural order, and whether each is a folder."""
        try:
            with os.scandir(folder) as entries:
                names = sorted((_natural(entry.name), entry.name, _is_folder(entry)) for entry in entries)
        except OSError as error:
            raise UsageError(f"{shown(folder)}: expected a folder that can be read ({error.strerror})") from None
        inside = [(folder / name, is_folder) for _, name, is_folder in names]
        return [(path, is_folder) for path, is_folder in inside if is_folder or path.suffix.lower() in self.suffixes]


def list_pictures(paths: Sequence[str | Path], out: Path, piped: PathList | None = None) -> tuple[list[Picture], int]:
    """List the pictures that paths name, each once: arguments in their order, what is below a folder sorted naturally.

    A file is taken whatever its suffix; of a folder what has the suffix of a picture, links to folders followed.
    A path that is no file but holds `*`, `?` or `[` is a glob, `**` any depth; one whose last part is `*` or `**`
    takes what a folder would. A path on a piped list that does not exist is listed too, and recorded when it is read.

    Args:
        paths: Files, folders, globs, and `-` for the piped list.
        out: The folder the job writes to; nothing that lies in it is listed.
        piped: What `-` stands for.

    Returns:
        The pictures, and how many paths were met that lie in `out`.

    Raises:
        UsageError: A path does not exist, a glob matches nothing, a folder holds no picture or cannot be read, or
            nothing is left to read.
    """
    walk = _Walk(out)
    for path in paths:
        if str(path) == _STDIN:
            _add_piped(walk, piped)
        elif not _add(walk, Path(path)):
            _add_matches(walk, str(path))
    if not walk.files:
        where = f" (all paths lie in {shown(out)}, which is never read; choose another --out)" if walk.skipped else ""
        raise UsageError(f"expected the paths of pictures{where or ' (found none)'}")
    return name_pictures(list(walk.files.values())), walk.skipped


def name_pictures(paths: Sequence[Path]) -> list[Picture]:
    """Give each picture a name of its own for its crops: `<stem>-<digest of the path>`.

    The names are safe on every system: letters and digits of any script, `_` and `-`, short, never with a leading
    dash or dot, and different from each other also where upper and lower case are one.
    """
    taken: set[str] = set()
    pictures = []
    for path in paths:
        stem = re.sub(r"[^\w-]", "_", shown(path.stem))[:_STEM_LENGTH].lstrip("-_") or "picture"
        name = f"{stem}-{_digest(path)}"
        retry = 0
        while name.casefold() in taken:
            retry += 1
            name = f"{stem}-{_digest(path, retry)}"
        taken.add(name.casefold())
        pictures.append(Picture(path, name))
    return pictures


def _digest(path: Path, retry: int = 0) -> str:
    salt = str(retry).encode() if retry else b""
    return blake2b(os.fsencode(path), digest_size=DIGEST_BYTES, salt=salt).hexdigest()


def _add(walk: _Walk, path: Path) -> bool:
    """Take a path that exists; False where it does not."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(f"{shown(path)}: expected a picture or a folder ({error.strerror})") from None
    if not stat.S_ISDIR(mode):
        walk.add(path)
        return True
    skipped = walk.skipped
    if not walk.add_folder(path) and walk.skipped == skipped:
        raise UsageError(f"{shown(path)}: expected a folder with pictures (found none)")
    return True


def _add_piped(walk: _Walk, piped: PathList | None) -> None:
    if piped is None:
        raise UsageError("-: expected a list of paths on stdin (found no stdin)")
    for path in piped.read():
        if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises for names that are too long
            walk.add_folder(path)
        else:
            walk.add(path)


def _add_matches(walk: _Walk, pattern: str) -> None:
    if not glob.has_magic(pattern):
        raise UsageError(f"{shown(pattern)}: expected a picture or a folder (no such file)")
    any_file = Path(pattern).name in ("*", "**")
    met, skipped = 0, walk.skipped
    for match in sorted(_matches(pattern), key=_natural_path):
        if match.is_dir():
            met += walk.add_folder(match)
        elif not any_file or match.suffix.lower() in walk.suffixes:
            walk.add(match)
            met += 1
    if not met and walk.skipped == skipped:
        raise UsageError(f"{shown(pattern)}: expected a pattern that matches pictures (matches none)")


def _matches(pattern: str) -> list[Path]:
    """Match a pattern from its last folder without a wildcard on; `**` follows no links, so that loops end."""
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    try:
        return list(Path(*parts[:fixed]).glob(str(Path(*parts[fixed:]))))
    except ValueError as error:
        raise UsageError(f"{shown(pattern)}: expected a pattern of files ({error})") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: listed if it is called a picture, and recorded when it is read
        return False


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort `2.png` before `10.png`, upper and lower case together."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple((0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts if part)


def _natural_path(path: Path) -> tuple[tuple[tuple[tuple[int, int, str], ...], ...], str]:
    return tuple(map(_natural, path.parts)), str(path)
