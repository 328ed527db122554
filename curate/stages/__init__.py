"""The stages after ingest: each reads the manifest's rows, writes its decisions into them, and says what it did.

Decisions are written, rows are never deleted. A stage that is run again first takes back its own decisions and
those of the stages after it.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..config import Dataset
from .balance import balance_training
from .dedup import find_duplicates
from .identify import name_people
from .rows import Record
from .split import assign_splits, split_groups

__all__ = ["STAGES", "Record", "assign_splits", "balance_training", "find_duplicates", "name_people", "split_groups"]

Stage = Callable[[pd.DataFrame, Dataset, Path], tuple[pd.DataFrame, Record]]
"""Takes the manifest's rows, the dataset and the set's folder; gives the rows with its decisions, and its record."""

STAGES: dict[str, Stage] = {
    "dedup": find_duplicates,
    "identify": name_people,
    "split": assign_splits,
    "balance": balance_training,
}
"""In their order. Each one that runs makes those after it out of date."""
