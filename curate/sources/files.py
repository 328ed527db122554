"""Items of whole files, labelled by their paths, annotations and sidecars."""

from collections.abc import Sequence
from pathlib import Path

from align import printable

from ..config import Source
from .items import Item, name_of, require_below, source_id, source_root
from .labels import Labels
from .vocabulary import describe


def make_items(source: Source, root: Path, files: Sequence[Path]) -> list[Item]:
    """Make an item of each file, with what the path, the annotations and the sidecars say of it."""
    base = source_root(source, root)
    names = [name_of(path, base) for path in files]
    known = describe(source, root, names)
    return [
        file_item(source, path, path.relative_to(base).as_posix(), labels)
        for path, labels in zip(files, known, strict=True)
        if labels is not None
    ]


def file_item(source: Source, path: Path, relative: str, labels: Labels) -> Item:
    """Make the item of one file."""
    return Item(
        kind=source.kind,
        path=path,
        source=printable(relative),
        source_id=source_id(source.package or "", relative),
        labels=labels,
        background=source.background,
    )


def read_list(path: Path, base: Path) -> list[Path]:
    """Read a text file of paths, one a line; empty lines are left out.

    Raises:
        UsageError: A path leaves the root, or the file is not UTF-8.
    """
    lines = path.read_bytes().decode("utf-8-sig", "surrogateescape").splitlines()
    listed = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, name in listed:
        require_below(name, f"{printable(path)}: line {number}")
    return [base / name for name in dict.fromkeys(name for _, name in listed)]
