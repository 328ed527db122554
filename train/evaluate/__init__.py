"""What a model is worth on a set: numbers and a figure after `validate` and `test`, a whole report by `evaluate`."""

from .callback import EvaluationReport
from .leaks import find_leaks, leaks_from_training, leaks_within, worst_first
from .numbers import csv_text, evaluation, table, write_evaluation
from .page import render
from .report import Report, make_report, package_versions, write_report
from .run import Asked, Evaluated, Part, make_trainer, run_checkpoint

__all__ = [
    "Asked",
    "Evaluated",
    "EvaluationReport",
    "Part",
    "Report",
    "csv_text",
    "evaluation",
    "find_leaks",
    "leaks_from_training",
    "leaks_within",
    "make_report",
    "make_trainer",
    "package_versions",
    "render",
    "run_checkpoint",
    "table",
    "worst_first",
    "write_evaluation",
    "write_report",
]
