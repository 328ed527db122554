"""Trains every combination of a grid, each as `fit` and `test` in a process of its own, into one table and plot."""

from .options import Asked, CostSpec, ExtraSet
from .plan import Plan, Run, read_plan
from .report import COLUMNS, as_table, over_seeds, with_spread, write_report
from .runs import State, claimed, state_of, sweep
from .values import parse, parse_pairs, split_pairs

__all__ = [
    "COLUMNS",
    "Asked",
    "CostSpec",
    "ExtraSet",
    "Plan",
    "Run",
    "State",
    "as_table",
    "claimed",
    "over_seeds",
    "parse",
    "parse_pairs",
    "read_plan",
    "split_pairs",
    "state_of",
    "sweep",
    "with_spread",
    "write_report",
]
