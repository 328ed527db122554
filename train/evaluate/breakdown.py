"""The numbers of each source and of each person, the worst first; a long list is cut, and the rest added up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..rows import Rows
from .tallies import Floats, Ints, Tally, add_up, numbers_of

By = Literal["source", "subject"]

LISTED = 25
LEAST_ROWS = 5
"""Groups of fewer rows are listed only where there is none of more: one face is right or wrong, and tells little."""

_COLUMNS = {
    "classes": ("accuracy_micro", "f1_macro"),
    "affect": ("rmse_mean", "ccc_mean"),  # CCC is 0 for a person who is always the same, whatever the model says
    "units": ("f1_units_mean",),
}
"""What is shown of each task; the first task's first number orders the list."""

_LOW_IS_GOOD = "rmse"


@dataclass(frozen=True)
class Line:
    """One group, the sum of those not listed, or all.

    Attributes:
        name: Of the group; empty for sums.
        rows: Its faces.
        numbers: By name; None where one is not defined.
        groups: How many groups it adds up.
    """

    name: str
    rows: int
    numbers: dict[str, float | None]
    groups: int = 1


@dataclass(frozen=True)
class Breakdown:
    """A split, group by group.

    Attributes:
        by: What the groups are.
        ordered_by: The number that the list goes by.
        columns: The numbers of each line.
        groups: How many there are.
        listed: The worst; none where every group has one face, of which the mistakes tell more.
        rest: Those that are not listed, added up; None where all are.
        whole: All of them, added up.
        unknown: Faces without a group.
    """

    by: By
    ordered_by: str
    columns: tuple[str, ...]
    groups: int
    listed: tuple[Line, ...]
    rest: Line | None
    whole: Line
    unknown: int


def breakdown(rows: Rows, tallies: Sequence[Tally], by: By) -> Breakdown | None:
    """Compute the numbers of each group; None where no face has one.

    Args:
        rows: The faces of a split.
        tallies: Their lines.
        by: What the groups are.
    """
    values = rows.subjects if by == "subject" else rows.sources
    group, names = pd.factorize(np.array(values, dtype=object), sort=True)
    group = group.astype(np.int64)
    if not len(names):
        return None
    sizes = np.bincount(group[group >= 0], minlength=len(names))
    columns = tuple(name for tally in tallies for name in _COLUMNS[tally.task])
    shown = _numbers(tallies, group, len(names))
    order = _worst_first(shown[columns[0]], sizes, columns[0]) if sizes.max() > 1 else np.zeros(0, dtype=np.int64)
    listed = tuple(
        Line(str(names[i]), int(sizes[i]), {name: _plain(shown[name][i]) for name in columns}) for i in order[:LISTED]
    )
    others = np.setdiff1d(np.arange(len(names)), order[:LISTED])
    rest = _sum(tallies, np.where(np.isin(group, others), 0, -1), columns, len(others)) if len(others) else None
    whole = _sum(tallies, np.where(group >= 0, 0, -1), columns, len(names))
    return Breakdown(by, columns[0], columns, len(names), listed, rest, whole, int((group < 0).sum()))


def _numbers(tallies: Sequence[Tally], group: Ints, groups: int) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for tally in tallies:
        found |= numbers_of(tally, add_up(tally, group, groups))
    return found


def _worst_first(values: Floats, sizes: Ints, name: str) -> Ints:
    """Order the groups that are large enough: the worst first, of equals the largest, then by name."""
    goodness = -values if name.startswith(_LOW_IS_GOOD) else values
    order = np.lexsort((-sizes, np.where(np.isnan(goodness), np.inf, goodness)))
    large = order[sizes[order] >= LEAST_ROWS]
    return (large if len(large) else order).astype(np.int64)


def _sum(tallies: Sequence[Tally], group: Any, columns: Sequence[str], groups: int) -> Line:
    numbers = _numbers(tallies, group.astype(np.int64), 1)
    return Line("", int((group == 0).sum()), {name: _plain(numbers[name][0]) for name in columns}, groups)


def _plain(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
