"""The stage `dedup`: near-identical crops are dropped in favour of the best one of their group."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import UsageError

from .. import dedup, hashing, near_cache
from ..config import Dataset
from ..outcome import DropReason
from .merit import merit
from .rows import Record, labels_of, take_back

MOST_CONFLICTS = 1000
"""How many near pairs of two labels the record lists, the nearest first; it counts them all."""

MOST_GROUPS = 50
"""How many groups the record lists, the widest first; it counts them all by their diameter."""


@dataclass(frozen=True)
class _Faces:
    """What is compared of the faces that may be duplicates, in the order of their ids.

    Attributes:
        place: Their rows in the manifest.
        ids: Their face_id.
        scope: What each is compared within, numbered.
        h: uint64 [N, words].
        mirrored: Likewise, or None where mirror images do not count.
        labels: None = not labelled.
        quality: Higher is better.
    """

    place: NDArray[np.int64]
    ids: NDArray[np.object_]
    scope: NDArray[np.int64]
    h: hashing.Words
    mirrored: hashing.Words | None
    labels: NDArray[np.object_]
    quality: NDArray[np.float64]

    def __getitem__(self, some: NDArray[Any]) -> "_Faces":
        """Give some of them."""
        mirrored = None if self.mirrored is None else self.mirrored[some]
        parts = (self.place[some], self.ids[some], self.scope[some], self.h[some])
        return _Faces(*parts, mirrored, self.labels[some], self.quality[some])


def find_duplicates(rows: pd.DataFrame, dataset: Dataset, out: Path) -> tuple[pd.DataFrame, Record]:
    """Write `duplicate_of` and the reason `duplicate`; the best crop of a group represents it, see `merit`.

    Args:
        rows: The manifest.
        dataset: Its `dedup`.
        out: The set's folder. What was compared with what is kept there, so that a set that grows is compared only
            with what is new.

    Returns:
        The rows with the decisions, and the record: radius, groups and their diameters, conflicts of label.

    Raises:
        UsageError: Mirror images are to count, and a face has no hash of its own.
    """
    rows = take_back(rows, DropReason.DUPLICATE, DropReason.OVER_CAP, DropReason.LEAK)
    rows[["duplicate_of", "split"]] = None
    for column in ("fold", "repeat"):
        rows[column] = pd.array([None] * len(rows), dtype="Int32")
    spec = dataset.dedup
    kind = hashing.hash_kind(spec.algorithm, spec.bits)
    faces = _faces(rows, dataset)
    radius: int | dedup.Neighbours = spec.radius_bits
    if spec.within == "set":
        near = near_cache.find_neighbours(out, near_cache.search_of(spec), faces.h, faces.mirrored)
        radius = spec.radius_bits if near is None else near.within(spec.radius_bits)
    representative = np.arange(len(faces.ids))
    for members in _scopes(faces.scope):
        representative[members] = members[_group(faces[members], radius)]
    dropped = representative != np.arange(len(representative))
    places = rows.index[faces.place[dropped]]
    rows.loc[places, "duplicate_of"] = faces.ids[representative[dropped]]
    rows.loc[places, "drop_reason"] = str(DropReason.DUPLICATE)
    return rows, {
        "hash_kind": kind,
        "radius": spec.radius_bits,
        "within": spec.within,
        "mirrored": spec.mirrored,
        **_describe_groups(faces, representative),
        **_describe_conflicts(faces, ~dropped, radius),
    }


def _faces(rows: pd.DataFrame, dataset: Dataset) -> _Faces:
    spec = dataset.dedup
    place = np.flatnonzero((rows["drop_reason"].isna() & rows["hash"].notna()).to_numpy())
    place = place[np.argsort(rows["face_id"].iloc[place].to_numpy(str), kind="stable")]
    chosen = rows.iloc[place]
    mirrored = None
    if spec.mirrored:
        if (lacking := chosen["mirrored_hash"].isna()).any():
            raise UsageError(
                f"{chosen['face_id'][lacking].iloc[0]}: expected the hash of its mirror image, since dedup.mirrored is "
                "set (found none); run eyeline-curate run again"
            )
        mirrored = hashing.from_bytes(chosen["mirrored_hash"].tolist(), bits=spec.bits)
    return _Faces(
        place,
        chosen["face_id"].to_numpy(object),
        _scope_of(chosen, spec.within),
        hashing.from_bytes(chosen["hash"].tolist(), bits=spec.bits),
        mirrored,
        labels_of(chosen),
        merit(chosen, dataset.align.crop_spec()),
    )


def _scope_of(rows: pd.DataFrame, within: str) -> NDArray[np.int64]:
    """Number what rows are compared within; a face without a track, such as a still picture's, is its own track."""
    if within == "set":
        return np.zeros(len(rows), np.int64)
    keys = [rows["source_id"]]
    if within == "track":
        keys += [rows["track"].isna(), rows["track"].where(rows["track"].notna(), rows["face_id"])]
    return np.asarray(rows.groupby(keys, sort=True).ngroup(), np.int64)


