"""Labels of a source: one for all of it, for one frame, or for an interval of time; what is missing stays missing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .reading import label_columns

Value = str | float
Values = Mapping[str, Value]


class FrameTable(Mapping[int, Values]):
    """Frame index -> values, in a few bytes a frame: hours of video are labelled frame by frame.

    What is missing has no key in a frame's values. Immutable; it prints as a digest of what it holds, by which a
    changed label is noticed.
    """

    __slots__ = ("_frames", "_numbers", "_words")

    def __init__(
        self,
        frames: NDArray[np.int64],
        numbers: Mapping[str, NDArray[np.float64]],
        words: Mapping[str, tuple[NDArray[np.int32], tuple[str, ...]]],
    ) -> None:
        self._frames = frames
        self._numbers = numbers
        self._words = words

    @classmethod
    def of(cls, frames: NDArray[np.int64], table: pd.DataFrame) -> "FrameTable":
        """Make one of distinct frames in ascending order and the label columns of a clean table, row by row."""
        words, numbers = {}, {}
        for name in label_columns(table.columns):
            column = table[name]
            if name.startswith("au_") or name in ("valence", "arousal"):
                numbers[name] = column.to_numpy(np.float64)
            else:
                codes, known = pd.factorize(column.to_numpy(object), use_na_sentinel=True)
                words[name] = (codes.astype(np.int32), tuple(map(str, known)))
        return cls(frames, numbers, words)

    def __getitem__(self, index: int) -> Values:
        place = int(np.searchsorted(self._frames, index))
        if place == len(self._frames) or self._frames[place] != index:
            raise KeyError(index)
        found: dict[str, Value] = {}
        for name, (codes, known) in self._words.items():
            if codes[place] >= 0:
                found[name] = known[codes[place]]
        for name, column in self._numbers.items():
            if not np.isnan(column[place]):
                found[name] = float(column[place])
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames.tolist())

    def __len__(self) -> int:
        return len(self._frames)

    def __deepcopy__(self, memo: object) -> "FrameTable":
        return self

    def __repr__(self) -> str:
        digest = blake2b(self._frames.tobytes(), digest_size=16)
        for name, (codes, known) in sorted(self._words.items()):
            digest.update(f"{name} {known}".encode() + codes.tobytes())
        for name, column in sorted(self._numbers.items()):
            digest.update(name.encode() + column.tobytes())
        return f"FrameTable({len(self)} frames, {digest.hexdigest()})"

    def words(self, name: str) -> set[str]:
        """Give the distinct words of a column."""
        codes, known = self._words.get(name, (np.empty(0, np.int32), ()))
        return {known[code] for code in np.unique(codes) if code >= 0}


@dataclass(frozen=True, slots=True)
class Interval:
    """What holds from `start_s` until before `end_s`, in seconds from the first frame."""

    start_s: float
    end_s: float
    given: Values


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of the faces of one source; a frame's own values win over an interval's, which win over `whole`.

    Attributes:
        whole: Values of the whole source: `label`, `subject`, `published_split`, `valence`, `arousal`, `au_*`.
        frames: Frame index -> values.
        intervals: In the order of the file; the last that holds wins.
    """

    whole: Values = field(default_factory=dict)
    frames: Mapping[int, Values] = field(default_factory=dict)
    intervals: tuple[Interval, ...] = ()

    def with_defaults(self, **values: Value | None) -> "Labels":
        """Add values of the whole source where it has none of its own."""
        given = {name: value for name, value in values.items() if value is not None}
        return replace(self, whole=given | dict(self.whole)) if given else self

    def over(self, other: "Labels") -> "Labels":
        """Add what another says, where this says nothing of the same frame, time or whole."""
        if not (other.whole or other.frames or other.intervals):
            return self
        frames = self.frames or other.frames
        if self.frames and other.frames:
            frames = {
                index: {**other.frames.get(index, {}), **self.frames.get(index, {})}
                for index in sorted({*self.frames, *other.frames})
            }
            frames = _compact(frames)
        return Labels({**other.whole, **self.whole}, frames, (*other.intervals, *self.intervals))

    def at(self, index: int, time_s: float | None) -> dict[str, Value]:
        """Give the values of frame `index`, shown `time_s` seconds after the first frame."""
        found = dict(self.whole)
        if time_s is not None:
            for interval in self.intervals:
                if interval.start_s <= time_s < interval.end_s:
                    found |= interval.given
        return found | dict(self.frames.get(index, {}))

    def vocabulary(self) -> set[str]:
        """Give the distinct values of `label`, whichever frames or times they are for."""
        given = [self.whole, *(interval.given for interval in self.intervals)]
        found = {str(values["label"]) for values in given if "label" in values}
        if isinstance(self.frames, FrameTable):
            return found | self.frames.words("label")
        return found | {str(values["label"]) for values in self.frames.values() if "label" in values}

    def __bool__(self) -> bool:
        return bool(self.whole or self.frames or self.intervals)


def _compact(frames: Mapping[int, Values]) -> FrameTable:
    table = pd.DataFrame.from_records(list(frames.values()))
    for name in label_columns(table.columns):
        if table[name].dtype == object or pd.api.types.is_string_dtype(table[name]):
            table[name] = table[name].astype(object).where(table[name].notna(), None)
    return FrameTable.of(np.fromiter(frames, np.int64, len(frames)), table)


def row_values(table: pd.DataFrame) -> list[dict[str, Value]]:
    """Give the values of each row of a clean table, without what is missing; equal rows share one dictionary."""
    names = label_columns(table.columns)
    if not names:
        return [{}] * len(table)
    columns = [table[name].astype(object).where(table[name].notna(), None).tolist() for name in names]
    seen: dict[tuple[Value | None, ...], dict[str, Value]] = {}
    made = []
    for row in zip(*columns, strict=True):
        values = seen.get(row)
        if values is None:
            values = {name: value for name, value in zip(names, row, strict=True) if value is not None}
            seen[row] = values
        made.append(values)
    return made


def row_labels(table: pd.DataFrame) -> list[Labels]:
    """Give each row of a clean table as the labels of a whole picture; equal rows share one object."""
    made: dict[int, Labels] = {}
    return [made.setdefault(id(values), Labels(values)) for values in row_values(table)]
