"""The scalars of a split: what is logged each epoch, and what early stopping and sweeps may watch."""

import math

from ..tasks import Tasks
from .affect import affect_scores
from .calibration import brier, ece, nll
from .classes import class_summary
from .collect import Outcome
from .labelled import none_or_mean
from .units import unit_summary

_AFFECT_NUMBERS = ("ccc", "rmse", "pearson", "sagr")


def summary(outcome: Outcome, tasks: Tasks) -> dict[str, float]:
    """Compute the scalars of every task of the model.

    Args:
        outcome: From a `Collector`.
        tasks: What the columns are.

    Returns:
        By name. A number that is not defined on this split is left out, so that nothing can watch a NaN by accident:
        early stopping on a name that is not there is an error.
    """
    numbers: dict[str, float | None] = {}
    if tasks.classes:
        numbers |= class_summary(outcome, tasks)
        numbers |= {"nll": nll(outcome, tasks), "brier": brier(outcome, tasks), "ece": ece(outcome, tasks)}
    if tasks.affect:
        numbers |= _affect(outcome, tasks)
    if tasks.units:
        numbers |= unit_summary(outcome, tasks)
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}


def _affect(outcome: Outcome, tasks: Tasks) -> dict[str, float | None]:
    """Give each number of valence and arousal, and the mean of those of the two that are defined."""
    scores = affect_scores(outcome, tasks)
    numbers: dict[str, float | None] = {}
    for number in _AFFECT_NUMBERS:
        values = [getattr(score, number) for score in scores]
        numbers |= {f"{number}_{score.name}": value for score, value in zip(scores, values, strict=True)}
        numbers[f"{number}_mean"] = none_or_mean(values)
    return numbers
