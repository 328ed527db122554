"""Every pair of distinct hashes within a radius, found once, and only for what is new where a set has grown.

The search is multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012) as a self-join: hashes are cut into chunks
of 16 bits; two hashes within the radius are near in at least one chunk, so only those in neighbouring buckets of
some chunk are compared. Nothing is approximate. Chunks are shared out to threads; the pairs are sorted afterwards.

Where mirrored copies count, an item has two hashes, its own and that of its mirror image, and is as far from another
as the nearest two of their hashes: which of the two is mirrored makes no difference.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from align import EyelineError, UsageError

from .hamming import BUCKETS, CHUNK_BITS, join_chunk, join_fresh, join_rows, places
from .hashing import Words

MAX_PAIRS = 50_000_000
"""The most pairs that are given out: 24 bytes each, and about as many again while they are sorted."""

Rows = NDArray[np.int64]
Pairs = tuple[Rows, Rows, Rows]
Plan = tuple[int, Rows, Rows, Rows]

_BUCKET_COST = 8  # looking up a neighbouring bucket costs about as much as so many comparisons
_MOST_THREADS = 4  # each holds a sorted copy of the hashes
_ROW_JOBS = 16


class TooManyPairsError(EyelineError):
    """There are more near pairs than the limit allows."""


@dataclass(frozen=True)
class Neighbours:
    """Distinct hashes and every pair of them within a radius.

    Attributes:
        hashes: uint64 [K, views * words], sorted, none twice.
        views: 1, or 2 where each item has the hash of its mirror image as well.
        radius: In bits, inclusive.
        low: int64 [P], places in `hashes`.
        high: int64 [P], low < high; the pairs are sorted by low, then high.
        distance: int64 [P], in bits.
    """

    hashes: Words
    views: int
    radius: int
    low: Rows
    high: Rows
    distance: Rows

    def within(self, radius: int) -> "Neighbours":
        """Give what a search with a smaller radius would have found."""
        near = self.distance <= radius
        return Neighbours(self.hashes, self.views, radius, self.low[near], self.high[near], self.distance[near])


def check(h: Words, radius: int, mirrored: Words | None = None) -> None:
    """Refuse what are no hashes or no radius.

    Raises:
        UsageError: `h` is not uint64 [N, 1] or [N, 4], `mirrored` is of another shape, or `radius` is no number >= 0.
    """
    for name, words in (("hashes", h), ("mirrored hashes", h if mirrored is None else mirrored)):
        if words.ndim != 2 or words.dtype != np.uint64 or words.shape[1] not in (1, 4) or words.shape != h.shape:
            expected = "[N, 1] or [N, 4]" if name == "hashes" else list(h.shape)
            raise UsageError(f"{name}: expected uint64 {expected} (found {words.dtype} {list(words.shape)})")
    if radius != int(radius) or radius < 0:
        raise UsageError(f"radius: expected a whole number of bits >= 0 (got {radius})")


def with_mirrored(h: Words, mirrored: Words | None) -> Words:
    """Put the hash of each item, and that of its mirror image if given, into one row, the smaller one first.

    Returns:
        uint64 [N, words], or [N, 2 * words].
    """
    if mirrored is None:
        return h
    both = np.stack([h, mirrored], axis=1)
    differ = h != mirrored
    first = np.argmax(differ, axis=1)
    rows = np.arange(len(h))
    swap = h[rows, first] > mirrored[rows, first]
    both[swap] = both[swap, ::-1]
    return both.reshape(len(h), 2 * h.shape[1])


def distinct(h: Words, codes: Rows) -> tuple[Rows, Rows]:
    """Give the first row of each distinct (hash, code), in their order, and for each row which of them it is."""
    order = _sorted(h, codes)
    sorted_h, sorted_codes = h[order], codes[order]
    new = np.ones(len(h), np.bool_)
    new[1:] = (sorted_h[1:] != sorted_h[:-1]).any(axis=1) | (sorted_codes[1:] != sorted_codes[:-1])
    node = np.empty(len(h), np.int64)
    node[order] = np.cumsum(new) - 1
    return order[new].astype(np.int64), node


def _sorted(h: Words, codes: Rows) -> Rows:
    """Sort rows by hash, then code, copies in the order given: by the first word, then those alike in it by all."""
    order = np.argsort(h[:, 0])
    alike = h[order[1:], 0] == h[order[:-1], 0]
    tied = np.flatnonzero(np.append(alike, False) | np.insert(alike, 0, False)) if len(h) else order
    rows = np.sort(order[tied])
    order[tied] = rows[np.lexsort((codes[rows], *h[rows].T[::-1]))]
    return order


def search(
    h: Words, radius: int, mirrored: Words | None = None, known: Neighbours | None = None, most: int = MAX_PAIRS
) -> Neighbours:
    """Find every pair of distinct hashes within the radius.

    Args:
        h: uint64 [N, 1] or [N, 4].
        radius: In bits, inclusive.
        mirrored: Likewise, the hash of each mirror image; a mirrored copy is then as near as a copy.
        known: What was found before, in a set that this one has grown out of: only pairs with a hash that it has not
            are searched. One of another radius or another number of views is of no use and left aside.
        most: The most pairs that are held.

    Returns:
        The same whatever is known, whatever the order of `h`.

    Raises:
        UsageError: `h`, `mirrored` or `radius` is not as above.
        TooManyPairsError: There are more than `most`.
    """
    check(h, radius, mirrored)
    views = 1 if mirrored is None else 2
    rows = with_mirrored(h, mirrored)
    first, _ = distinct(rows, np.zeros(len(rows), np.int64))
    hashes = np.ascontiguousarray(rows[first])
    none = np.empty(0, np.int64)
    fresh, old = np.ones(len(hashes), np.bool_), (none, none, none)
    if known is not None and (known.radius, known.views, known.hashes.shape[1]) == (radius, views, hashes.shape[1]):
        if len(known.low) <= most and np.array_equal(known.hashes, hashes):
            return known
        place = places(known.hashes, hashes)
        fresh[place[place >= 0]] = False
        both = (place[known.low] >= 0) & (place[known.high] >= 0)
        old = (place[known.low[both]], place[known.high[both]], known.distance[both])
    new = join(hashes, views, radius, fresh, most - len(old[0]))
    low, high, distance = (np.concatenate(parts) for parts in zip(old, new, strict=True))
    if len(low) > most:
        raise TooManyPairsError(
            f"near-duplicates: expected at most {most} pairs of different hashes within {radius} bits (found more "
            f"among {len(h)} hashes); take a smaller radius"
        )
    order = np.lexsort((high, low))
    return Neighbours(hashes, views, radius, low[order], high[order], distance[order])


def plan(words: int, radius: int) -> Plan:
    """Say how far each chunk is searched, so that no pair within the radius escapes them all.

    With r = s * m + a bits over m chunks, either one of the first a + 1 chunks differs in at most s bits, or one of
    the others in at most s - 1: else the sum would be more than r.

    Returns:
        The radius; the bits searched in each chunk (-1 = not at all), bucket masks by number of bits, and masks used
        per chunk.
    """
    chunks = words * 64 // CHUNK_BITS
    limits = min(radius // chunks, CHUNK_BITS) - (np.arange(chunks) > radius % chunks)
    bits = np.bitwise_count(np.arange(BUCKETS, dtype=np.uint32))
    masks = np.argsort(bits, kind="stable")
    used = np.searchsorted(bits[masks], limits, side="right")
    return radius, limits.astype(np.int64), masks.astype(np.int64), used


def join(hashes: Words, views: int, radius: int, fresh: NDArray[np.bool_], most: int) -> Pairs:
    """Find the pairs of items within the radius of which one at least is fresh; stops soon after `most` of them.

    Args:
        hashes: uint64 [K, views * words], none twice.
        views: How many hashes an item has.
        radius: In bits, inclusive.
        fresh: bool [K].
        most: A number above this is not exact, but is above it.

    Returns:
        low, high and distance, in no order; each pair once, at the distance of its nearest views.
    """
    rows = hashes.reshape(len(hashes) * views, hashes.shape[1] // views)
    searched = plan(rows.shape[1], radius)
    masks = searched[3]
    asked = int(fresh.sum()) * views
    all_pairs = asked * len(rows) / 2
    by_buckets = masks.sum() * (min(asked, BUCKETS) / 2 * _BUCKET_COST + all_pairs / BUCKETS)
    budget = np.array([most * views**2], np.int64)  # shared by the threads: when it is spent, each stops
    jobs: list[Callable[[], tuple[NDArray[np.uint64], Rows]]]
    if not asked:
        jobs = []
    elif by_buckets < all_pairs:
        chunks = np.flatnonzero(masks)
        by_chunk = join_chunk if fresh.all() else join_fresh
        jobs = [partial(by_chunk, rows, views, fresh, int(chunk), searched, budget) for chunk in chunks]
    else:
        ends = np.linspace(0, len(rows), _ROW_JOBS + 1).astype(np.int64)
        spans = pairwise(ends)
        jobs = [partial(join_rows, rows, views, fresh, radius, span, budget) for span in spans]
    with ThreadPoolExecutor(_threads()) as pool:
        done = [job.result() for job in [pool.submit(job) for job in jobs]]
    found = np.concatenate([np.empty(0, np.uint64), *(pairs for pairs, _ in done)])
    distance = np.concatenate([np.empty(0, np.int64), *(apart for _, apart in done)])
    low, high = (found >> np.uint64(32)).astype(np.int64), (found & np.uint64(2**32 - 1)).astype(np.int64)
    return (low, high, distance) if views == 1 else _nearest_views(low // views, high // views, distance)


def _nearest_views(a: Rows, b: Rows, distance: Rows) -> Pairs:
    """Leave of several pairs of the same two items the nearest."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((distance, high, low))
    low, high, distance = low[order], high[order], distance[order]
    first = np.ones(len(low), np.bool_)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return low[first], high[first], distance[first]


def _threads() -> int:
    """Give the number of processors that this process may use, bounded by the memory that threads take."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, _MOST_THREADS)
