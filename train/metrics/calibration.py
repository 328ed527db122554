"""Whether a class that is told with 80 % is right 8 times in 10, and the temperature that brings it closer."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from align import EyelineError, UsageError

from ..tasks import Tasks
from .collect import Outcome
from .labelled import ClassRows, class_rows

DEFAULT_BINS = 15
TEMPERATURES = (0.05, 20.0)
"""Where `fit_temperature` looks."""


@dataclass(frozen=True)
class Bin:
    """The rows whose highest probability lies above `lower` and at or below `upper`.

    Attributes:
        lower: Lower edge.
        upper: Upper edge.
        count: Rows.
        confidence: Mean of their highest probabilities; None without rows.
        accuracy: Share of them that are right; None without rows.
    """

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


def reliability(outcome: Outcome, tasks: Tasks, bins: int = DEFAULT_BINS, temperature: float = 1.0) -> list[Bin]:
    """Sort the rows into bins of equal width by their highest probability (Guo et al. 2017).

    Args:
        outcome: Outputs and labels.
        tasks: Which columns are classes.
        bins: How many.
        temperature: That the logits are divided by.
    """
    if bins < 1:
        raise UsageError(f"bins must be an integer >= 1 (got {bins})")
    rows = class_rows(outcome, tasks)
    confidence = np.exp(rows.log_probabilities(temperature).max(1, initial=-np.inf))
    right = rows.true == rows.predicted
    edges = np.linspace(0, 1, bins + 1)
    place = np.digitize(confidence, edges[1:-1], right=True)
    found = []
    for i in range(bins):
        inside = place == i
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (None, None)
        found.append(Bin(float(edges[i]), float(edges[i + 1]), count, *means))
    return found


def ece(outcome: Outcome, tasks: Tasks, bins: int = DEFAULT_BINS, temperature: float = 1.0) -> float | None:
    """Compute the expected calibration error: the bins' gaps between confidence and accuracy, weighted by their rows.

    Returns:
        None without labelled rows.
    """
    filled = [b for b in reliability(outcome, tasks, bins, temperature) if b.count]
    gaps = [abs((b.confidence or 0.0) - (b.accuracy or 0.0)) for b in filled]
    return float(np.average(gaps, weights=[b.count for b in filled])) if filled else None


def nll(outcome: Outcome, tasks: Tasks, temperature: float = 1.0) -> float | None:
    """Compute the mean negative log likelihood, unweighted; of votes, the cross-entropy.

    Returns:
        None without labelled rows.
    """
    rows = class_rows(outcome, tasks)
    return _nll(rows, temperature) if len(rows.targets) else None


def _nll(rows: ClassRows, temperature: float) -> float:
    return float(-(rows.targets * rows.log_probabilities(temperature)).sum(1).mean())


def brier(outcome: Outcome, tasks: Tasks, temperature: float = 1.0) -> float | None:
    """Compute the mean squared distance of probabilities and label, summed over the classes: 0 to 2 (Brier 1950).

    Returns:
        None without labelled rows.
    """
    rows = class_rows(outcome, tasks)
    distances = ((np.exp(rows.log_probabilities(temperature)) - rows.targets) ** 2).sum(1)
    return float(distances.mean()) if len(distances) else None


def fit_temperature(outcome: Outcome, tasks: Tasks) -> float:
    """Find the temperature with the lowest `nll` (Guo et al. 2017); for the validation split alone.

    Returns:
        What to divide logits by, 0.05 to 20; an end of that range where the likelihood grows beyond it, as it does
        where every row is right.

    Raises:
        EyelineError: No row has a class.
    """
    rows = class_rows(outcome, tasks)
    if not len(rows.targets):
        raise EyelineError("a temperature must be fitted on rows with a class (found none); label validation rows")
    low, high = np.log(TEMPERATURES)
    best = minimize_scalar(lambda t: _nll(rows, float(np.exp(t))), bounds=(low, high), options={"xatol": 1e-9})
    return float(np.exp(best.x))
