"""Find near-duplicates among perceptual hashes, exactly, and group them by representative, never by chain.

Nothing is approximate, and nothing depends on the order of the input: `group` looks at quality, then at the bits
themselves. How pairs are found stands in `neighbours`.

A group is one kept item and those within the radius *of it*. Connected components instead would chain one clip of a
moving face into a single group. Flat pictures collide with one another: leave those of `hashing.is_flat` out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from align import UsageError

from .hamming import expand, leaders_by_index, leaders_by_pairs, widest
from .hashing import Words
from .neighbours import (
    MAX_PAIRS,
    Neighbours,
    Pairs,
    Rows,
    TooManyPairsError,
    check,
    distinct,
    plan,
    search,
    with_mirrored,
)

__all__ = [
    "MAX_PAIRS",
    "Neighbours",
    "TooManyPairsError",
    "clusters",
    "conflicts",
    "distinct_labelled",
    "group",
    "group_diameters",
    "near_clusters",
    "near_pairs",
    "search",
]

Values = Sequence[Any] | NDArray[Any]

_GROUP_PAIRS = 1 << 23  # where there are more, `group` goes on without a list of pairs
_ANY, _SAME, _DIFFERENT = 0, 1, 2  # which labels a pair may have


def near_pairs(
    h: Words, radius: int | Neighbours = 31, max_pairs: int = MAX_PAIRS, mirrored: Words | None = None
) -> Pairs:
    """Find every pair of hashes that differ in at most `radius` bits, each pair once.

    Args:
        h: uint64 [N, 1] or [N, 4].
        radius: In bits, inclusive; or what `neighbours.search` found with a radius, in this set or in one that it has
            grown out of: only pairs with something new are then compared, and the result is the same.
        max_pairs: Bounds the memory: beside the pairs it needs about 4 copies of `h`, and one more for each thread.
        mirrored: As `h`, the hash of each mirror image. Two items are then as far apart as the nearest two of their
            hashes, so that a mirrored copy is as near as a copy; without it, no hash finds one.

    Returns:
        i, j and distance in bits, int64 [P] each, i < j, sorted by i, then j.

    Raises:
        UsageError: `h`, `mirrored` or `radius` is not as above.
        TooManyPairsError: There are more than `max_pairs`; N equal hashes have N * (N - 1) / 2. `group` has no such
            limit.
    """
    near, hash_of = _search(h, radius, mirrored, max_pairs)
    return _of_copies((near.low, near.high, near.distance), hash_of, len(near.hashes), max_pairs, within=True)


def conflicts(
    h: Words,
    labels: Values,
    radius: int | Neighbours = 31,
    max_pairs: int = MAX_PAIRS,
    mirrored: Words | None = None,
) -> Pairs:
    """Find the near-duplicate pairs whose labels differ; items without a label are in no conflict.

    Args:
        h: uint64 [N, 1] or [N, 4].
        labels: [N], null = not labelled.
        radius: As for `near_pairs`.
        max_pairs: As for `near_pairs`.
        mirrored: As for `near_pairs`.

    Returns:
        i, j and distance, as `near_pairs`.

    Raises:
        UsageError: As for `near_pairs`, or there is not one label for each hash.
        TooManyPairsError: As for `near_pairs`.
    """
    codes = _codes(labels, len(h), "labels")
    labelled = np.flatnonzero(codes >= 0)
    codes = codes[labelled]
    near, hash_of = _search(h[labelled], radius, None if mirrored is None else mirrored[labelled], max_pairs)
    first, node = distinct(hash_of[:, None].astype(np.uint64), codes)
    pairs = _by_label(near, hash_of[first], codes[first], _DIFFERENT, max_pairs)
    i, j, distance = _of_copies(pairs, node, len(first), max_pairs, within=False)
    return labelled[i], labelled[j], distance


def group(
    h: Words,
    radius: int | Neighbours = 31,
    quality: Sequence[float] | NDArray[Any] | None = None,
    labels: Values | None = None,
    key: Values | None = None,
    mirrored: Words | None = None,
) -> Rows:
    """Choose a representative for each item, at most `radius` bits away, so that no two of those kept are so near.

    Items are taken by descending quality, then by the bits of their hash, then label: one joins the nearest kept item
    within the radius (of equally near ones the first taken), else it is kept. Copies of one hash and label count as
    one item of their best quality; of the best copies the one with the smallest key stands for them. Given distinct
    keys, the result does not depend on the order of the input at all; without them, input order decides between
    copies of equal hash, label and quality, and between nothing else.

    Args:
        h: uint64 [N, 1] or [N, 4].
        radius: As for `near_pairs`.
        quality: [N], higher is better, NaN is worst; none = all equal.
        labels: [N]; where given, an item is only dropped in favour of one of the same label (null being one of its
            own), so that no label loses its only copy. See `conflicts` for those that are kept side by side.
        key: [N], such as face_id.
        mirrored: As for `near_pairs`: a mirrored copy is a duplicate.

    Returns:
        int64 [N]: the row of each item's representative; its own where the item is kept.

    Raises:
        UsageError: As for `near_pairs`, or another argument has not N values.
    """
    _check(h, radius, mirrored)
    codes = _codes(labels, len(h), "labels")
    rows = with_mirrored(h, mirrored)
    taken = _order_taken(rows, codes, quality, _codes(key, len(h), "key"))
    first, node = distinct(rows[taken], codes[taken])
    by_taken = np.argsort(first)
    place = np.empty_like(by_taken)
    place[by_taken] = np.arange(len(by_taken))
    best = taken[first[by_taken]]
    leader = _leaders(h[best], codes[best], radius, None if mirrored is None else mirrored[best])
    rep = np.empty(len(h), np.int64)
    rep[taken] = best[leader[place[node]]]
    return rep


def distinct_labelled(h: Words, labels: Values, mirrored: Words | None = None) -> tuple[Rows, Rows]:
    """Give the first row of each hash and label, and how many rows each of these stands for.

    Returns:
        Rows and counts, int64 [K].
    """
    check(h, 0, mirrored)
    first, node = distinct(with_mirrored(h, mirrored), _codes(labels, len(h), "labels"))
    return first, np.bincount(node, minlength=len(first)).astype(np.int64)


def clusters(rep: Rows, links: tuple[Rows, Rows] | None = None) -> Rows:
    """Number the groups from 0, for a split that must not part near-duplicates.

    Args:
        rep: What `group` gave.
        links: Rows i and j of pairs whose groups count as one, such as the `conflicts` that stayed side by side.

    Returns:
        int64 [N], by the smallest row of each group.
    """
    i, j = (np.empty(0, np.int64),) * 2 if links is None else links
    rows = np.concatenate([np.arange(len(rep)), i])
    edges = coo_array((np.ones(len(rows), np.int8), (rows, np.concatenate([rep, j]))), shape=(len(rep), len(rep)))
    number = connected_components(edges, directed=False)[1] if len(rep) else np.empty(0)
    return np.asarray(pd.factorize(number)[0], np.int64)


def near_clusters(h: Words, radius: int | Neighbours = 31, mirrored: Words | None = None) -> Rows:
    """Number what is joined by near pairs, directly or through others, for a split: no list of pairs of rows is made.

    Args:
        h: uint64 [N, 1] or [N, 4].
        radius: As for `near_pairs`.
        mirrored: As for `near_pairs`.

    Returns:
        int64 [N], numbered by the smallest row of each.

    Raises:
        UsageError: As for `near_pairs`.
        TooManyPairsError: There are more than `MAX_PAIRS` pairs of different hashes.
    """
    near, hash_of = _search(h, radius, mirrored, MAX_PAIRS)
    joined = clusters(np.arange(len(near.hashes)), (near.low, near.high))
    return np.asarray(pd.factorize(joined[hash_of])[0], np.int64)


def group_diameters(h: Words, rep: Rows, mirrored: Words | None = None) -> Rows:
    """Measure the largest distance between any two members of each group: at most twice the radius, by construction.

    With mirror images that bound does not hold: two that are near a third by different hashes may be far apart.

    Returns:
        int64 [K], by the numbers that `clusters(rep)` gives.
    """
    check(h, 0, mirrored)
    number = clusters(rep)
    rows = with_mirrored(h, mirrored)
    first, _ = distinct(rows, number)
    first = first[np.argsort(number[first], kind="stable")]
    starts = np.searchsorted(number[first], np.arange(number.max(initial=-1) + 2))
    views = 1 if mirrored is None else 2
    return np.asarray(widest(np.ascontiguousarray(rows[first]).reshape(len(first) * views, h.shape[1]), views, starts))


def _check(h: Words, radius: int | Neighbours, mirrored: Words | None) -> None:
    if isinstance(radius, Neighbours) and radius.views != (1 if mirrored is None else 2):
        raise UsageError("neighbours: expected to be searched with mirror images where these are given, else without")
    check(h, radius.radius if isinstance(radius, Neighbours) else radius, mirrored)


def _search(h: Words, radius: int | Neighbours, mirrored: Words | None, most: int) -> tuple[Neighbours, Rows]:
    """Find the neighbours of a set, or take them out of those given; and which distinct hash each row has."""
    _check(h, radius, mirrored)
    if isinstance(radius, Neighbours):
        near = search(h, radius.radius, mirrored, radius, most)
    else:
        near = search(h, radius, mirrored, most=most)
    return near, distinct(with_mirrored(h, mirrored), np.zeros(len(h), np.int64))[1]


def _codes(values: Values | None, count: int, name: str) -> Rows:
    """Number values by their own order, -1 for null; all 0 where none are given."""
    if values is None:
        return np.zeros(count, np.int64)
    if len(values) != count:
        raise UsageError(f"{name}: expected one for each of {count} hashes (found {len(values)})")
    return np.asarray(pd.factorize(np.asarray(values, object), sort=True)[0], np.int64)


def _order_taken(h: Words, codes: Rows, quality: Sequence[float] | NDArray[Any] | None, key: Rows) -> Rows:
    """Sort rows by descending quality, then hash, label, key and, at last, place."""
    merit = np.zeros(len(h)) if quality is None else np.asarray(quality, np.float64)
    if len(merit) != len(h):
        raise UsageError(f"quality: expected one for each of {len(h)} hashes (found {len(merit)})")
    merit = np.where(np.isnan(merit), -np.inf, merit)
    return np.lexsort((key, codes, *h.T[::-1], -merit)).astype(np.int64)


def _by_label(near: Neighbours, hash_of: Rows, codes: Rows, wanted: int, most: int) -> Pairs:
    """Give the near pairs of nodes, each one hash and one label, whose labels are the same, or differ."""
    copies = _copies(hash_of, len(near.hashes))
    return _expand((near.low, near.high, near.distance), copies, codes, (wanted, True), most)


def _of_copies(pairs: Pairs, node: Rows, count: int, most: int, *, within: bool) -> Pairs:
    """Give the pairs of rows behind pairs of nodes, sorted; with those of one node, at distance 0, if `within`."""
    codes = np.zeros(len(node), np.int64)
    i, j, distance = _expand(pairs, _copies(node, count), codes, (_ANY, within), most)
    order = np.lexsort((j, i))
    return i[order], j[order], distance[order]


def _copies(node: Rows, count: int) -> tuple[Rows, Rows, Rows]:
    """Give the rows in order of their node; where the rows of each node start, and how many they are."""
    copies = np.bincount(node, minlength=count)
    return np.argsort(node, kind="stable"), np.cumsum(copies) - copies, copies


def _expand(pairs: Pairs, copies: tuple[Rows, Rows, Rows], codes: Rows, rule: tuple[int, bool], most: int) -> Pairs:
    total = int(expand(pairs, copies, codes, rule, np.empty((3, 0), np.int64)))
    if total > most:
        raise TooManyPairsError(
            f"near-duplicates: expected at most max_pairs = {most} pairs (found {total} among {len(codes)} hashes); "
            "take a smaller radius, or group() first, which needs no list of pairs"
        )
    out = np.empty((3, total), np.int64)
    if total:
        expand(pairs, copies, codes, rule, out)
    return out[0], out[1], out[2]


def _leaders(h: Words, codes: Rows, radius: int | Neighbours, mirrored: Words | None) -> Rows:
    """Let each distinct hash, best first, join the nearest of the kept hashes with its code, or be kept itself."""
    try:
        near, hash_of = _search(h, radius, mirrored, _GROUP_PAIRS)
        low, high, distance = _by_label(near, hash_of, codes, _SAME, _GROUP_PAIRS)
    except TooManyPairsError:  # dense: few will be kept, so ask only those, one item after the other
        bits = radius.radius if isinstance(radius, Neighbours) else radius
        rows, views = with_mirrored(h, mirrored), 1 if mirrored is None else 2
        alone = np.ascontiguousarray(rows).reshape(len(rows) * views, h.shape[1])
        return np.asarray(leaders_by_index(alone, views, codes, bits, plan(h.shape[1], bits)))
    low, high = np.minimum(low, high), np.maximum(low, high)
    order = np.lexsort((low, high))
    return np.asarray(leaders_by_pairs(len(h), low[order], high[order], distance[order]))
