"""Metrics that are right over batches and ranks: every one is computed from one confusion matrix at the end.

A class that a split has no rows of has no recall, and takes no part in the macro averages; predictions of it still
count as errors for the class that the row is of. scikit-learn gives the same with `labels=` the classes that occur.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection


def recalls(confusion: Tensor) -> Tensor:
    """Compute each class's recall from counts [true, predicted]; NaN for a class without rows."""
    return confusion.diagonal() / confusion.sum(1)


def precisions(confusion: Tensor) -> Tensor:
    """Compute each class's precision from counts [true, predicted]; NaN for a class that was never predicted."""
    return confusion.diagonal() / confusion.sum(0)


def f1_scores(confusion: Tensor) -> Tensor:
    """Compute each class's F1 from counts [true, predicted]; NaN for a class without rows."""
    f1 = 2 * confusion.diagonal() / (confusion.sum(0) + confusion.sum(1))
    return torch.where(confusion.sum(1) > 0, f1, torch.nan)


def accuracy_micro(confusion: Tensor) -> Tensor:
    """Compute the share of rows that are right; NaN without rows."""
    return confusion.diagonal().sum() / confusion.sum()


def accuracy_macro(confusion: Tensor) -> Tensor:
    """Compute the mean recall over the classes that have rows (balanced accuracy)."""
    return recalls(confusion).nanmean()


def f1_macro(confusion: Tensor) -> Tensor:
    """Compute the mean F1 over the classes that have rows."""
    return f1_scores(confusion).nanmean()


class Confusion(Metric):
    """Counts [true, predicted], summed over batches and ranks; padded rows are left out.

    Args:
        classes: Number of classes.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("counts", torch.zeros(classes, classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor, valid: Tensor) -> None:
        """Count a batch: logits [N, classes], targets int64 [N], valid bool [N]."""
        cells = targets[valid] * self.classes + logits[valid].argmax(1)
        self.counts += torch.bincount(cells, minlength=self.classes**2).view(self.classes, self.classes)

    def compute(self) -> Tensor:
        """Give the counts, int64 [true, predicted]."""
        return self.counts


class AccuracyMicro(Confusion):
    """Share of rows that are right."""

    def compute(self) -> Tensor:
        """Give the share."""
        return accuracy_micro(self.counts.double()).float()


class AccuracyMacro(Confusion):
    """Mean recall over the classes that have rows."""

    def compute(self) -> Tensor:
        """Give the mean."""
        return accuracy_macro(self.counts.double()).float()


class F1Macro(Confusion):
    """Mean F1 over the classes that have rows."""

    def compute(self) -> Tensor:
        """Give the mean."""
        return f1_macro(self.counts.double()).float()


def scalar_metrics(classes: int, prefix: str) -> MetricCollection:
    """Make the metrics that are logged each epoch: accuracy_micro, accuracy_macro and f1_macro."""
    metrics: dict[str, Metric | MetricCollection] = {
        "accuracy_micro": AccuracyMicro(classes),
        "accuracy_macro": AccuracyMacro(classes),
        "f1_macro": F1Macro(classes),
    }
    return MetricCollection(metrics, prefix=prefix, compute_groups=[list(metrics)])


@dataclass(frozen=True)
class ClassScore:
    """One class's numbers; None where one is not defined: recall and F1 without rows, precision never predicted."""

    name: str
    rows: int
    precision: float | None
    recall: float | None
    f1: float | None


def class_scores(confusion: Tensor, names: list[str]) -> list[ClassScore]:
    """Compute each class's precision, recall and F1 from counts [true, predicted]."""
    counts = confusion.double()
    columns = zip(names, counts.sum(1), precisions(counts), recalls(counts), f1_scores(counts), strict=True)
    return [ClassScore(name, int(rows), _or_none(p), _or_none(r), _or_none(f)) for name, rows, p, r, f in columns]


def _or_none(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def summary(confusion: Tensor) -> dict[str, float]:
    """Compute the three summary metrics from counts [true, predicted]."""
    counts = confusion.double()
    return {
        "accuracy_micro": float(accuracy_micro(counts)),
        "accuracy_macro": float(accuracy_macro(counts)),
        "f1_macro": float(f1_macro(counts)),
    }
