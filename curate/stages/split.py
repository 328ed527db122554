"""The stage `split`: every kept row goes to train, val or test; what must stay together does."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import dedup, hashing, split
from ..config import Dataset
from ..outcome import DropReason
from .rows import Record, labels_of, take_back


def assign_splits(rows: pd.DataFrame, dataset: Dataset, out: Path) -> tuple[pd.DataFrame, Record]:
    """Write `split` of every kept row; no person, source or group of near-duplicates stands on two sides.

    Args:
        rows: The manifest after `find_duplicates`.
        dataset: Its `split`.
        out: The set's folder.

    Returns:
        The rows with the decisions, and the record: shares asked for and got, and notes on what was unmet.
    """
    rows = take_back(rows, DropReason.OVER_CAP)
    rows["split"] = None
    rows["repeat"] = pd.array([None] * len(rows), dtype="Int32")
    spec = dataset.split
    kept = rows["drop_reason"].isna()
    groups = split_groups(rows, dataset)[kept.to_numpy()]
    fractions = {"val": spec.val, "test": spec.test}
    labels = labels_of(rows[kept])
    names = split.assign(groups, labels, fractions, spec.seed)
    rows.loc[kept, "split"] = names
    found = split.describe(names, groups, labels, fractions)
    return rows, {
        "by": spec.by,
        "asked": dict(found.asked),
        "got": found.got.loc["all"].to_dict(),
        "items": found.items.to_dict("index"),
        "groups": found.groups.to_dict("index"),
        "notes": list(found.unmet),
    }


def split_groups(rows: pd.DataFrame, dataset: Dataset) -> NDArray[np.int64]:
    """Number the groups that must stay on one side: int64 [N], one a row.

    Rows belong together that share a source, a person (unless `split.by` is `source`), a representative, or a near
    pair of two labels. Dropped duplicates count: through them two sources can show the same moment.
    """
    place = pd.Series(np.arange(len(rows)), index=rows["face_id"])
    representative = place.loc[rows["duplicate_of"].fillna(rows["face_id"])].to_numpy()
    hashed = np.flatnonzero((rows["drop_reason"].isna() & rows["hash"].notna()).to_numpy())
    h = hashing.from_bytes(rows["hash"].iloc[hashed].tolist(), bits=dataset.dedup.bits)
    i, j, _ = dedup.near_pairs(h, radius=dataset.dedup.radius)
    keys = [rows["source_id"], pd.Series(dedup.clusters(representative, (hashed[i], hashed[j])))]
    if dataset.split.by == "subject":
        keys.append(rows["subject"])
    return split.union_groups(*(key.to_numpy(object) for key in keys))
