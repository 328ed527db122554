"""Metrics that are right over batches and ranks: every row is collected once, and all numbers come from the rows."""

from .affect import AffectScore, affect_scores
from .calibration import Bin, brier, ece, fit_temperature, nll, reliability
from .classes import ClassScore, class_scores, confusion, per_class
from .collect import Collector, Outcome
from .summary import summary
from .units import UnitScore, per_unit, tune_thresholds

__all__ = [
    "AffectScore",
    "Bin",
    "ClassScore",
    "Collector",
    "Outcome",
    "UnitScore",
    "affect_scores",
    "brier",
    "class_scores",
    "confusion",
    "ece",
    "fit_temperature",
    "nll",
    "per_class",
    "per_unit",
    "reliability",
    "summary",
    "tune_thresholds",
]
