"""The stage `balance`: how often an epoch shows each row of the training part."""

from pathlib import Path

import numpy as np
import pandas as pd

from .. import balance
from ..config import Dataset
from ..outcome import DropReason
from .rows import Record, labels_of, take_back


def balance_training(rows: pd.DataFrame, dataset: Dataset, out: Path) -> tuple[pd.DataFrame, Record]:
    """Write `repeat`, and the reason `over_cap` where it is 0; validation and test keep their natural mix.

    Args:
        rows: The manifest after `assign_splits`.
        dataset: Its `balance`.
        out: The set's folder.

    Returns:
        The rows with the decisions, and the record: cap, and the classes before and after.
    """
    rows = take_back(rows, DropReason.OVER_CAP)
    spec = dataset.balance
    repeat = pd.array([None] * len(rows), dtype="Int32")
    kept = rows["drop_reason"].isna().to_numpy()
    repeat[kept] = 1
    training = np.flatnonzero(kept & (rows["split"] == "train").to_numpy())
    some = rows.iloc[training]
    counts = balance.repeats(
        labels_of(some), spec.cap, oversample=spec.oversample, rng=spec.seed, keys=some["face_id"].to_numpy(object)
    )
    repeat[training] = counts
    rows["repeat"] = repeat
    rows.loc[rows.index[training[counts == 0]], "drop_reason"] = str(DropReason.OVER_CAP)
    classes = balance.table(labels_of(some), counts).rename_axis("label").reset_index().to_dict("records")
    return rows, {"cap": spec.cap, "oversample": spec.oversample, "classes": classes}
