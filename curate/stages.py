"""The stages after ingest: each reads the manifest's rows, writes its decisions into them, and says what it did.

Decisions are written, rows are never deleted. A stage that is run again first takes back its own decisions and
those of the stages after it.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import balance, dedup, hashing, split
from .config import Dataset
from .outcome import DropReason

Record = dict[str, Any]

MOST_CONFLICTS = 1000
"""How many near pairs of two labels the record lists, the nearest first; it counts them all."""


def find_duplicates(rows: pd.DataFrame, dataset: Dataset) -> tuple[pd.DataFrame, Record]:
    """Write `duplicate_of` and the reason `duplicate`; the sharpest crop of a group represents it.

    Args:
        rows: The manifest.
        dataset: Its `dedup`.

    Returns:
        The rows with the decisions, and the record: radius, groups, largest diameter, conflicts of label.
    """
    rows = _take_back(rows, DropReason.DUPLICATE, DropReason.OVER_CAP)
    rows[["duplicate_of", "split"]] = None
    rows["repeat"] = pd.array([None] * len(rows), dtype="Int32")
    spec = dataset.dedup
    kept = np.flatnonzero(rows["drop_reason"].isna() & rows["hash"].notna())
    candidates = rows.iloc[kept]
    h = hashing.from_bytes(candidates["hash"].tolist(), bits=spec.bits)
    representative = np.arange(len(kept))
    for members in _scopes(candidates, spec.within):
        some = candidates.iloc[members]
        local = dedup.group(
            h[members],
            radius=spec.radius,
            quality=some["sharpness"].to_numpy(np.float64),
            labels=_labels(some),
            key=some["face_id"].to_numpy(str),
        )
        representative[members] = members[local]
    ids = candidates["face_id"].to_numpy(object)
    dropped = representative != np.arange(len(kept))
    places = rows.index[kept[dropped]]
    rows.loc[places, "duplicate_of"] = ids[representative[dropped]]
    rows.loc[places, "drop_reason"] = str(DropReason.DUPLICATE)
    diameters = dedup.group_diameters(h, representative)
    conflicts = dedup.conflicts(h, _labels(candidates), radius=spec.radius)
    nearest = sorted(zip(*(part.tolist() for part in conflicts), strict=True), key=lambda pair: (pair[2], *pair))
    nearest = nearest[:MOST_CONFLICTS]
    return rows, {
        "hash_kind": hashing.hash_kind(spec.algorithm, spec.bits),
        "radius": spec.radius,
        "within": spec.within,
        "groups": len(np.unique(representative[dropped])),
        "duplicates": int(dropped.sum()),
        "largest_diameter": int(diameters.max(initial=0)),
        "conflict_count": len(conflicts[0]),
        "conflicts": [[str(ids[i]), str(ids[j]), int(d)] for i, j, d in nearest],
    }


def assign_splits(rows: pd.DataFrame, dataset: Dataset) -> tuple[pd.DataFrame, Record]:
    """Write `split` of every kept row; no person, source or group of near-duplicates stands on two sides.

    Args:
        rows: The manifest after `find_duplicates`.
        dataset: Its `split`.

    Returns:
        The rows with the decisions, and the record: shares asked for and got, and notes on what was unmet.
    """
    rows = _take_back(rows, DropReason.OVER_CAP)
    rows["split"] = None
    rows["repeat"] = pd.array([None] * len(rows), dtype="Int32")
    spec = dataset.split
    kept = rows["drop_reason"].isna()
    groups = split_groups(rows, dataset)[kept.to_numpy()]
    fractions = {"val": spec.val, "test": spec.test}
    labels = _labels(rows[kept])
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


def balance_training(rows: pd.DataFrame, dataset: Dataset) -> tuple[pd.DataFrame, Record]:
    """Write `repeat`, and the reason `over_cap` where it is 0; validation and test keep their natural mix.

    Args:
        rows: The manifest after `assign_splits`.
        dataset: Its `balance`.

    Returns:
        The rows with the decisions, and the record: cap, and the classes before and after.
    """
    rows = _take_back(rows, DropReason.OVER_CAP)
    spec = dataset.balance
    repeat = pd.array([None] * len(rows), dtype="Int32")
    kept = rows["drop_reason"].isna().to_numpy()
    repeat[kept] = 1
    training = np.flatnonzero(kept & (rows["split"] == "train").to_numpy())
    some = rows.iloc[training]
    counts = balance.repeats(
        _labels(some), spec.cap, oversample=spec.oversample, rng=spec.seed, keys=some["face_id"].to_numpy(object)
    )
    repeat[training] = counts
    rows["repeat"] = repeat
    rows.loc[rows.index[training[counts == 0]], "drop_reason"] = str(DropReason.OVER_CAP)
    classes = balance.table(_labels(some), counts).rename_axis("label").reset_index().to_dict("records")
    return rows, {"cap": spec.cap, "oversample": spec.oversample, "classes": classes}


def _take_back(rows: pd.DataFrame, *reasons: DropReason) -> pd.DataFrame:
    rows = rows.copy()
    rows.loc[rows["drop_reason"].isin([str(reason) for reason in reasons]), "drop_reason"] = None
    return rows


def _labels(rows: pd.DataFrame) -> NDArray[np.object_]:
    """Give the labels, None where there is none."""
    labels: NDArray[np.object_] = rows["label"].astype(object).where(rows["label"].notna(), None).to_numpy(object)
    return labels


def _scopes(rows: pd.DataFrame, within: str) -> list[NDArray[np.intp]]:
    """Give the positions that are compared with one another."""
    if within == "set":
        return [np.arange(len(rows))]
    return [np.sort(places) for _, places in sorted(rows.reset_index(drop=True).groupby("source_id").indices.items())]
