"""Items that are rows of one file: pictures of an array, lines of a csv of pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from align import UsageError, printable

from ..config import Source
from .cleaning import name_label
from .items import Item, name_of, source_id, source_root
from .labels import Labels
from .reading import Reading
from .vocabulary import describe

_NOTHING = Labels()


def row_items(source: Source, root: Path, path: Path, own: Sequence[Labels]) -> Iterator[Item]:
    """Yield an item for each row of a file.

    Args:
        source: Its keys label the file, and with `rows` or annotations by `frame` its rows.
        root: What annotations are relative to.
        path: The file.
        own: What the file, or the table beside it, says of each row.

    Yields:
        Items in the order of the rows; rows of which the same is said share their labels.

    Raises:
        UsageError: Two labels for one row, or a label for a row that is not there.
    """
    base = source_root(source, root)
    name = name_of(path, base)
    whole = describe(source, root, [name])[0] or _NOTHING
    of_file = replace(whole, frames={})
    by_range = _labels_by_range(source, len(own), path)
    shared: dict[tuple[int, str | None], Labels] = {}
    relative = path.relative_to(base).as_posix()
    if beyond := [row for row in whole.frames if row >= len(own)]:
        raise UsageError(
            f"{printable(path)}: expected annotations of its {len(own):,} rows, 0 to {len(own) - 1:,} "
            f"(found row {max(beyond):,}); mend frame"
        )
    for row, labels in enumerate(own):
        key = id(labels), by_range[row]
        if key not in shared:
            shared[key] = labels.with_defaults(label=by_range[row]).over(of_file)
        known = shared[key]
        if values := whole.frames.get(row):
            known = Labels({**known.whole, **values})
        yield Item(
            kind=source.kind,
            path=path,
            source=f"{name}[{row}]",
            source_id=source_id(source.package or "", f"{relative}[{row}]"),
            labels=known,
            background=source.background,
            row=row,
        )


def _labels_by_range(source: Source, count: int, path: Path) -> list[str | None]:
    """Give the label that the key `rows` gives to each row."""
    reading = Reading.of_source(source)
    given: list[str | None] = [None] * count
    for mark in source.rows:
        if mark.first > mark.last or mark.last >= count:
            raise UsageError(
                f"{printable(path)}: expected rows from 0 to {count - 1:,} (found {mark.first} to {mark.last} for "
                f"{mark.label!r}); mend rows"
            )
        label = name_label(mark.label, reading)
        for row in range(mark.first, mark.last + 1):
            if given[row] not in (None, label):
                found = sorted((str(given[row]), str(label)))
                raise UsageError(f"{printable(path)}: expected one label for row {row} (found {found}); mend rows")
            given[row] = label
    return given
