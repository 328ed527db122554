"""Sums over rows from which the numbers of any set of rows follow: of one person, of a source, of a resample.

Each row becomes a line of numbers that add up: the cell of the confusion matrix it falls into, the moments of its
valence and arousal, and its hits. Adding the lines of some rows gives what their accuracy, F1 or CCC is made of, so
that thousands of groups and resamples cost a product of matrices and no loop over rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..metrics import Outcome
from ..tasks import AFFECT, Tasks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Numbers = Mapping[str, Floats]

_FLAT = 1e-12
"""Below this a variance is what rounding left of nothing."""

_BLOCK = 4_000_000
"""Numbers that stand in memory at once."""


@dataclass(frozen=True)
class Tally:
    """One task's lines.

    Attributes:
        task: `classes`, `affect` or `units`.
        lines: float64 [N, K], sparse.
        numbers: From sums of lines, float64 [M, K], to M values of each number, NaN where one is not defined.
        main: The number that the task is judged by.
    """

    task: str
    lines: Any
    numbers: Callable[[Floats], Numbers]
    main: str


def tallies(outcome: Outcome, tasks: Tasks) -> list[Tally]:
    """Make the lines of each task that the model has."""
    outputs, targets = tasks.split(outcome.outputs.double()), tasks.split(outcome.targets.double())
    made = []
    if tasks.classes:
        made.append(_classes(outputs.classes.numpy(), targets.classes.numpy()))
    if tasks.affect:
        made.append(_affect(outputs.affect.numpy(), targets.affect.numpy()))
    if tasks.units:
        made.append(_units(outputs.units.numpy(), targets.units.numpy()))
    return made


def add_up(tally: Tally, group: Ints, groups: int) -> Any:
    """Add the lines of each group, sparse [groups, K].

    Args:
        tally: Of N rows.
        group: int64 [N], the group of each row; -1 for rows of none.
        groups: How many there are.
    """
    inside = np.flatnonzero(group >= 0)
    ones = np.ones(len(inside))
    return sparse.csr_matrix((ones, (group[inside], inside)), shape=(groups, len(group))) @ tally.lines


def numbers_of(tally: Tally, sums: Any) -> dict[str, Floats]:
    """Compute the numbers of each line of sparse sums [M, K], a block of lines at a time."""
    step = max(1, _BLOCK // max(sums.shape[1], 1))
    starts = range(0, max(sums.shape[0], 1), step)
    blocks = [tally.numbers(np.asarray(sums[start : start + step].todense())) for start in starts]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def divide(part: Any, whole: Any) -> Floats:
    """Divide; NaN where there is nothing to divide by."""
    part, whole = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    out: Floats = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _mean(values: Floats, axis: int) -> Floats:
    """Average what is defined; NaN where nothing is."""
    return divide(np.nansum(values, axis=axis), (~np.isnan(values)).sum(axis=axis))


def _classes(logits: Floats, targets: Floats) -> Tally:
    classes = logits.shape[1]
    labelled = np.flatnonzero(~np.isnan(targets).any(1))
    cells = targets[labelled].argmax(1) * classes + logits[labelled].argmax(1)
    lines = sparse.csr_matrix((np.ones(len(labelled)), (labelled, cells)), shape=(len(logits), classes**2))

    def numbers(sums: Floats) -> Numbers:
        counts = sums.reshape(len(sums), classes, classes)
        right, rows, predicted = np.diagonal(counts, axis1=1, axis2=2), counts.sum(2), counts.sum(1)
        f1 = np.where(rows > 0, divide(2 * right, rows + predicted), np.nan)
        return {"accuracy_micro": divide(right.sum(1), rows.sum(1)), "f1_macro": _mean(f1, 1)}

    return Tally("classes", lines, numbers, "f1_macro")


def _affect(outputs: Floats, targets: Floats) -> Tally:
    labelled = ~np.isnan(targets)
    x, y = np.where(labelled, outputs, 0.0), np.where(labelled, targets, 0.0)
    lines = sparse.csr_matrix(np.concatenate([labelled, x, y, x * x, y * y, x * y], axis=1, dtype=np.float64))

    def numbers(sums: Floats) -> Numbers:
        rows, x, y, xx, yy, xy = np.split(sums, 6, axis=1)
        x, y = divide(x, rows), divide(y, rows)
        together = divide(xy, rows) - x * y
        spread = np.maximum(divide(xx, rows) - x * x, 0) + np.maximum(divide(yy, rows) - y * y, 0) + (x - y) ** 2
        ccc = divide(2 * together, np.where(spread > _FLAT, spread, 0))
        rmse = np.sqrt(np.maximum(divide(xx - 2 * xy + yy, rows), 0))
        found = {"ccc_mean": _mean(ccc, 1), "rmse_mean": _mean(rmse, 1)}
        for column, name in enumerate(AFFECT):
            found |= {f"ccc_{name}": ccc[:, column], f"rmse_{name}": rmse[:, column]}
        return found

    return Tally("affect", lines, numbers, "ccc_mean")


def _units(logits: Floats, targets: Floats) -> Tally:
    labelled = ~np.isnan(targets)
    present, predicted = labelled & (targets >= 0.5), labelled & (logits >= 0)
    lines = sparse.csr_matrix(np.concatenate([present & predicted, predicted, present], axis=1, dtype=np.float64))

    def numbers(sums: Floats) -> Numbers:
        hits, predicted, present = np.split(sums, 3, axis=1)
        f1 = np.where(present > 0, divide(2 * hits, predicted + present), np.nan)
        return {"f1_units_mean": _mean(f1, 1)}

    return Tally("units", lines, numbers, "f1_units_mean")
