"""Trains every combination of a grid, each as `fit` and `test` in a process of its own, into one table and plot."""

from .options import Asked, CostSpec, ExtraSet, parse_pairs
from .plan import Plan, Run, read_plan
from .report import COLUMNS, as_table, over_seeds, with_spread, write_report
from .runs import State, state_of, sweep

__all__ = [
    "COLUMNS",
    "Asked",
    "CostSpec",
    "ExtraSet",
    "Plan",
    "Run",
    "State",
    "as_table",
    "over_seeds",
    "parse_pairs",
    "read_plan",
    "state_of",
    "sweep",
    "with_spread",
    "write_report",
]
