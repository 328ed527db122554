"""Which faces of a track are kept, where it has more than are wanted: the most different, or evenly spread ones."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .config import Sample
from .outcome import DropReason

LANDMARK_UNIT = 0.05
"""Distance between the eyes. Landmarks that moved by as much, in the mean, show as another expression ..."""

HASH_UNIT = 0.1
"""... and so does a hash of which this share of the bits changed."""


def drop_redundant(rows: pd.DataFrame, sample: Sample) -> pd.DataFrame:
    """Drop what `Sample.novel` or `Sample.per_scene` has no room for, with the reason `redundant`.

    Args:
        rows: The manifest's rows with their tracks; rows without one stay.
        sample: How many faces of a track are kept.

    Returns:
        The rows; the same for any order of them.
    """
    budget = sample.novel or sample.per_scene
    if budget is None:
        return rows
    rows = rows.copy()
    kept = np.flatnonzero((rows["drop_reason"].isna() & rows["track"].notna()).to_numpy())
    keys = rows["face_id"].to_numpy(str)
    dropped: list[NDArray[np.intp]] = []
    for members in rows.iloc[kept].groupby("track", sort=True).indices.values():
        places = kept[members]
        places = places[np.argsort(keys[places])]
        if len(places) > budget:
            track = rows.iloc[places]
            chosen = most_different(track, budget) if sample.novel else evenly_spread(track, budget)
            dropped.append(np.delete(places, chosen))
    if dropped:
        rows.loc[rows.index[np.concatenate(dropped)], "drop_reason"] = str(DropReason.REDUNDANT)
    return rows


def evenly_spread(track: pd.DataFrame, count: int) -> NDArray[np.intp]:
    """Choose the sharpest face of each of `count` stretches of equal length; the rows stand in order of time."""
    sharpness = track["sharpness"].to_numpy(np.float64)
    stretches = np.array_split(np.arange(len(track)), count)
    return np.array([some[np.argmax(sharpness[some])] for some in stretches], np.intp)


def most_different(track: pd.DataFrame, count: int) -> NDArray[np.intp]:
    """Choose the `count` faces that differ most in expression, farthest point first (Gonzalez 1985).

    The first is the sharpest; each next one is that whose nearest chosen face is the farthest. What the bound of the
    method says holds: no choice of as many faces comes nearer than half as near to all the others.

    Args:
        track: Rows of one track with `landmarks`, `matrix`, `eyes`, `hash` and `sharpness`.
        count: At most as many as there are rows.

    Returns:
        Places in `track`, sorted.
    """
    points = np.stack([_aligned_points(*values) for values in zip(*(track[name] for name in _SHAPE), strict=True)])
    bits = np.stack([_bits(value) for value in track["hash"]])
    width = 256 if bits[:, 64:].any() else 64
    nearest = np.full(len(track), np.inf)
    chosen = [int(np.argmax(track["sharpness"].to_numpy(np.float64)))]
    while True:
        last = chosen[-1]
        moved = np.sqrt(((points - points[last]) ** 2).sum(axis=2).mean(axis=1)) / LANDMARK_UNIT
        changed = (bits != bits[last]).sum(axis=1) / (HASH_UNIT * width)
        nearest = np.minimum(nearest, np.hypot(moved, changed))
        nearest[last] = -1.0
        if len(chosen) == count:
            return np.sort(np.array(chosen, np.intp))
        chosen.append(int(np.argmax(nearest)))


_SHAPE = ("landmarks", "matrix", "eyes")


def _aligned_points(
    landmarks: NDArray[np.float32], matrix: NDArray[np.float32], eyes: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Bring landmarks into the crop, in distances between the eyes: what is left of their motion is expression."""
    points, turn = np.asarray(landmarks, np.float64).reshape(-1, 2), np.asarray(matrix, np.float64).reshape(2, 3)
    left, right = np.asarray(eyes, np.float64).reshape(2, 2) @ turn[:, :2].T
    return np.asarray((points @ turn[:, :2].T + turn[:, 2]) / np.linalg.norm(right - left))


def _bits(value: bytes | None) -> NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(value or bytes(32), np.uint8))
