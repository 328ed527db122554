"""The compiled inner loops of the near-duplicate search: Hamming distances over buckets of 16 bits.

Arrays go in and arrays come out; what they mean, and why no pair is missed, stands in `dedup`.
"""

from typing import Any

import numpy as np

from align import compiled

CHUNK_BITS = 16
"""Hashes are looked up by pieces of so many bits."""

BUCKETS = 1 << CHUNK_BITS

_RUN = 128  # hashes compared in one go, before asking whether any was near


@compiled
def popcount(x: Any) -> Any:
    """Count set bits; compilers know this pattern and emit the machine's own instruction, vectors included."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled
def _distance(h: Any, a: int, b: int) -> Any:
    total = np.uint64(0)
    for word in range(h.shape[1]):
        total += popcount(h[a, word] ^ h[b, word])
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
                apart = popcount(query[0] ^ block[0, y])
                for word in range(1, len(query)):
                    apart += popcount(query[word] ^ block[word, y])
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
            low = min(low, popcount(q0 ^ block[0, y]))
    else:
        q0, q1, q2, q3 = query[0], query[1], query[2], query[3]
        for y in range(np.uint64(start), np.uint64(stop)):
            half = popcount(q0 ^ block[0, y]) + popcount(q1 ^ block[1, y])
            low = min(low, half + popcount(q2 ^ block[2, y]) + popcount(q3 ^ block[3, y]))
    return low


@compiled
def _grown(array: Any, used: int) -> Any:
    """Give `array`, or a copy twice as long where it is full."""
    if used < len(array):
        return array
    longer = np.empty(2 * len(array), array.dtype)
    longer[:used] = array
    return longer


@compiled
def join_rows(h: Any, views: int, fresh: Any, radius: int, rows: Any, budget: Any) -> Any:
    """Compare rows[0]..rows[1] - 1 with all: for few hashes, and for a radius so wide that buckets do not help."""
    block = np.ascontiguousarray(h.T)
    near = np.empty(len(h), np.int64)
    found, distances, used = np.empty(256, np.uint64), np.empty(256, np.int64), 0
    every = fresh.all()
    for a in range(rows[0], rows[1]):
        if not fresh[a // views]:
            continue
        before = used
        for hit in range(_scan(block, a + 1 if every else 0, len(h), h[a], np.uint64(radius), near)):
            b = near[hit]
            if _is_new(fresh, views, a, b, int(every)):
                found, distances = _grown(found, used), _grown(distances, used)
                found[used] = (np.uint64(min(a, b)) << np.uint64(32)) | np.uint64(max(a, b))
                distances[used] = _distance(h, a, b)
                used += 1
        budget[0] -= used - before
        if budget[0] < 0:
            break
    return found[:used], distances[:used]


@compiled
def join_chunk(h: Any, views: int, fresh: Any, chunk: int, plan: Any, budget: Any) -> Any:
    """Compare each bucket of a chunk with itself and its neighbours; a pair that an earlier chunk has is left to it."""
    radius, limits, masks, mask_counts = plan
    near, gathered = np.empty(len(h), np.int64), np.empty(len(h), np.int64)
    block = np.empty((h.shape[1], len(h)), np.uint64)
    found, distances, used = np.empty(256, np.uint64), np.empty(256, np.int64), 0
    starts, members, hashes = _buckets(h, chunk)
    for bucket in range(BUCKETS):
        own = starts[bucket + 1] - starts[bucket]
        if not own:
            continue
        size = _gather((starts, members, hashes), bucket, masks[: mask_counts[chunk]], gathered, block)
        for x in range(own):
            a, before = gathered[x], used
            for hit in range(_scan(block, x + 1, size, h[a], np.uint64(radius), near)):
                b = gathered[near[hit]]
                if _is_new(fresh, views, a, b, 1) and not _met_before(h, a, b, limits[:chunk]):
                    found, distances = _grown(found, used), _grown(distances, used)
                    found[used] = (np.uint64(min(a, b)) << np.uint64(32)) | np.uint64(max(a, b))
                    distances[used] = _distance(h, a, b)
                    used += 1
            budget[0] -= used - before
            if budget[0] < 0:
                return found[:used], distances[:used]
    return found[:used], distances[:used]


@compiled
def join_fresh(h: Any, views: int, fresh: Any, chunk: int, plan: Any, budget: Any) -> Any:
    """Do the same for the fresh rows alone, each with its bucket and the neighbours of it as they lie."""
    radius, limits, masks, mask_counts = plan
    near = np.empty(len(h), np.int64)
    found, distances, used = np.empty(256, np.uint64), np.empty(256, np.int64), 0
    starts, members, hashes = _buckets(h, chunk)
    for a in range(len(h)):
        if not fresh[a // views]:
            continue
        bucket, before = _chunk(h, a, chunk), used
        for mask in masks[: mask_counts[chunk]]:
            start, stop = starts[bucket ^ mask], starts[(bucket ^ mask) + 1]
            for hit in range(_scan(hashes, start, stop, h[a], np.uint64(radius), near)):
                b = members[near[hit]]
                if _is_new(fresh, views, a, b, 0) and not _met_before(h, a, b, limits[:chunk]):
                    found, distances = _grown(found, used), _grown(distances, used)
                    found[used] = (np.uint64(min(a, b)) << np.uint64(32)) | np.uint64(max(a, b))
                    distances[used] = _distance(h, a, b)
                    used += 1
        budget[0] -= used - before
        if budget[0] < 0:
            break
    return found[:used], distances[:used]


@compiled
def _is_new(fresh: Any, views: int, a: int, b: int, every: int) -> Any:
    """Tell whether fresh row `a` is to report row `b`: two fresh ones meet twice, unless all are fresh."""
    return a // views != b // views and (every != 0 or not fresh[b // views] or b < a)


@compiled
def _buckets(h: Any, chunk: int) -> Any:
    """Sort by bucket: where each bucket starts, the rows, and their hashes [words, N]."""
    keys, starts = np.empty(len(h), np.int32), np.zeros(BUCKETS + 1, np.int64)
    for row in range(len(h)):
        keys[row] = _chunk(h, row, chunk)
        starts[keys[row] + 1] += 1
    starts = np.cumsum(starts)
    fill, members, hashes = starts.copy(), np.empty(len(h), np.int64), np.empty((h.shape[1], len(h)), np.uint64)
    for row in range(len(h)):
        members[fill[keys[row]]] = row
        fill[keys[row]] += 1
    for place in range(len(h)):  # reading here and there is faster than writing here and there
        for word in range(len(hashes)):
            hashes[word, place] = h[members[place], word]
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
                block[word, size] = hashes[word, place]
            size += 1
    return size


@compiled
def _met_before(h: Any, a: int, b: int, limits: Any) -> Any:
    """Tell whether an earlier chunk, searched up to its limit, has this pair."""
    for chunk in range(len(limits)):
        if np.int64(popcount(np.uint64(_chunk(h, a, chunk) ^ _chunk(h, b, chunk)))) <= limits[chunk]:
            return True
    return False


@compiled
def places(old: Any, new: Any) -> Any:
    """Give for each row of `old` where it stands in `new`, -1 where it does not; both are sorted, no row twice."""
    place, y = np.full(len(old), -1, np.int64), 0
    for x in range(len(old)):
        while y < len(new) and _order(new[y], old[x]) < 0:
            y += 1
        if y < len(new) and _order(new[y], old[x]) == 0:
            place[x] = y
    return place


@compiled
def _order(a: Any, b: Any) -> Any:
    for word in range(len(a)):
        if a[word] != b[word]:
            return -1 if a[word] < b[word] else 1
    return 0


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
def leaders_by_index(h: Any, views: int, codes: Any, radius: int, plan: Any) -> Any:
    """Do the same with an index of the kept hashes alone: no memory for pairs, however dense the hashes lie."""
    _, limits, masks, mask_counts = plan
    leader = np.arange(len(codes))
    heads, nexts = np.full((len(limits), BUCKETS), -1, np.int64), np.full((len(limits), len(h)), -1, np.int64)
    for item in range(len(codes)):
        nearest = radius + 1
        for row in range(item * views, (item + 1) * views):
            for chunk in range(len(limits)):
                bucket = _chunk(h, row, chunk)
                for mask in masks[: mask_counts[chunk]]:
                    kept = heads[chunk, bucket ^ mask]
                    while kept >= 0:
                        apart, other = _distance(h, row, kept), kept // views
                        nearer = apart < nearest or (apart == nearest and other < leader[item])
                        if nearer and codes[other] == codes[item]:
                            leader[item], nearest = other, apart
                        kept = nexts[chunk, kept]
        if nearest > radius:
            leader[item] = item
            for row in range(item * views, (item + 1) * views):
                for chunk in range(len(limits)):
                    bucket = _chunk(h, row, chunk)
                    nexts[chunk, row], heads[chunk, bucket] = heads[chunk, bucket], row
    return leader


@compiled
def expand(pairs: Any, copies: Any, codes: Any, rule: Any, out: Any) -> Any:
    """Count the pairs of rows behind pairs of hashes and, if `out` has room for them, write them, lower row first.

    Args:
        pairs: low, high and distance of hashes.
        copies: The rows in order of their hash; where each hash's rows start, and how many they are.
        codes: The label of each row.
        rule: Which labels a pair may have: 0 any, 1 the same, 2 different ones; and whether rows of one hash pair.
        out: int64 [3, P]; P = 0 only counts.
    """
    low, high, distance = pairs
    rows, starts, counts = copies
    wanted, within = rule
    used = 0
    for pair in range(len(low) + (len(counts) if within else 0)):
        a, b, apart = pair - len(low), pair - len(low), 0
        if pair < len(low):
            a, b, apart = low[pair], high[pair], distance[pair]
        if wanted == 0 and not out.shape[1]:
            used += counts[a] * counts[b] if a != b else counts[a] * (counts[a] - 1) // 2
            continue
        for x in range(starts[a], starts[a] + counts[a]):
            for y in range(x + 1 if a == b else starts[b], starts[b] + counts[b]):
                if wanted and (codes[rows[x]] == codes[rows[y]]) != (wanted == 1):
                    continue
                if out.shape[1]:
                    out[0, used], out[1, used] = min(rows[x], rows[y]), max(rows[x], rows[y])
                    out[2, used] = apart
                used += 1
    return used


@compiled
def widest(h: Any, views: int, starts: Any) -> Any:
    """Find the largest distance among items starts[k]..starts[k + 1] - 1, for each k, by the nearest of their views."""
    widest = np.zeros(len(starts) - 1, np.int64)
    for k in range(len(widest)):
        for a in range(starts[k], starts[k + 1]):
            for b in range(a + 1, starts[k + 1]):
                apart = _distance(h, a * views, b * views)
                for x in range(views):
                    for y in range(views):
                        apart = min(apart, _distance(h, a * views + x, b * views + y))
                widest[k] = max(widest[k], apart)
    return widest
