"""Cells of a table -> labels of one vocabulary and numbers; what does not fit is refused with its file and line."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import UsageError, printable

from ..config.source import Code
from .reading import VOTE, Reading

PARTS = ("train", "val", "test")
_WORDS = ("label", "subject", "split", "path", "source")
_AU_MOST = 5.0


def clean(raw: pd.DataFrame, reading: Reading, path: Path, counted: str = "line") -> pd.DataFrame:
    """Give the cells of `read_table` their meaning.

    Args:
        raw: Columns under our names, the index counts rows from 0.
        reading: Codes of missing values, names of labels and parts, thresholds.
        path: For errors.
        counted: What errors count: lines of a text, from where its first row stands, or rows from 0.

    Returns:
        The same rows: words as objects, None where nothing is known; numbers as float64, NaN where nothing is known;
        `split` has become `published_split`, votes have become `label`.

    Raises:
        UsageError: A cell that is no number, a number out of range, a split that is none.
    """
    first = reading.first_line if counted == "line" else 0
    where = _Where(path, counted, raw.index.to_numpy() + first)
    made: dict[str, Any] = {}
    for name in raw.columns:
        if name.startswith(VOTE):
            continue
        cells = raw[name]
        made[name] = _words(cells, reading, name) if name in _WORDS else _numbers(cells, reading, name, where)
    if "label" in made:
        made["label"] = _mapped(made["label"], lambda word: name_label(word, reading))
    if "split" in made:
        made["published_split"] = _mapped(made.pop("split"), lambda word: _part(word, reading, where, raw["split"]))
    if votes := [name for name in raw.columns if name.startswith(VOTE)]:
        counts = np.column_stack([_numbers(raw[name], reading, name.removeprefix(VOTE), where) for name in votes])
        made["label"] = _most_voted(counts, [name.removeprefix(VOTE) for name in votes], reading)
    _check_places(made, where)
    columns = {
        name: pd.Series(column, index=raw.index, dtype=object if column.dtype == object else np.float64)
        for name, column in made.items()  # with its dtype: pandas would make words its own kind, whose missing is NaN
    }
    return pd.DataFrame(columns, index=raw.index)


def name_label(found: str, reading: Reading) -> str | None:
    """Turn a label as a set writes it into the vocabulary; None where it says that there is none.

    A code that is written as another number (3.0000000e+00) counts as the one that `label_names` knows (3).
    """
    word = found.strip()
    names = reading.label_names
    for written in (word, _plain_number(word)):
        if written in names:
            return names[written] or None
        if written in {_as_text(code) for code in reading.missing}:
            return None
    return word or None


def name_part(found: str, names: Mapping[str, str]) -> str | None:
    """Turn a published split's name into train, val or test; None where `names` says that it is none of them.

    Raises:
        ValueError: It is no name of a part.
    """
    part = names.get(found, found)
    if part and part not in PARTS:
        raise ValueError(
            f"split must be train, val or test (got {found!r}); name it in split_names, as "
            f"split_names = {{ {found!r} = 'train' }}"
        )
    return part or None


class _Where:
    """Knows the file and which line each row stands on."""

    def __init__(self, path: Path, counted: str, lines: NDArray[np.int64]) -> None:
        self.path = printable(path)
        self._counted = counted
        self._lines = lines

    def refuse(self, wrong: NDArray[np.bool_], expected: str, values: Iterable[Any]) -> None:
        """Refuse the first row that is wrong."""
        places = np.flatnonzero(wrong)
        if places.size:
            place = int(places[0])
            more = f", and {places.size - 1:,} more like it" if places.size > 1 else ""
            shown = list(values)[place]
            shown = shown.item() if isinstance(shown, np.generic) else shown
            said = f"{self._counted} {int(self._lines[place])}: {expected} (got {shown!r}{more})"
            raise UsageError(f"{self.path}: {said}")


def _words(cells: "pd.Series[Any]", reading: Reading, name: str) -> NDArray[np.object_]:
    """Strip words; empty ones and codes of missing values become None."""
    missing = {_as_text(code) for code in reading.missing} if name not in ("path", "source") else set()

    def word(cell: Any) -> str | None:
        text = _as_text(cell).strip()
        return None if not text or text in missing else text

    return _mapped(_objects(cells), word)


def _objects(cells: "pd.Series[Any]") -> NDArray[np.object_]:
    """Give the cells as they are, None where one is missing."""
    objects: NDArray[np.object_] = cells.astype(object).to_numpy(copy=True)
    objects[cells.isna().to_numpy()] = None
    return objects


def _mapped(values: NDArray[np.object_], function: Callable[[Any], str | None]) -> NDArray[np.object_]:
    """Apply a function to each distinct value that is not None."""
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    table = np.array([*(function(value) for value in distinct), None], dtype=object)
    mapped: NDArray[np.object_] = table[codes]  # -1, which stands for None, is the last
    return mapped


def _part(word: str, reading: Reading, where: _Where, cells: "pd.Series[Any]") -> str | None:
    try:
        return name_part(word, reading.split_names)
    except ValueError as error:
        texts = [_as_text(cell).strip() for cell in _objects(cells)]
        expected = str(error).replace(f" (got {word!r})", "")
        where.refuse(np.array([text == word for text in texts]), expected, texts)
        raise


def _numbers(cells: "pd.Series[Any]", reading: Reading, name: str, where: _Where) -> NDArray[np.float64]:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    unknown = cells.isna().to_numpy(bool, copy=True)
    for code in reading.missing:
        unknown |= (numbers == code) if not isinstance(code, str) else np.asarray(cells.astype(object) == code, bool)
    numbers = np.where(unknown, np.nan, numbers)
    wrong = (np.isnan(numbers) & ~unknown) | np.isinf(numbers)
    expected = f"{name} must be a number; mend it, or list it in missing"
    where.refuse(wrong, expected, cells)
    if name.startswith("au_") or name == "intensity":
        return _action_unit(numbers, reading, name, where)
    return numbers


def _action_unit(numbers: NDArray[np.float64], reading: Reading, name: str, where: _Where) -> NDArray[np.float64]:
    expected = f"{name} must be 0, 1 or an intensity up to {_AU_MOST:g}; list a code for the unknown in missing"
    where.refuse((numbers < 0) | (numbers > _AU_MOST), expected, numbers)
    if reading.au_threshold is None:
        return numbers
    return np.where(np.isnan(numbers), np.nan, (numbers >= reading.au_threshold).astype(np.float64))


def _most_voted(counts: NDArray[np.float64], names: list[str], reading: Reading) -> NDArray[np.object_]:
    """Take the label with most votes; none where two tie, or where nobody voted."""
    counts = np.nan_to_num(counts, nan=0.0)
    most = counts.max(axis=1, initial=0.0)
    decided = ((counts == most[:, None]).sum(axis=1) == 1) & (most > 0)
    chosen = np.array([*(name_label(name, reading) for name in names), None], dtype=object)
    labels: NDArray[np.object_] = chosen[np.where(decided, counts.argmax(axis=1), len(names))]
    return labels


def _check_places(made: Mapping[str, Any], where: _Where) -> None:
    if "frame" in made:
        frames = made["frame"]
        where.refuse((frames < 0) | (frames % 1 > 0), "frame must be an integer >= 0", frames)
    start, end = made.get("start_s"), made.get("end_s")
    if start is None and end is None:
        return
    if start is None or end is None:
        raise UsageError(f"{where.path}: expected the columns start_s and end_s together (found one); add the other")
    where.refuse(np.isnan(start) != np.isnan(end), "start_s and end_s together are required", start)
    where.refuse((start < 0) | (start >= end), "start_s must be 0 or more and before end_s", start)


def _as_text(cell: Code | None) -> str:
    """Write a cell as text; whole numbers without a point, as codes are written."""
    if isinstance(cell, float | np.floating):
        return str(int(cell)) if math.isfinite(cell) and cell == int(cell) else str(cell)
    return "" if cell is None else str(cell)


def _plain_number(word: str) -> str:
    try:
        return _as_text(float(word))
    except ValueError:
        return word
