"""Numbers of the classes, all from one confusion matrix.

A class without rows has no recall and no F1, and takes no part in the macro averages; rows that are taken for it still
count as errors of the class they are of. A class with rows that is never predicted has precision 0 in the macro
average. scikit-learn gives the same with `labels=` the classes that occur and `zero_division=0`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..tasks import Tasks
from .collect import Outcome
from .labelled import class_rows

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScore:
    """One class's numbers; None where one is not defined: recall and F1 without rows, precision never predicted."""

    name: str
    rows: int
    precision: float | None
    recall: float | None
    f1: float | None


def confusion(outcome: Outcome, tasks: Tasks) -> Counts:
    """Count the rows with a class, int64 [true, predicted]."""
    rows, classes = class_rows(outcome, tasks), len(tasks.classes)
    cells = rows.true * classes + rows.predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def per_class(outcome: Outcome, tasks: Tasks) -> list[ClassScore]:
    """Compute each class's precision, recall and F1."""
    return class_scores(confusion(outcome, tasks), tasks.classes)


def class_scores(counts: Counts, names: Sequence[str]) -> list[ClassScore]:
    """Compute each class's precision, recall and F1 from counts [true, predicted]."""
    right, rows, predicted = np.diagonal(counts), counts.sum(1), counts.sum(0)
    return [
        ClassScore(name, int(n), _ratio(r, p), _ratio(r, n), _ratio(2 * r, n + p) if n else None)
        for name, r, n, p in zip(names, right, rows, predicted, strict=True)
    ]


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def class_summary(outcome: Outcome, tasks: Tasks) -> dict[str, float | None]:
    """Compute the averages over classes."""
    counts = confusion(outcome, tasks)
    rows = int(counts.sum())
    scores = [score for score in class_scores(counts, tasks.classes) if score.rows]
    f1 = [score.f1 or 0.0 for score in scores]
    return {
        "accuracy_micro": _ratio(int(np.trace(counts)), rows),
        "accuracy_macro": float(np.mean([score.recall or 0.0 for score in scores])) if rows else None,
        "precision_macro": float(np.mean([score.precision or 0.0 for score in scores])) if rows else None,
        "f1_macro": float(np.mean(f1)) if rows else None,
        "f1_weighted": float(np.average(f1, weights=[score.rows for score in scores])) if rows else None,
    }
