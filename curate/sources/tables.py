"""Pictures that the path column of a csv, text or Parquet file names, with labels and face boxes in other columns."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import Box, ImageError, UsageError, load_image, printable

from ..config import Sample, Source
from ..frames import StillReader
from .cleaning import clean
from .files import file_item
from .images import IMAGES_PER_UNIT
from .items import Item, Unit, batch_units, list_files, require_below, source_id, source_root
from .labels import row_labels
from .missing import NothingFoundError
from .reading import Reading, read_table
from .vocabulary import describe

SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".lst", ".parquet", ".pq"})
"""What is taken from a folder; a glob or a file may have any name."""

_EDGES = ("box_left", "box_top", "box_right", "box_bottom")
_CORNER = ("box_x", "box_y", "box_w", "box_h")
_LEAVES = re.compile(r"^/|^[A-Za-z]:[\\/]|^\\\\|(?:^|/)\.\.(?:/|$)|\0")


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each `IMAGES_PER_UNIT` rows, all tables of the source in the order of their names."""
    items = (item for path in list_files(source, root, SUFFIXES, out) for item in _list_items(source, path, root))
    yield from batch_units(number, items, IMAGES_PER_UNIT)


def open_item(item: Item, sample: Sample) -> StillReader:  # noqa: ARG001  one signature for every kind of source
    """Open a row's picture as frame 0."""

    def load() -> NDArray[np.uint8]:
        if item.problem is not None:
            raise ImageError(f"{item.source}: {item.problem}")
        picture = load_image(item.path)
        if item.box is not None:
            _require_inside(item.box, picture, item.source)
        return picture

    return StillReader(load)


def _require_inside(box: Box, picture: NDArray[np.uint8], name: str) -> None:
    height, width = picture.shape[:2]
    left, top, right, bottom = box.xyxy
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise ImageError(
            f"{name}: expected a face box in the picture of {width} x {height} pixels (found {left:g}, {top:g} to "
            f"{right:g}, {bottom:g}); mend its row"
        )


def _list_items(source: Source, path: Path, root: Path) -> list[Item]:
    base = source_root(source, root)
    reading = Reading.of_source(source)
    table = clean(read_table(path, reading).dropna(how="all"), reading, path)
    names = _paths(table, source, reading, path)
    boxes = _boxes(table, path)
    numbers = _numbers(names, boxes, table, reading, path)
    known = describe(source, root, names, row_labels(table))
    items = []
    for name, box, number, labels in zip(names, boxes, numbers, known, strict=True):
        if labels is None:
            continue
        item = file_item(source, base / name, name, labels)
        if number is not None:
            full = f"{name}[{number}]"
            item = replace(item, source=printable(full), source_id=source_id(source.package or "", full))
        if isinstance(box, str):
            item = replace(item, problem=box)
        elif box is not None:
            item = replace(item, box=box)
        items.append(item)
    if not any(item.path.is_file() for item in items):
        raise NothingFoundError(
            f"{printable(path)}: expected pictures below {base} (found none of the {len(items):,} there, {names[0]!r} "
            f"first); check files and --root"
        )
    return items


def _paths(table: pd.DataFrame, source: Source, reading: Reading, path: Path) -> list[str]:
    """Give the path of each row, below the source's root."""
    if "path" not in table or table.empty:
        found = "no rows" if "path" in table else ", ".join(table.columns) or "none of our names"
        raise UsageError(f"{printable(path)}: expected rows with a column path (found {found}); name it in columns")
    names: list[str | None] = table["path"].tolist()
    if source.files is not None:
        find = re.compile(source.files.find)
        names = [None if name is None else find.sub(source.files.replace, name, count=1) for name in names]
    checked = []
    for place, name in enumerate(names):
        if name is None:
            raise UsageError(
                f"{printable(path)}: line {_line(table, place, reading)}: expected a path (found an empty cell); "
                f"fill it or remove the line"
            )
        if _LEAVES.search(name):
            require_below(name, f"{printable(path)}: line {_line(table, place, reading)}")
        checked.append(name)
    return checked


def _boxes(table: pd.DataFrame, path: Path) -> list[Box | str | None]:
    """Give the face box of each row; None where it has none, a sentence where it is no box."""
    chosen = next((names for names in (_EDGES, _CORNER) if any(name in table for name in names)), None)
    if chosen is None:
        return [None] * len(table)
    if absent := [name for name in chosen if name not in table]:
        raise UsageError(
            f"{printable(path)}: expected the columns {', '.join(chosen)} together (found no {', '.join(absent)}); "
            f"name them in columns"
        )
    values = table[list(chosen)].to_numpy(np.float64)
    if chosen is _EDGES:
        values = np.column_stack([values[:, :2], values[:, 2:] - values[:, :2]])
    return [_box(row) for row in values.tolist()]


def _box(row: list[float]) -> Box | str | None:
    if any(value != value for value in row):  # noqa: PLR0124  the quick test for NaN
        return None
    x, y, w, h = row
    if w <= 0 or h <= 0:
        return f"expected a face box with a width and height above 0 (found {w:g} x {h:g}); mend its row"
    return Box(x, y, w, h)


def _numbers(
    names: list[str], boxes: list[Box | str | None], table: pd.DataFrame, reading: Reading, path: Path
) -> list[int | None]:
    """Number the faces of a picture that several rows name; a picture that one row names has no number."""
    series = pd.Series(names)
    several = series.duplicated(keep=False).to_numpy()
    places = series.groupby(series, sort=False).cumcount().to_numpy()
    for place in np.flatnonzero(several & np.array([box is None for box in boxes])):
        others = [other for other in np.flatnonzero(series == names[place]) if other != place]
        lines = sorted(_line(table, int(row), reading) for row in (place, others[0]))
        raise UsageError(
            f"{printable(path)}: expected one line for {names[place]!r} (found lines {lines[0]} and {lines[1]}); "
            f"remove one, or say with box columns which face each is about"
        )
    return [int(number) if many else None for number, many in zip(places, several, strict=True)]


def _line(table: pd.DataFrame, place: int, reading: Reading) -> int:
    return int(table.index[place]) + reading.first_line
