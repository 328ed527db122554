"""Distances between the perceptual hashes of a manifest's rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .sheets import evenly

HASH_BYTES = 32
_PAIRWISE = 4096  # members compared with each other for a group's diameter

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


def hash_matrix(column: "pd.Series[Any]") -> tuple[Words, npt.NDArray[np.bool_]]:
    """Pack hashes of 32 bytes as uint64 [N, 4], zeros where there is none, and tell which there are."""
    known = np.array([isinstance(value, bytes) and len(value) == HASH_BYTES for value in column], dtype=bool)
    joined = b"".join(value if there else bytes(HASH_BYTES) for value, there in zip(column, known, strict=True))
    return np.frombuffer(joined, dtype=np.uint64).reshape(-1, HASH_BYTES // 8), known


def hamming(left: Words, right: Words) -> npt.NDArray[np.int64]:
    """Count the bits in which hashes differ, over the last axis, with broadcasting."""
    bits: npt.NDArray[np.int64] = np.bitwise_count(left ^ right).sum(axis=-1, dtype=np.int64)
    return bits


def distances(own: pd.DataFrame, other: pd.DataFrame, *, mirrored: bool) -> Floats:
    """Give the distance of each row to the row of `other` at the same place; NaN where a hash is missing.

    Args:
        own: N rows.
        other: N rows, or one that all are compared with.
        mirrored: The mirror images of `own` count as well; the lesser distance is given.
    """
    theirs, theirs_known = hash_matrix(other["hash"])
    bits = np.full(len(own), np.inf)
    for column in ("hash", "mirrored_hash") if mirrored else ("hash",):
        ours, known = hash_matrix(own[column])
        bits = np.minimum(bits, np.where(known & theirs_known, hamming(ours, theirs), np.inf))
    return np.where(np.isfinite(bits), bits, np.nan)


def duplicate_bits(rows: pd.DataFrame, part: pd.DataFrame, *, mirrored: bool = False) -> Floats:
    """Give the distance of each row of `part` to its representative in `rows`; NaN where it is not known."""
    firsts = rows.drop_duplicates("face_id")
    places = pd.Index(firsts["face_id"]).get_indexer(pd.Index(part["duplicate_of"]))
    if firsts.empty:
        return np.full(len(part), np.nan)
    bits = distances(part, firsts.iloc[places], mirrored=mirrored)
    return np.where(places < 0, np.nan, bits)


def diameter_bits(hashes: Words) -> tuple[int, bool]:
    """Give the largest distance between any two hashes, and whether only a sample of them was compared."""
    sampled = len(hashes) > _PAIRWISE
    chosen = hashes[evenly(len(hashes), _PAIRWISE)]
    return max((int(hamming(one, chosen).max()) for one in chosen), default=0), sampled
