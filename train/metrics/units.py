"""Numbers of the action units.

A label of 0.5 or more says that the unit is there; so does a probability at or above the unit's threshold. A unit that
no row of the split shows has no recall, F1, AUC or average precision, and takes no part in the means.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata

from align import UsageError

from ..tasks import Tasks
from .collect import Outcome
from .labelled import ColumnRows, Floats, none_or_mean, unit_columns

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class UnitScore:
    """One action unit's numbers; None where one is not defined.

    Attributes:
        name: As the manifest's column.
        rows: With a label.
        prevalence: Share of them that show it.
        f1: Of the rows that show it, at `threshold`; what always answers yes reaches 2 p / (1 + p) at prevalence p.
        precision: At `threshold`; None where it was never predicted.
        recall: At `threshold`.
        auc: Area under the ROC curve, the chance that a row with the unit scores above one without, ties counting half.
        average_precision: Precision at each row with the unit, averaged over them, without interpolation.
        threshold: Probability at or above which the unit is predicted.
    """

    name: str
    rows: int
    prevalence: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    auc: float | None
    average_precision: float | None
    threshold: float


def per_unit(outcome: Outcome, tasks: Tasks, thresholds: Mapping[str, float] | None = None) -> list[UnitScore]:
    """Compute each action unit's numbers.

    Args:
        outcome: Outputs and labels.
        tasks: Which columns are units.
        thresholds: From `tune_thresholds` on the validation split; 0.5 for units that it does not name.

    Raises:
        UsageError: A threshold is of a unit that the model has not.
    """
    chosen = dict(thresholds or {})
    unknown = sorted(set(chosen) - set(tasks.units))
    if unknown:
        raise UsageError(f"thresholds must be of the model's units {tasks.units} (got {', '.join(unknown)})")
    columns = unit_columns(outcome, tasks)
    return [_score(column, chosen.get(column.name, DEFAULT_THRESHOLD)) for column in columns]


def tune_thresholds(outcome: Outcome, tasks: Tasks) -> dict[str, float]:
    """Find the threshold of each unit with the best F1; for the validation split, never for the one that is reported.

    Returns:
        A probability that some row has, the highest of equally good ones; 0.5 for a unit that no row shows.
    """
    return {column.name: _best_threshold(column) for column in unit_columns(outcome, tasks)}


def unit_summary(outcome: Outcome, tasks: Tasks) -> dict[str, float | None]:
    """Compute the means over the units, and F1 over all their labels together, at a threshold of 0.5.

    The precision of a unit that the split shows and the model never predicts counts as 0, as that of a class does.
    """
    columns, scores = list(unit_columns(outcome, tasks)), per_unit(outcome, tasks)
    hits, predicted, present = np.sum([_tally(c, DEFAULT_THRESHOLD) for c in columns], axis=0)
    shown = [score for score in scores if score.recall is not None]
    return {
        "precision_units_mean": none_or_mean([score.precision or 0.0 for score in shown]),
        "recall_units_mean": none_or_mean([score.recall for score in shown]),
        "f1_units_mean": none_or_mean([score.f1 for score in scores]),
        "f1_units_micro": 2 * hits / (predicted + present) if present else None,
        "auc_units_mean": none_or_mean([score.auc for score in scores]),
        "average_precision_units_mean": none_or_mean([score.average_precision for score in scores]),
    }


def _present(column: ColumnRows) -> NDArray[np.bool_]:
    return column.targets >= 0.5


def _tally(column: ColumnRows, threshold: float) -> tuple[int, int, int]:
    """Count the rows that are rightly predicted to show the unit, those predicted to, and those that do."""
    present, predicted = _present(column), expit(column.outputs) >= threshold
    return int((present & predicted).sum()), int(predicted.sum()), int(present.sum())


def _score(column: ColumnRows, threshold: float) -> UnitScore:
    hits, predicted, present = _tally(column, threshold)
    rows = len(column.targets)
    return UnitScore(
        column.name,
        rows,
        prevalence=present / rows if rows else None,
        f1=2 * hits / (predicted + present) if present else None,
        precision=hits / predicted if predicted else None,
        recall=hits / present if present else None,
        auc=_auc(column),
        average_precision=_average_precision(column) if present else None,
        threshold=threshold,
    )


def _auc(column: ColumnRows) -> float | None:
    """Compute the area under the ROC curve from rank sums (Mann and Whitney 1947)."""
    present = _present(column)
    positives, negatives = int(present.sum()), int((~present).sum())
    if not positives or not negatives:
        return None
    above = rankdata(column.outputs)[present].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _steps(scores: Floats, present: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Lower the threshold score by score: the distinct scores, the hits and the predictions at or above each."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    return ordered[last], np.cumsum(present[order], dtype=np.float64)[last], (last + 1).astype(np.float64)


def _average_precision(column: ColumnRows) -> float:
    _, hits, predicted = _steps(column.outputs, _present(column))
    return float((np.diff(hits, prepend=0.0) * hits / predicted).sum() / hits[-1])


def _best_threshold(column: ColumnRows) -> float:
    present = _present(column)
    if not present.any():
        return DEFAULT_THRESHOLD
    scores, hits, predicted = _steps(expit(column.outputs), present)
    return float(scores[(2 * hits / (predicted + hits[-1])).argmax()])