def _scopes(scope: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Give the positions that are compared with one another; those that stand alone need none."""
    order = np.argsort(scope, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(scope[order])) + 1):
        if len(members) > 1:
            yield members


def _group(faces: _Faces, radius: int | dedup.Neighbours) -> NDArray[np.int64]:
    return dedup.group(faces.h, radius, faces.quality, faces.labels, faces.ids, faces.mirrored)


def _describe_groups(faces: _Faces, representative: NDArray[np.int64]) -> Record:
    """Count the groups of two and more and tell how wide they are."""
    leaders, sizes = np.unique(representative, return_counts=True)
    number = dedup.clusters(representative)
    diameters = dedup.group_diameters(faces.h, representative, faces.mirrored)[number[leaders]]
    real = sizes > 1
    leaders, sizes, diameters = leaders[real], sizes[real], diameters[real]
    bits, counts = np.unique(diameters, return_counts=True)
    widest = np.lexsort((leaders, -sizes, -diameters))[:MOST_GROUPS]
    return {
        "groups": len(leaders),
        "duplicates": int((sizes - 1).sum()),
        "largest_group": int(sizes.max(initial=0)),
        "largest_diameter": int(diameters.max(initial=0)),
        "diameters": [[int(diameter), int(count)] for diameter, count in zip(bits, counts, strict=True)],
        "widest_groups": [[str(faces.ids[leaders[k]]), int(sizes[k]), int(diameters[k])] for k in widest],
    }


def _describe_conflicts(faces: _Faces, kept: NDArray[np.bool_], radius: int | dedup.Neighbours) -> Record:
    """Count the near pairs of two labels and list the nearest.

    Where they lie so dense that there is no list of them, only those between kept faces are counted.
    """
    labelled = np.array([label is not None for label in faces.labels], np.bool_)
    try:
        count, nearest = _conflicts(faces[labelled], radius)
    except dedup.TooManyPairsError:
        count, nearest = _conflicts(faces[labelled & kept], radius)
        return {"conflict_count": count, "conflicts": nearest, "conflicts_among": "kept"}
    return {"conflict_count": count, "conflicts": nearest, "conflicts_among": "all"}


def _conflicts(faces: _Faces, radius: int | dedup.Neighbours) -> tuple[int, list[list[Any]]]:
    """Count near pairs of two labels; equal hashes of one label stand in the list once, by their first face."""
    count, found = 0, []
    for members in _scopes(faces.scope):
        some = faces[members]
        first, copies = dedup.distinct_labelled(some.h, some.labels, some.mirrored)
        some = some[first]
        i, j, distance = dedup.conflicts(some.h, some.labels, radius, mirrored=some.mirrored)
        count += int((copies[i] * copies[j]).sum())
        nearest = np.lexsort((j, i, distance))[:MOST_CONFLICTS]
        found += [(int(distance[k]), *sorted((str(some.ids[i[k]]), str(some.ids[j[k]])))) for k in nearest]
    return count, [[a, b, distance] for distance, a, b in sorted(found)[:MOST_CONFLICTS]]
