"""Find near-duplicates among perceptual hashes, exactly, and group them by representative, never by chain.

The search is multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012) as a self-join: hashes are cut into chunks
of 16 bits; two hashes within the radius are near in at least one chunk, so only those in neighbouring buckets of
some chunk are compared. Nothing is approximate, and nothing depends on the order of the input: `group` looks at
quality, then at the bits themselves.

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

from align import EyelineError, UsageError

from .hamming import BUCKETS, CHUNK_BITS, expand, join_all, join_buckets, leaders_by_index, leaders_by_pairs, widest
from .hashing import Words

MAX_PAIRS = 50_000_000
"""The most pairs that are given out: 24 bytes each, and about as many again while they are sorted."""

Rows = NDArray[np.int64]
Pairs = tuple[Rows, Rows, Rows]

_GROUP_PAIRS = 1 << 23  # where there are more, `group` goes on without a list of pairs
_BUCKET_COST = 8  # looking up a neighbouring bucket costs about as much as so many comparisons
_ANY, _SAME, _DIFFERENT = 0, 1, 2  # which labels a pair may have


def near_pairs(h: Words, radius: int = 31, max_pairs: int = MAX_PAIRS) -> Pairs:
    """Find every pair of hashes that differ in at most `radius` bits, each pair once.

    Args:
        h: uint64 [N, 1] or [N, 4].
        radius: In bits, inclusive.
        max_pairs: Bounds the memory: beside the pairs it needs about 4 copies of `h`.

    Returns:
        i, j and distance in bits, int64 [P] each, i < j, sorted by i, then j.

    Raises:
        UsageError: `h` or `radius` is not as above.
        EyelineError: There are more than `max_pairs`; N equal hashes have N * (N - 1) / 2. `group` has no such limit.
    """
    _check(h, radius)
    return _expanded_pairs(h, np.zeros(len(h), np.int64), radius, _ANY, max_pairs)


def conflicts(h: Words, labels: Sequence[Any] | NDArray[Any], radius: int = 31, max_pairs: int = MAX_PAIRS) -> Pairs:
    """Find the near-duplicate pairs whose labels differ; items without a label are in no conflict.

    Args:
        h: uint64 [N, 1] or [N, 4].
        labels: [N], null = not labelled.
        radius: In bits, inclusive.
        max_pairs: As for `near_pairs`.

    Returns:
        i, j and distance, as `near_pairs`.

    Raises:
        UsageError: As for `near_pairs`, or there is not one label for each hash.
        EyelineError: As for `near_pairs`.
    """
    _check(h, radius)
    codes = _codes(labels, len(h), "labels")
    labelled = np.flatnonzero(codes >= 0)
    i, j, distance = _expanded_pairs(h[labelled], codes[labelled], radius, _DIFFERENT, max_pairs)
    return labelled[i], labelled[j], distance


def group(
    h: Words,
    radius: int = 31,
    quality: Sequence[float] | NDArray[Any] | None = None,
    labels: Sequence[Any] | NDArray[Any] | None = None,
    key: Sequence[Any] | NDArray[Any] | None = None,
) -> Rows:
    """Choose a representative for each item, at most `radius` bits away, so that no two of those kept are so near.

    Items are taken by descending quality, then by the bits of their hash, then label: one joins the nearest kept item
    within the radius (of equally near ones the first taken), else it is kept. Copies of one hash and label count as
    one item of their best quality; of the best copies the one with the smallest key stands for them. Given distinct
    keys, the result does not depend on the order of the input at all; without them, input order decides between
    copies of equal hash, label and quality, and between nothing else.

    Args:
        h: uint64 [N, 1] or [N, 4].
        radius: In bits, inclusive.
        quality: [N], higher is better, NaN is worst; none = all equal.
        labels: [N]; where given, an item is only dropped in favour of one of the same label (null being one of its
            own), so that no label loses its only copy. See `conflicts` for those that are kept side by side.
        key: [N], such as face_id.

    Returns:
        int64 [N]: the row of each item's representative; its own where the item is kept.

    Raises:
        UsageError: As for `near_pairs`, or another argument has not N values.
    """
    _check(h, radius)
    codes = _codes(labels, len(h), "labels")
    taken = _order_taken(h, codes, quality, _codes(key, len(h), "key"))
    first, node = _distinct(h[taken], codes[taken])
    by_taken = np.argsort(first)
    place = np.empty_like(by_taken)
    place[by_taken] = np.arange(len(by_taken))
    best = taken[first[by_taken]]
    leader = _leaders(np.ascontiguousarray(h[best]), codes[best], radius)
    rep = np.empty(len(h), np.int64)
    rep[taken] = best[leader[place[node]]]
    return rep


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


def group_diameters(h: Words, rep: Rows) -> Rows:
    """Measure the largest distance between any two members of each group: at most twice the radius, by construction.

    Returns:
        int64 [K], by the numbers that `clusters(rep)` gives.
    """
    _check(h, 0)
    number = clusters(rep)
    first, _ = _distinct(h, number)
    first = first[np.argsort(number[first], kind="stable")]
    starts = np.searchsorted(number[first], np.arange(number.max(initial=-1) + 2))
    return np.asarray(widest(np.ascontiguousarray(h[first]), starts))


def _check(h: Words, radius: int) -> None:
    if h.ndim != 2 or h.dtype != np.uint64 or h.shape[1] not in (1, 4):
        raise UsageError(f"hashes: expected uint64 [N, 1] or [N, 4] (found {h.dtype} {list(h.shape)})")
    if radius != int(radius) or radius < 0:
        raise UsageError(f"radius: expected a whole number of bits >= 0 (got {radius})")


def _codes(values: Sequence[Any] | NDArray[Any] | None, count: int, name: str) -> Rows:
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


def _distinct(h: Words, codes: Rows) -> tuple[Rows, Rows]:
    """Give the first row of each distinct (hash, code), in their order, and for each row which of them it is."""
    order = np.lexsort((codes, *h.T[::-1]))  # stable: copies stay in the order given
    sorted_h, sorted_codes = h[order], codes[order]
    new = np.ones(len(h), np.bool_)
    new[1:] = (sorted_h[1:] != sorted_h[:-1]).any(axis=1) | (sorted_codes[1:] != sorted_codes[:-1])
    node = np.empty(len(h), np.int64)
    node[order] = np.cumsum(new) - 1
    return order[new].astype(np.int64), node


def _expanded_pairs(h: Words, codes: Rows, radius: int, wanted: int, max_pairs: int) -> Pairs:
    """Join the distinct hashes, then give every pair of their copies."""
    first, node = _distinct(h, codes)
    copies = np.bincount(node, minlength=len(first))
    low, high, distance = _join(np.ascontiguousarray(h[first]), codes[first], radius, wanted, max_pairs)
    among = int((copies * (copies - 1) // 2).sum()) if wanted != _DIFFERENT else 0
    total = int((copies[low] * copies[high]).sum()) + among
    if len(low) > max_pairs or total > max_pairs:
        raise EyelineError(
            f"near-duplicates: expected at most max_pairs = {max_pairs} pairs within {radius} bits "
            f"(found {'at least ' if len(low) > max_pairs else ''}{max(total, len(low))} among {len(h)} hashes); "
            "take a smaller radius, or group() first, which needs no list of pairs"
        )
    rows_of = (np.argsort(node, kind="stable"), np.cumsum(copies) - copies, copies)
    i, j, d = expand(low, high, distance, rows_of, total, among)
    order = np.lexsort((j, i))
    return i[order], j[order], d[order]


def _join(h: Words, codes: Rows, radius: int, wanted: int, cap: int) -> Pairs:
    """Find the pairs of distinct hashes within the radius, low < high; stops soon after `cap` of them."""
    limits, masks, mask_counts = _plan(h.shape[1], radius)
    all_pairs = len(h) ** 2 / 2
    by_buckets = mask_counts.sum() * (min(len(h), BUCKETS) / 2 * _BUCKET_COST + all_pairs / BUCKETS)
    if by_buckets < all_pairs:
        found, distance = join_buckets(h, codes, radius, wanted, cap, (limits, masks, mask_counts))
    else:
        found, distance = join_all(h, codes, radius, wanted, cap)
    return (found >> np.uint64(32)).astype(np.int64), (found & np.uint64(2**32 - 1)).astype(np.int64), distance


def _plan(words: int, radius: int) -> tuple[Rows, Rows, Rows]:
    """Say how far each chunk is searched, so that no pair within the radius escapes them all.

    With r = s * m + a bits over m chunks, either one of the first a + 1 chunks differs in at most s bits, or one of
    the others in at most s - 1: else the sum would be more than r.

    Returns:
        The bits searched in each chunk (-1 = not at all), bucket masks by number of bits, and masks used per chunk.
    """
    chunks = words * 64 // CHUNK_BITS
    limits = min(radius // chunks, CHUNK_BITS) - (np.arange(chunks) > radius % chunks)
    bits = np.bitwise_count(np.arange(BUCKETS, dtype=np.uint32))
    masks = np.argsort(bits, kind="stable")
    return limits.astype(np.int64), masks.astype(np.int64), np.searchsorted(bits[masks], limits, side="right")


def _leaders(h: Words, codes: Rows, radius: int) -> Rows:
    """Let each distinct hash, best first, join the nearest of the kept hashes with its code, or be kept itself."""
    low, high, distance = _join(h, codes, radius, _SAME, _GROUP_PAIRS)
    if len(low) > _GROUP_PAIRS:  # dense: few will be kept, so ask only those, one item after the other
        return np.asarray(leaders_by_index(h, codes, radius, _plan(h.shape[1], radius)))
    order = np.lexsort((low, high))
    return np.asarray(leaders_by_pairs(len(h), low[order], high[order], distance[order]))
