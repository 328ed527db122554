"""Labels of a source: one for all of it, for one frame, or for an interval of time; what is missing stays missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from align import UsageError

Values = Mapping[str, str | float]

_TEXT = ("label", "subject")
_NUMBERS = ("valence", "arousal")
_PLACES = ("frame", "start_s", "end_s")


@dataclass(frozen=True)
class Interval:
    """What holds from `start_s` until before `end_s`, in seconds from the first frame."""

    start_s: float
    end_s: float
    given: Values


@dataclass(frozen=True)
class Labels:
    """What is known of the faces of one source; a frame's own values win over an interval's, which win over `whole`.

    Attributes:
        whole: Values of the whole source: `label`, `subject`, `valence`, `arousal`, `au_*`.
        frames: Frame index -> values.
        intervals: In the order of the file; the last that holds wins.
    """

    whole: Values = field(default_factory=dict)
    frames: Mapping[int, Values] = field(default_factory=dict)
    intervals: tuple[Interval, ...] = ()

    def with_defaults(self, **values: str | None) -> "Labels":
        """Add values of the whole source where it has none of its own."""
        return replace(self, whole={k: v for k, v in values.items() if v is not None} | dict(self.whole))

    def at(self, index: int, time_s: float | None) -> dict[str, str | float]:
        """Give the values of frame `index`, shown `time_s` seconds after the first frame."""
        found = dict(self.whole)
        if time_s is not None:
            for interval in self.intervals:
                if interval.start_s <= time_s < interval.end_s:
                    found |= interval.given
        return found | dict(self.frames.get(index, {}))


def read_annotations(path: Path, sources: Iterable[str]) -> dict[str, Labels]:
    """Read a csv of labels.

    Args:
        path: A csv with the column `source` and, where a row is not about all of its source, `frame` or
            `start_s` and `end_s`; and any of `label`, `subject`, `valence`, `arousal`, `au_*`. Empty cells are missing.
        sources: The sources that there are.

    Returns:
        Source -> its labels.

    Raises:
        UsageError: The file is missing or is not such a csv, or names none of the sources.
    """
    table = _read_table(path)
    wanted = table[table["source"].isin(set(sources))]
    if wanted.empty and len(table):
        raise UsageError(
            f"{path}: expected sources like those that the path matches (found {table['source'].iloc[0]!r} first); "
            f"write them relative to the source's root"
        )
    return {str(name): _labels(rows, path) for name, rows in wanted.groupby("source", sort=True)}


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(("source", *_TEXT), str), keep_default_na=False, na_values=[""])
    except OSError as error:
        raise UsageError(f"{path}: expected a csv of annotations ({error.strerror})") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a csv of annotations ({' '.join(str(error).split())})") from None
    value_columns = [name for name in table if name in (*_TEXT, *_NUMBERS) or str(name).startswith("au_")]
    if "source" not in table or not value_columns:
        raise UsageError(
            f"{path}: expected a column source and one of label, subject, valence, arousal, au_* "
            f"(found {', '.join(map(str, table.columns))})"
        )
    numeric = [name for name in table if name in (*_NUMBERS, *_PLACES) or str(name).startswith("au_")]
    for name in numeric:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = (numbers.isna() & table[name].notna()) | np.isinf(numbers)
        _refuse(wrong, path, f"{name} must be a number", table[name])
        table[name] = numbers
    if "frame" in table:
        _refuse((table["frame"] < 0) | (table["frame"] % 1 > 0), path, "frame must be an integer >= 0", table["frame"])
    if {"start_s", "end_s"} <= set(table.columns):
        wrong = (table["start_s"] < 0) | (table["start_s"] >= table["end_s"])
        _refuse(wrong, path, "start_s must be 0 or more and before end_s", table["start_s"])
    return table[["source", *(name for name in table if name in _TEXT), *numeric]]


def _refuse(wrong: "pd.Series[bool]", path: Path, expected: str, values: "pd.Series[Any]") -> None:
    lines = np.flatnonzero(wrong)
    if lines.size:
        line = int(lines[0])
        raise UsageError(f"{path}: line {line + 2}: {expected} (got {values.iloc[line]!r})")


def _labels(rows: pd.DataFrame, path: Path) -> Labels:
    whole: dict[str, str | float] = {}
    frames: dict[int, Values] = {}
    intervals: list[Interval] = []
    for record in rows.to_dict("records"):
        given: dict[str, Any] = {str(key): value for key, value in record.items() if not pd.isna(value)}
        given.pop("source")
        frame, start, end = given.pop("frame", None), given.pop("start_s", None), given.pop("end_s", None)
        if frame is not None:
            frames[int(frame)] = {**frames.get(int(frame), {}), **given}
        elif start is not None and end is not None:
            intervals.append(Interval(start, end, given))
        elif start is None and end is None:
            whole |= given
        else:
            raise UsageError(f"{path}: expected start_s and end_s together (found {record})")
    return Labels(whole, frames, tuple(intervals))
