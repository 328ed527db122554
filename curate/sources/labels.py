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


@dataclass(frozen=True)
class Interval:
    """What holds from `start_s` until before `end_s`, in seconds."""

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
        """Give the values of frame `index` at `time_s` seconds."""
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
    except FileNotFoundError:
        raise UsageError(f"{path}: expected a csv of annotations (no such file)") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a csv of annotations ({' '.join(str(error).split())})") from None
    value_columns = [name for name in table if name in (*_TEXT, *_NUMBERS) or str(name).startswith("au_")]
    if "source" not in table or not value_columns:
        raise UsageError(
            f"{path}: expected a column source and one of label, subject, valence, arousal, au_* "
            f"(found {', '.join(map(str, table.columns))})"
        )
    for name in (c for c in table if c not in ("source", *_TEXT)):
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & table[name].notna())
        if wrong.size:
            line = int(wrong[0])
            raise UsageError(f"{path}: line {line + 2}: {name} must be a number (got {table[name].iloc[line]!r})")
        table[name] = numbers
    return table


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
