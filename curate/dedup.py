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

from .hashing import Words, compiled

MAX_PAIRS = 50_000_000
"""The most pairs that are given out: 24 bytes each, and about as many again while they are sorted."""

Rows = NDArray[np.int64]
Pairs = tuple[Rows, Rows, Rows]

_GROUP_PAIRS = 1 << 23  # where there are more, `group` goes on without a list of pairs
_CHUNK_BITS = 16
_BUCKETS = 1 << _CHUNK_BITS
_BUCKET_COST = 8  # looking up a neighbouring bucket costs about as much as so many comparisons
_RUN = 128  # hashes compared in one go, before asking whether any was near
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
    return np.asarray(_widest(np.ascontiguousarray(h[first]), starts))


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
    i, j, d = _expand(low, high, distance, rows_of, total, among)
    order = np.lexsort((j, i))
    return i[order], j[order], d[order]


def _join(h: Words, codes: Rows, radius: int, wanted: int, cap: int) -> Pairs:
    """Find the pairs of distinct hashes within the radius, low < high; stops soon after `cap` of them."""
    limits, masks, mask_counts = _plan(h.shape[1], radius)
    all_pairs = len(h) ** 2 / 2
    by_buckets = mask_counts.sum() * (min(len(h), _BUCKETS) / 2 * _BUCKET_COST + all_pairs / _BUCKETS)
    if by_buckets < all_pairs:
        found, distance = _join_buckets(h, codes, radius, wanted, cap, (limits, masks, mask_counts))
    else:
        found, distance = _join_all(h, codes, radius, wanted, cap)
    return (found >> np.uint64(32)).astype(np.int64), (found & np.uint64(2**32 - 1)).astype(np.int64), distance


