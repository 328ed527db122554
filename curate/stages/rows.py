"""What the stages share: how they take back decisions, and labels as they compare them."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..outcome import DropReason

Record = dict[str, Any]


def take_back(rows: pd.DataFrame, *reasons: DropReason) -> pd.DataFrame:
    """Give a copy of the rows in which none is dropped for one of `reasons`."""
    rows = rows.copy()
    rows.loc[rows["drop_reason"].isin([str(reason) for reason in reasons]), "drop_reason"] = None
    return rows


def labels_of(rows: pd.DataFrame) -> NDArray[np.object_]:
    """Give the labels, None where there is none."""
    labels: NDArray[np.object_] = rows["label"].astype(object).where(rows["label"].notna(), None).to_numpy(object)
    return labels
