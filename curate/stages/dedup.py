"""The stage `dedup`: near-identical crops are dropped in favour of the best one of their group."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import dedup, hashing
from ..config import Dataset
from ..outcome import DropReason
from .rows import Record, labels_of, take_back

MOST_CONFLICTS = 1000
"""How many near pairs of two labels the record lists, the nearest first; it counts them all."""


def find_duplicates(rows: pd.DataFrame, dataset: Dataset, out: Path) -> tuple[pd.DataFrame, Record]:
    """Write `duplicate_of` and the reason `duplicate`; the sharpest crop of a group represents it.

    Args:
        rows: The manifest.
        dataset: Its `dedup`.
        out: The set's folder.

    Returns:
        The rows with the decisions, and the record: radius, groups, largest diameter, conflicts of label.
    """
    rows = take_back(rows, DropReason.DUPLICATE, DropReason.OVER_CAP)
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
            labels=labels_of(some),
            key=some["face_id"].to_numpy(str),
        )
        representative[members] = members[local]
    ids = candidates["face_id"].to_numpy(object)
    dropped = representative != np.arange(len(kept))
    places = rows.index[kept[dropped]]
    rows.loc[places, "duplicate_of"] = ids[representative[dropped]]
    rows.loc[places, "drop_reason"] = str(DropReason.DUPLICATE)
    diameters = dedup.group_diameters(h, representative)
    conflicts = dedup.conflicts(h, labels_of(candidates), radius=spec.radius)
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


def _scopes(rows: pd.DataFrame, within: str) -> list[NDArray[np.intp]]:
    """Give the positions that are compared with one another."""
    if within == "set":
        return [np.arange(len(rows))]
    return [np.sort(places) for _, places in sorted(rows.reset_index(drop=True).groupby("source_id").indices.items())]