def _plan(words: int, radius: int) -> tuple[Rows, Rows, Rows]:
    """Say how far each chunk is searched, so that no pair within the radius escapes them all.

    With r = s * m + a bits over m chunks, either one of the first a + 1 chunks differs in at most s bits, or one of
    the others in at most s - 1: else the sum would be more than r.

    Returns:
        The bits searched in each chunk (-1 = not at all), bucket masks by number of bits, and masks used per chunk.
    """
    chunks = words * 64 // _CHUNK_BITS
    limits = min(radius // chunks, _CHUNK_BITS) - (np.arange(chunks) > radius % chunks)
    bits = np.bitwise_count(np.arange(_BUCKETS, dtype=np.uint32))
    masks = np.argsort(bits, kind="stable")
    return limits.astype(np.int64), masks.astype(np.int64), np.searchsorted(bits[masks], limits, side="right")


def _leaders(h: Words, codes: Rows, radius: int) -> Rows:
    """Let each distinct hash, best first, join the nearest of the kept hashes with its code, or be kept itself."""
    low, high, distance = _join(h, codes, radius, _SAME, _GROUP_PAIRS)
    if len(low) > _GROUP_PAIRS:  # dense: few will be kept, so ask only those, one item after the other
        return np.asarray(_leaders_by_index(h, codes, radius, _plan(h.shape[1], radius)))
    order = np.lexsort((low, high))
    return np.asarray(_leaders_by_pairs(len(h), low[order], high[order], distance[order]))


@compiled
def _popcount(x: Any) -> Any:
    """Count set bits; compilers know this pattern and emit the machine's own instruction, vectors included."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled
def _distance(h: Any, a: int, b: int) -> Any:
    total = np.uint64(0)
    for word in range(h.shape[1]):
        total += _popcount(h[a, word] ^ h[b, word])
    return np.int64(total)


@compiled
def _chunk(h: Any, row: int, chunk: int) -> Any:
    """Read the bucket that a hash belongs to in one chunk."""
    shift = np.uint64(48 - 16 * (chunk & 3))
    return np.int64((h[row, chunk >> 2] >> shift) & np.uint64(0xFFFF))


@compiled
def _scan(block: Any, start: int, stop: int, query: Any, radius: Any, near: Any) -> Any:
    """Put into `near` the columns start..stop-1 of `block` [words, N] within the radius of `query`; give their number.

    A run is looked through once more only where its lowest distance is within the radius: seldom.
    """
    found = 0
    for run in range(start, stop, _RUN):
        end = min(run + _RUN, stop)
        if _lowest(block, run, end, query) <= radius:
            for y in range(np.uint64(run), np.uint64(end)):
                apart = _popcount(query[0] ^ block[0, y])
                for word in range(1, len(query)):
                    apart += _popcount(query[word] ^ block[word, y])
                if apart <= radius:
                    near[found] = np.int64(y)
                    found += 1
    return found


@compiled
def _lowest(block: Any, start: int, stop: int, query: Any) -> Any:
    """Find the lowest distance without a branch and with unsigned indices, which compile to vector instructions."""
    low = np.uint64(256)
    if len(query) == 1:
        q0 = query[0]
        for y in range(np.uint64(start), np.uint64(stop)):
            low = min(low, _popcount(q0 ^ block[0, y]))
    else:
        q0, q1, q2, q3 = query[0], query[1], query[2], query[3]
        for y in range(np.uint64(start), np.uint64(stop)):
            half = _popcount(q0 ^ block[0, y]) + _popcount(q1 ^ block[1, y])
            low = min(low, half + _popcount(q2 ^ block[2, y]) + _popcount(q3 ^ block[3, y]))
    return low


@compiled
def _accepts(codes: Any, a: int, b: int, wanted: int) -> Any:
    return wanted == 0 or (codes[a] == codes[b]) == (wanted == 1)


@compiled
def _grown(array: Any, used: int) -> Any:
    """Give `array`, or a copy twice as long where it is full."""
    if used < len(array):
        return array
    longer = np.empty(2 * len(array), array.dtype)
    longer[:used] = array
    return longer


@compiled
def _join_all(h: Any, codes: Any, radius: int, wanted: int, cap: int) -> Any:
    """Compare all with all: for few hashes, and for a radius so wide that buckets do not help."""
    block = np.ascontiguousarray(h.T)
    near = np.empty(len(h), np.int64)
    found, distances, used = np.empty(256, np.uint64), np.empty(256, np.int64), 0
    for a in range(len(h)):
        for hit in range(_scan(block, a + 1, len(h), h[a], np.uint64(radius), near)):
            b = near[hit]
            if _accepts(codes, a, b, wanted):
                found, distances = _grown(found, used), _grown(distances, used)
                found[used] = (np.uint64(a) << np.uint64(32)) | np.uint64(b)
                distances[used] = _distance(h, a, b)
                used += 1
        if used > cap:
            break
    return found[:used], distances[:used]


@compiled
def _join_buckets(h: Any, codes: Any, radius: int, wanted: int, cap: int, plan: Any) -> Any:
    """Compare, chunk by chunk, each bucket with itself and its neighbours; a pair counts in its first chunk."""
    limits, masks, mask_counts = plan
    near, gathered = np.empty(len(h), np.int64), np.empty(len(h), np.int64)
    block = np.empty((h.shape[1], len(h)), np.uint64)
    found, distances, used = np.empty(256, np.uint64), np.empty(256, np.int64), 0
    for chunk in range(len(limits)):
        table = _buckets(h, chunk)
        starts = table[0]
        for bucket in range(_BUCKETS if mask_counts[chunk] else 0):
            own = starts[bucket + 1] - starts[bucket]
            if not own:
                continue
            size = _gather(table, bucket, masks[: mask_counts[chunk]], gathered, block)
            for x in range(own):
                a = gathered[x]
                for hit in range(_scan(block, x + 1, size, h[a], np.uint64(radius), near)):
                    b = gathered[near[hit]]
                    if _accepts(codes, a, b, wanted) and not _met_before(h, a, b, limits[:chunk]):
                        found, distances = _grown(found, used), _grown(distances, used)
                        found[used] = (np.uint64(min(a, b)) << np.uint64(32)) | np.uint64(max(a, b))
                        distances[used] = _distance(h, a, b)
                        used += 1
                if used > cap:
                    return found[:used], distances[:used]
    return found[:used], distances[:used]


@compiled
def _buckets(h: Any, chunk: int) -> Any:
    """Sort by bucket: where each bucket starts, the rows, and their hashes [N, words]."""
    starts = np.zeros(_BUCKETS + 1, np.int64)
    for row in range(len(h)):
        starts[_chunk(h, row, chunk) + 1] += 1
    starts = np.cumsum(starts)
    fill, members, hashes = starts.copy(), np.empty(len(h), np.int64), np.empty_like(h)
    for row in range(len(h)):
        bucket = _chunk(h, row, chunk)
        members[fill[bucket]] = row
        hashes[fill[bucket]] = h[row]
        fill[bucket] += 1
    return starts, members, hashes


@compiled
def _gather(table: Any, bucket: int, masks: Any, gathered: Any, block: Any) -> Any:
    """Lay a bucket and its neighbours of higher number side by side in `block` [words, N]; give their number."""
    starts, members, hashes = table
    size = 0
    for mask in masks:
        other = bucket ^ mask
        if other < bucket:
            continue
        for place in range(starts[other], starts[other + 1]):
            gathered[size] = members[place]
            for word in range(len(block)):
                block[word, size] = hashes[place, word]
            size += 1
    return size


@compiled
def _met_before(h: Any, a: int, b: int, limits: Any) -> Any:
    """Tell whether an earlier chunk, searched up to its limit, has this pair."""
    for chunk in range(len(limits)):
        if np.int64(_popcount(np.uint64(_chunk(h, a, chunk) ^ _chunk(h, b, chunk)))) <= limits[chunk]:
            return True
    return False


@compiled
def _leaders_by_pairs(count: int, low: Any, high: Any, distance: Any) -> Any:
    """Go through pairs sorted by high, then low, which is the better: all pairs of `low` itself were seen before."""
    leader, nearest = np.arange(count), np.full(count, np.iinfo(np.int64).max)
    for pair in range(len(low)):
        a, b = low[pair], high[pair]
        if leader[a] == a and distance[pair] < nearest[b]:
            leader[b], nearest[b] = a, distance[pair]
    return leader


@compiled
def _leaders_by_index(h: Any, codes: Any, radius: int, plan: Any) -> Any:
    """Do the same with an index of the kept hashes alone: no memory for pairs, however dense the hashes lie."""
    limits, masks, mask_counts = plan
    leader = np.arange(len(h))
    heads, nexts = np.full((len(limits), _BUCKETS), -1, np.int64), np.full((len(limits), len(h)), -1, np.int64)
    for row in range(len(h)):
        nearest = radius + 1
        for chunk in range(len(limits)):
            bucket = _chunk(h, row, chunk)
            for mask in masks[: mask_counts[chunk]]:
                kept = heads[chunk, bucket ^ mask]
                while kept >= 0:
                    apart = _distance(h, row, kept)
                    if codes[kept] == codes[row] and (apart < nearest or (apart == nearest and kept < leader[row])):
                        leader[row], nearest = kept, apart
                    kept = nexts[chunk, kept]
        if nearest > radius:
            leader[row] = row
            for chunk in range(len(limits)):
                bucket = _chunk(h, row, chunk)
                nexts[chunk, row], heads[chunk, bucket] = heads[chunk, bucket], row
    return leader


@compiled
def _expand(low: Any, high: Any, distance: Any, copies: Any, total: int, within: int) -> Any:
    """Give every pair of the copies of paired hashes and, if `within`, of the copies of one hash; lower row first."""
    rows, starts, counts = copies
    out = np.empty((3, total), np.int64)
    used = 0
    for pair in range(len(low) + (len(counts) if within else 0)):
        a, b, apart = pair - len(low), pair - len(low), 0
        if pair < len(low):
            a, b, apart = low[pair], high[pair], distance[pair]
        for x in range(starts[a], starts[a] + counts[a]):
            for y in range(x + 1 if a == b else starts[b], starts[b] + counts[b]):
                out[0, used], out[1, used] = min(rows[x], rows[y]), max(rows[x], rows[y])
                out[2, used] = apart
                used += 1
    return out


@compiled
def _widest(h: Any, starts: Any) -> Any:
    """Find the largest distance among rows starts[k]..starts[k + 1] - 1, for each k."""
    widest = np.zeros(len(starts) - 1, np.int64)
    for k in range(len(widest)):
        for a in range(starts[k], starts[k + 1]):
            for b in range(a + 1, starts[k + 1]):
                widest[k] = max(widest[k], _distance(h, a, b))
    return widest
