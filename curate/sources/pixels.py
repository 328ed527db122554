"""Grey pictures written out as numbers in a csv (FER2013's form): a line a picture, `pixels` its values row by row.

Only the lines' places are kept when the file is listed; each work unit then reads its own lines alone.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import ImageError, UsageError, printable

from ..config import Sample, Source
from ..frames import StillReader
from .cleaning import clean
from .items import Item, Unit, batch_units, list_files
from .labels import Labels, row_labels
from .reading import Reading, resolve_columns
from .rows import row_items
from .vocabulary import read_rows

ROWS_PER_UNIT = 1000
MAX_LINE = 64 * 2**20
"""Bytes; a longer line is refused, so that a file without line ends is never read whole."""

_BOM = b"\xef\xbb\xbf"
_PIXELS = "pixels"


@dataclass(frozen=True)
class _Line:
    """Where a row's line lies, its cells but the pixels, and what is wrong with it."""

    offset: int
    size: int
    number: int
    cells: tuple[str, ...] | None
    problem: str | None = None


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each `ROWS_PER_UNIT` lines."""
    files = list_files(source, root, frozenset({".csv"}), out)
    yield from batch_units(number, (item for path in files for item in _items(source, root, path)), ROWS_PER_UNIT)


def open_item(item: Item, sample: Sample) -> StillReader:  # noqa: ARG001  one signature for every kind of source
    """Open one line's picture as frame 0."""

    def load() -> NDArray[np.uint8]:
        if item.problem is not None or item.span is None or item.member is None:
            raise ImageError(f"{item.source}: {item.problem}")
        offset, size = item.span
        with item.path.open("rb") as file:
            file.seek(offset)
            cells = _cells(file.read(size))
        return _picture(cells[int(item.member)], item.source)

    return StillReader(load)


def _items(source: Source, root: Path, path: Path) -> Iterator[Item]:
    with path.open("rb") as file:
        names, place = _header(file, source, path)
        lines = list(_lines(file, len(names), place, path))
    if not lines:
        raise UsageError(f"{printable(path)}: expected lines with pixels under the header (found none); mend the file")
    own: Sequence[Labels] = read_rows(source, root, len(lines), path.name)
    own = own or _labels(source, path, names, place, lines)
    for item, line in zip(row_items(source, root, path, own), lines, strict=True):
        yield replace(item, span=(line.offset, line.size), member=str(place), problem=line.problem)


def _header(file: BinaryIO, source: Source, path: Path) -> tuple[list[str], int]:
    """Read the names of the columns, and find the one with the pixels."""
    first = file.readline(MAX_LINE).removeprefix(_BOM)
    try:
        names = [name.strip() for name in _cells(first)]
    except UnicodeDecodeError:
        raise UsageError(f"{printable(path)}: expected a csv in UTF-8 (found other bytes in line 1); mend it") from None
    wanted = source.columns.get(_PIXELS, _PIXELS)
    if wanted not in names:
        found = ", ".join(name[:30] for name in names[:8])
        raise UsageError(
            f"{printable(path)}: expected a header with the column {wanted!r} (found {found!r}); name it with "
            f"columns = {{ pixels = ... }}"
        )
    return names, names.index(str(wanted))


def _lines(file: BinaryIO, count: int, pixels: int, path: Path) -> Iterator[_Line]:
    """Yield the lines under the header; empty ones are left out."""
    number = 1
    while True:
        offset = file.tell()
        line = file.readline(MAX_LINE)
        number += 1
        if not line:
            return
        if len(line) == MAX_LINE:
            raise UsageError(
                f"{printable(path)}: line {number}: expected a picture (found more than {MAX_LINE:,} bytes)"
            )
        if line.isspace():
            continue
        try:
            cells = _cells(line)
        except UnicodeDecodeError:
            yield _Line(offset, len(line), number, None, f"line {number}: expected UTF-8 (found other bytes)")
            continue
        if len(cells) != count:
            problem = f"line {number}: expected {count} cells (found {len(cells)}); mend the line"
            yield _Line(offset, len(line), number, None, problem)
            continue
        yield _Line(offset, len(line), number, tuple(cell for at, cell in enumerate(cells) if at != pixels))


def _cells(line: bytes) -> list[str]:
    text = line.decode("utf-8").rstrip("\r\n")
    return next(csv.reader([text])) if '"' in text else text.split(",")


def _labels(source: Source, path: Path, names: list[str], pixels: int, lines: Sequence[_Line]) -> list[Labels]:
    """Read the cells beside the pixels."""
    reading = Reading.of_source(source)
    others = [name for place, name in enumerate(names) if place != pixels]
    places = resolve_columns(others, reading, path)
    cells = {
        ours: [None if line.cells is None else line.cells[place].strip() or None for line in lines]
        for ours, place in places.items()
    }
    index = pd.Index([line.number - reading.first_line for line in lines])
    raw = pd.DataFrame(
        {ours: pd.Series(column, index=index, dtype=object) for ours, column in cells.items()}, index=index
    )
    return row_labels(clean(raw, reading, path))


def _picture(text: str, name: str) -> NDArray[np.uint8]:
    """Turn numbers into a square picture."""
    words = text.split()
    side = math.isqrt(len(words))
    if side * side != len(words) or not words:
        raise ImageError(f"{name}: expected the pixels of a square picture (found {len(words)} numbers); mend the line")
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise ImageError(f"{name}: expected whole numbers from 0 to 255 ({error}); mend the line") from None
    if not ((values >= 0) & (values <= 255) & (values % 1 == 0)).all():
        wrong = next(
            word for word, value in zip(words, values.tolist(), strict=True) if not 0 <= value <= 255 or value % 1
        )
        raise ImageError(f"{name}: expected whole numbers from 0 to 255 (found {wrong}); mend the line")
    grey = values.astype(np.uint8).reshape(side, side)
    return np.repeat(grey[:, :, None], 3, axis=2)
