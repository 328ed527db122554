"""Balance by action units: a row shows several, so that each one shown oftener brings the others with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import Balance
from .choice import Looks, Values, choose, drawn_order
from .counts import Floats, Ints, deal, limit, targets

MAX_REPEAT = 10
"""How often a row is shown at the most, where `Balance.max_repeat` says nothing."""

_SWEEPS = 500
_Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class UnitBalance:
    """How often an epoch shows each row, and what it was to come near.

    Attributes:
        repeat: int32 [N].
        target: float64 [U], showings of rows in which the unit is active.
    """

    repeat: NDArray[np.int32]
    target: Floats


def balance_units(
    values: Floats, spec: Balance, *, keys: Values | None = None, looks: Looks | None = None
) -> UnitBalance:
    """Count how often an epoch shows each row, so that every action unit is active in about as many showings.

    Cap: units are served from the rarest to the most frequent, the order of iterative stratification (Sechidis et al.
    2011), for a rare one has no choice: each keeps rows up to the cap, counting those that it has by others, and takes
    rows in which no unit is active that has the cap full, as long as there are any. So a row goes only where all its
    active units have the cap full, and a unit exceeds it only by rows that others take. Rows in which nothing is active
    are capped by themselves.

    Oversampling: the targets are those of `targets`, from the units' counts. To show the rows of the rarest labels
    again, as ML-ROS does (Charte et al. 2015), also shows what they share with frequent ones, and the same few rows
    over and over. So rows are weighed by raking instead (Deming and Stephan 1940): unit by unit, rarest first, the
    showings of its rows are multiplied by what it lacks or has too much, between once and the most, again and again.
    Of the weights that meet the targets, these are the most even ones. Rows with the same active units weigh the same;
    their whole showings are rounded up or down so that no single change brings the units nearer to their targets.

    Args:
        values: [N, U], a unit is active above 0; NaN = not known, which counts neither way.
        spec: Cap, oversampling and seed.
        keys: [N], distinct: the same rows are then chosen whatever their order.
        looks: Of the rows; decide which rows stay, where `spec.keep` is "diverse".

    Returns:
        The showings. A row of which no unit is known is shown once.

    Raises:
        UsageError: The cap is none, the lengths differ, or a key is null or stands twice.
    """
    active = _active(values)
    order = drawn_order(len(values), keys, spec.seed)
    known: _Bools = np.asarray(~np.isnan(values).all(axis=1))
    kept = _kept(active, known, order, spec, looks if spec.keep == "diverse" else None)
    counts = active[kept].sum(axis=0)
    most = spec.max_repeat or MAX_REPEAT
    wanted = targets(counts, spec, most)
    ordered = order[kept[order]]
    if not spec.oversample or not counts.any():
        return UnitBalance(kept.astype(np.int32), wanted)
    patterns, group = np.unique(active[kept], axis=0, return_inverse=True)
    of_row = np.full(len(values), -1, np.int64)
    of_row[kept] = group.reshape(-1)
    sizes = np.bincount(of_row[kept], minlength=len(patterns))
    present = counts > 0
    weights = _rake(patterns[:, present], sizes, wanted[present], most)
    shown = _round(patterns[:, present], weights * sizes, wanted[present])
    return UnitBalance(deal(of_row, shown, ordered), wanted)


def unit_table(names: Sequence[str], values: Floats, balance: UnitBalance) -> pd.DataFrame:
    """Tabulate a balance by action unit.

    Args:
        names: [U].
        values: [N, U], as given to `balance_units`.
        balance: What it gave.

    Returns:
        Index: unit, then "(none)" for rows in which none is active. Columns: `known`, rows in which it is known;
        `before`, `kept` and `shown`, rows in which it is active, those that stay, and their showings; `target` of the
        showings; `prevalence` and `prevalence_shown`, active among known ones, before and in an epoch.
    """
    repeat = balance.repeat.astype(np.int64)
    known, active = ~np.isnan(values), _active(values)
    some = known.any(axis=1)
    known = np.column_stack([known, some])
    active = np.column_stack([active, some & ~active.any(axis=1)])
    before, kept, shown = active.sum(axis=0), active[repeat > 0].sum(axis=0), repeat @ active
    return pd.DataFrame(
        {
            "known": known.sum(axis=0),
            "before": before,
            "kept": kept,
            "shown": shown,
            "target": np.append(np.floor(balance.target + 0.5).astype(np.int64), kept[-1]),
            "prevalence": before / np.maximum(known.sum(axis=0), 1),
            "prevalence_shown": shown / np.maximum(repeat @ known, 1),
        },
        index=pd.Index([*names, "(none)"], name="unit", dtype=object),
    )


def _kept(active: _Bools, known: _Bools, order: Ints, spec: Balance, looks: Looks | None) -> _Bools:
    """Choose the rows that stay under the cap."""
    counts = active.sum(axis=0)
    most = limit(spec.cap, counts[counts > 0])
    if spec.cap is None or not counts.any():
        return np.ones(len(active), np.bool_)
    kept: _Bools = np.logical_not(known)
    for unit in np.argsort(counts, kind="stable"):
        own = order[active[order, unit]]
        full = active[kept].sum(axis=0) >= most
        for some in (own[~active[own][:, full].any(axis=1)], own):
            already = some[kept[some]]
            room = min(min(most, len(own)) - int(kept[own].sum()), len(some) - len(already))
            if room > 0:
                kept[choose(some, room, looks, already)] = True
    none = order[(known & ~active.any(axis=1))[order]]
    kept[choose(none, min(most, len(none)), looks)] = True
    return kept


def _rake(patterns: _Bools, sizes: Ints, wanted: Floats, most: int) -> Floats:
    """Weigh patterns from 1 to `most` so that each unit's weighted count comes near what is wanted: float64 [P]."""
    counts = sizes @ patterns
    weights = best = np.ones(len(patterns))
    lowest = _miss(counts.astype(np.float64), wanted)
    for _ in range(_SWEEPS):
        weights = weights.copy()
        for unit in np.argsort(counts, kind="stable"):
            own = patterns[:, unit]
            weights[own] = np.clip(weights[own] * (wanted[unit] / (weights[own] @ sizes[own])), 1, most)
        miss = _miss((weights * sizes) @ patterns, wanted)
        if miss >= lowest * (1 - 1e-6):
            break
        best, lowest = weights, miss
    return best


def _round(patterns: _Bools, shown: Floats, wanted: Floats) -> Ints:
    """Round each pattern's showings up or down, so that no other rounding of one of them comes nearer: int64 [P]."""
    rounded = np.floor(shown + 0.5)
    other = np.where(rounded > shown, rounded - 1, rounded + 1)
    movable = np.abs(shown - rounded) > 1e-9
    share = patterns / wanted
    while movable.any():
        excess = (rounded @ patterns - wanted) / wanted
        step = other - rounded
        gain = np.where(movable, 2 * step * (share @ excess) + (share**2).sum(axis=1), 0)  # of the sum of squares
        best = int(np.argmin(gain))
        if gain[best] >= -1e-12:
            break
        rounded[best], other[best] = other[best], rounded[best]
    return np.asarray(rounded, np.int64)


def _active(values: Floats) -> _Bools:
    return np.asarray(values > 0, np.bool_)


def _miss(shown: Floats, wanted: Floats) -> float:
    """Sum up the squares of what the units miss, relative to what is wanted."""
    return float((((shown - wanted) / wanted) ** 2).sum())
