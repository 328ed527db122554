"""The compiled inner loops of the near-duplicate search: Hamming distances over buckets of 16 bits.

Arrays go in and arrays come out; what they mean, and why no pair is missed, stands in `dedup`.
"""

from typing import Any

import numpy as np

from .compiled import compiled

CHUNK_BITS = 16
"""Hashes are looked up by pieces of so many bits."""

BUCKETS = 1 << CHUNK_BITS

_RUN = 128  # hashes compared in one go, before asking whether any was near


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
def join_all(h: Any, codes: Any, radius: int, wanted: int, cap: int) -> Any:
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
def join_buckets(h: Any, codes: Any, radius: int, wanted: int, cap: int, plan: Any) -> Any:
    """Compare, chunk by chunk, each bucket with itself and its neighbours; a pair counts in its first chunk."""
    limits, masks, mask_counts = plan
    near, gathered = np.empty(len(h), np.int64), np.empty(len(h), np.int64)
    block = np.empty((h.shape[1], len(h)), np.uint64)
    found, distances, used = np.empty(256, np.uint64), np.empty(256, np.int64), 0
    for chunk in range(len(limits)):
        table = _buckets(h, chunk)
        starts = table[0]
        for bucket in range(BUCKETS if mask_counts[chunk] else 0):
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
    starts = np.zeros(BUCKETS + 1, np.int64)
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
def leaders_by_pairs(count: int, low: Any, high: Any, distance: Any) -> Any:
    """Go through pairs sorted by high, then low, which is the better: all pairs of `low` itself were seen before."""
    leader, nearest = np.arange(count), np.full(count, np.iinfo(np.int64).max)
    for pair in range(len(low)):
        a, b = low[pair], high[pair]
        if leader[a] == a and distance[pair] < nearest[b]:
            leader[b], nearest[b] = a, distance[pair]
    return leader


@compiled
def leaders_by_index(h: Any, codes: Any, radius: int, plan: Any) -> Any:
    """Do the same with an index of the kept hashes alone: no memory for pairs, however dense the hashes lie."""
    limits, masks, mask_counts = plan
    leader = np.arange(len(h))
    heads, nexts = np.full((len(limits), BUCKETS), -1, np.int64), np.full((len(limits), len(h)), -1, np.int64)
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
def expand(low: Any, high: Any, distance: Any, copies: Any, total: int, within: int) -> Any:
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
def widest(h: Any, starts: Any) -> Any:
    """Find the largest distance among rows starts[k]..starts[k + 1] - 1, for each k."""
    widest = np.zeros(len(starts) - 1, np.int64)
    for k in range(len(widest)):
        for a in range(starts[k], starts[k + 1]):
            for b in range(a + 1, starts[k + 1]):
                widest[k] = max(widest[k], _distance(h, a, b))
    return widest
