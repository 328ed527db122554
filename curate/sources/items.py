"""Items and work units: what is read in one piece, by one process."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from align import UsageError, package_root, printable

from ..config import Background, Source
from .labels import Labels, read_annotations


@dataclass(frozen=True)
class Item:
    """One video, image file or picture of an array.

    Attributes:
        kind: The adapter that opens it.
        path: Where the file lies.
        source: The path as given, relative to the source's root, with `[row]` for a picture of an array.
        source_id: Short digest of the root's name for this source and of `source`.
        labels: What is known of its faces.
        background: Cut random boxes where no face is found.
        row: Which picture of an array.
    """

    kind: str
    path: Path
    source: str
    source_id: str
    labels: Labels
    background: Background | None = None
    row: int | None = None


@dataclass(frozen=True)
class Unit:
    """Items that one process reads from first to last and writes as one part.

    Attributes:
        unit_id: Name of the part.
        items: In order.
        stamp: Sizes and times of change of the files, by which a changed source is noticed.
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
        UsageError: Nothing matches.
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
    inside = out.resolve()
    there = (path for path in found if path.is_file() or path.is_symlink())  # a broken link is recorded as missing
    wanted = (path for path in there if not path.name.startswith(".") and not path.is_dir())
    files = sorted(path for path in wanted if inside not in path.resolve().parents)
    if not files:
        raise UsageError(f"source {whole}: expected {expected} (found none); check the path and --root")
    return files


def make_items(source: Source, root: Path, files: Sequence[Path]) -> list[Item]:
    """Make an item of each file, with what the path and the annotations say of it."""
    base = source_root(source, root)
    names = [printable(path.relative_to(base).as_posix()) for path in files]
    annotations = read_annotations(root / source.annotations, names) if source.annotations else {}
    origin = source.package or ""
    return [
        Item(
            kind=source.kind,
            path=path,
            source=name,
            source_id=source_id(origin, path.relative_to(base).as_posix()),
            labels=annotations.get(name, Labels()).with_defaults(
                label=_label(source, name), subject=_first_group(source.subject_from, name) or source.subject
            ),
            background=source.background,
        )
        for path, name in zip(files, names, strict=True)
    ]


def source_id(origin: str, name: str) -> str:
    """Digest a source's name to 12 hex digits (blake2b)."""
    return blake2b(f"{origin}\0{name}".encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def in_batches(items: Sequence[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield the items in groups of `size`, the last one shorter."""
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])


def stamp(files: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Take name, size and time of last change of each file."""
    stats = [(path.name, path.stat() if path.exists() else path.lstat()) for path in files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _label(source: Source, name: str) -> str | None:
    if source.label_from is None:
        return source.label
    found = _first_group(source.label_from, name)
    return source.label_names.get(found, found) if found is not None else source.label


def _first_group(pattern: str | None, name: str) -> str | None:
    match = re.search(pattern, name) if pattern else None
    return match[1] if match else None
