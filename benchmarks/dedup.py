"""Every pair of near-identical hashes among 100,000, exact, against a brute force in numpy, with the pairs compared."""

import numpy as np

from curate import dedup

from ._timing import compare, show

COUNT = 100_000
PLANTED = 2_000
QUERIES = 500


def hashes(words: int, radius: int) -> np.ndarray:
    """Draw random hashes, of which `PLANTED` are another one with up to `radius` bits flipped."""
    rng = np.random.default_rng(0)
    h = rng.integers(0, 2**64, (COUNT, words), dtype=np.uint64)
    for row in range(PLANTED):
        h[row] = h[COUNT - 1 - row]
        for bit in rng.choice(64 * words, rng.integers(0, radius + 1), replace=False):
            h[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return h


def brute_force(h: np.ndarray, radius: int) -> int:
    """Count the pairs of the first `QUERIES` hashes with all others, by numpy."""
    found = 0
    for row in range(QUERIES):
        found += int((np.bitwise_count(h[row] ^ h[row + 1 :]).sum(axis=1) <= radius).sum())
    return found


def main() -> None:
    """Print hashes a second of both; numpy's is measured on a part of the queries."""
    for words, radius in ((1, 10), (4, 31)):
        h = hashes(words, radius)
        i, _, _ = dedup.near_pairs(h, radius)
        same = int((i < QUERIES).sum()) == brute_force(h, radius)
        ours = compare({"eyeline": lambda h=h, radius=radius: dedup.near_pairs(h, radius)}, rounds=3)
        part = compare({"numpy": lambda h=h, radius=radius: brute_force(h, radius)}, rounds=3)
        whole = [seconds * COUNT / QUERIES / 2 for seconds in part["numpy"]]  # each pair once
        title = f"{COUNT} hashes of {64 * words} bits within {radius}; pairs of the first {QUERIES} agree: {same}"
        show(title, {**ours, "numpy, extrapolated": whole}, COUNT, "hashes")
