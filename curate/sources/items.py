"""Items and work units: what is read in one piece, by one process."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from align import Box, UsageError, package_root, printable

from ..config import Background, Source
from ..video_parts import VideoPart
from .labels import Labels
from .missing import NothingFoundError


@dataclass(frozen=True, slots=True)
class Item:
    """One video, image file, picture of an array, row of a csv, member of an archive, or face of a picture.

    Attributes:
        kind: The adapter that opens it.
        path: Where the file lies.
        source: The path as given, relative to the source's root, with `[row]` for one of several pictures in a file
            or faces in a picture, and the member's name for one of an archive.
        source_id: Short digest of the root's name for this source and of `source`.
        labels: What is known of its faces.
        background: Cut random boxes where no face is found.
        row: Which picture of an array or line of a csv.
        member: Which array of a .npz file.
        span: Where its bytes lie in the file: offset and size.
        box: The one face, where the source says where it is: nothing has to be detected.
        problem: Why it cannot be read, where that is known already.
        part: Which part of a long video.
    """

    kind: str
    path: Path
    source: str
    source_id: str
    labels: Labels
    background: Background | None = None
    row: int | None = None
    member: str | None = None
    span: tuple[int, int] | None = None
    box: Box | None = None
    problem: str | None = None
    part: VideoPart | None = None


@dataclass(frozen=True)
class Unit:
    """Items that one process reads from first to last and writes as one part.

    Attributes:
        unit_id: Name of the part.
        items: In order.
        stamp: Sizes and times of change of the files, by which a changed source is noticed. Changed labels need none:
            the items hold them.
    """

    unit_id: str
    items: tuple[Item, ...]
    stamp: tuple[tuple[str, int, int], ...] = field(default=())


def source_root(source: Source, root: Path) -> Path:
    """Give the folder that a source's path is relative to: its package's, or `root`."""
    if source.package is None:
        return root
    found = package_root(source.package)
    if found is None:
        raise UsageError(
            f"source {source.path!r}: expected the package {source.package!r} to ship it (not installed); install it"
        )
    return found


def list_files(source: Source, root: Path, suffixes: frozenset[str], out: Path) -> list[Path]:
    """List the files of a source, sorted.

    Args:
        source: Its `path` is a file, a glob, or a folder, of which all files with one of `suffixes` are taken.
        root: What the path is relative to.
        suffixes: Lower case, with the dot.
        out: The set's folder; what lies in it is no source.

    Raises:
        NothingFoundError: Nothing matches.
        UsageError: The glob is none.
    """
    base = source_root(source, root)
    whole = base / source.path
    if whole.is_file():
        return [whole]
    if whole.is_dir():
        found = [path for path in whole.rglob("*") if path.suffix.lower() in suffixes]
        expected = f"a folder with {source.kind}"
    elif re.search(r"[*?\[]", source.path):
        try:
            found = list(base.glob(source.path))
        except ValueError as error:
            raise UsageError(f"source {whole}: expected a glob ({error}); mend the path") from None
        expected = f"{source.kind} that match"
    else:
        found = []
        expected = "a file, a folder or a glob"
    files = sorted(_outside(out, (path for path in found if not path.name.startswith("."))))
    if not files:
        raise NothingFoundError(f"source {whole}: expected {expected} (found none); check the path and --root")
    return files


def _outside(out: Path, paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that do not lie in `out`; of broken links too, which are recorded as missing."""
    inside = out.resolve()
    folders: dict[Path, bool] = {}
    for path in paths:
        if path.is_dir() or not (path.is_file() or path.is_symlink()):
            continue
        if path.parent not in folders:  # resolving is slow, and folders are few
            folder = path.parent.resolve()
            folders[path.parent] = inside == folder or inside in folder.parents
        within = inside in path.resolve().parents if path.is_symlink() else folders[path.parent]
        if not within:
            yield path


def require_below(name: str, where: str) -> None:
    """Refuse a path in a list or table that leaves the source's root.

    Raises:
        UsageError: It is absolute, or climbs with `..`.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or re.match(r"[A-Za-z]:[\\/]|\\\\", name):
        raise UsageError(f"{where}: expected a path below the source's root (got {name!r}); move the file or mend it")


def source_id(origin: str, name: str) -> str:
    """Digest a source's name to 12 hex digits (blake2b)."""
    return blake2b(f"{origin}\0{name}".encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def name_of(path: Path, base: Path) -> str:
    """Write a file's path relative to the source's root, as it is stored."""
    return printable(path.relative_to(base).as_posix())


def in_batches(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield the items in groups of `size`, the last one shorter."""
    some: list[Item] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield tuple(some)
            some = []
    if some:
        yield tuple(some)


def batch_units(number: int, items: Iterable[Item], size: int) -> Iterator[Unit]:
    """Yield a unit for each `size` items of the source with this number."""
    for batch, some in enumerate(in_batches(items, size)):
        yield Unit(
            f"{number:02d}-{batch:06d}", some, stamp(list({str(item.path): item.path for item in some}.values()))
        )


def stamp(files: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Take name, size and time of last change of each file, -1 where there is none."""
    return tuple((f"{path.parent.name}/{path.name}", *_stat(path)) for path in files)


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = os.stat(path)  # noqa: PTH116  a table may name a million files, and this is the quick way
    except (OSError, ValueError):
        return -1, -1
    return stat.st_size, stat.st_mtime_ns
