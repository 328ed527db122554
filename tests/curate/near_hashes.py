"""Hashes for the tests of the near-duplicate search, and the search by brute force."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def distances(h):
    return np.bitwise_count(h[:, None] ^ h[None]).sum(axis=2).astype(np.int64)


def brute_pairs(h, radius):
    d = distances(h)
    i, j = np.nonzero(np.triu(d <= radius, 1))
    return list(zip(i.tolist(), j.tolist(), d[i, j].tolist(), strict=True))


def brute_group(h, radius, quality, labels):
    """Follow the definition item by item; copies of one hash and label are one item of their best quality."""
    d = distances(h)
    order = sorted(range(len(h)), key=lambda row: (-quality[row], h[row].tolist(), labels[row], row))
    rep, kept = {}, []
    for row in order:
        copies = [other for other in rep if d[row, other] == 0 and labels[other] == labels[row]]
        near = [leader for leader in kept if d[row, leader] <= radius and labels[leader] == labels[row]]
        if copies:
            rep[row] = rep[copies[0]]
        elif near:
            rep[row] = min(near, key=lambda leader: d[row, leader])  # the first of equals: kept is in order
        else:
            rep[row] = row
            kept.append(row)
    return [rep[row] for row in range(len(h))]


def as_list(pairs):
    return list(zip(*(column.tolist() for column in pairs), strict=True))


@st.composite
def hashes(draw, most=60):
    """Random, clustered, skewed and repeated hashes of both widths, from none up to `most`."""
    words = draw(st.sampled_from([1, 4]))
    count = draw(st.integers(0, 3) | st.integers(most // 2, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    centres = rng.integers(0, 2**64, (draw(st.integers(1, 8)), words), dtype=np.uint64)
    flips = rng.random((count, 64 * words)) < draw(st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.5]))
    noise = np.packbits(flips, axis=1).view(np.uint64).reshape(count, words)
    return centres[rng.integers(0, len(centres), count)] ^ noise


RADII = st.sampled_from([0, 1, 4, 10, 17, 31, 48, 64, 100, 256, 300])


def planted(words, count, radius, seed=0):
    """Random hashes, and after them a near copy of each of the first at every distance from 0 to beyond the radius."""
    rng = np.random.default_rng(seed)
    h = rng.integers(0, 2**64, (count, words), dtype=np.uint64)
    copies = []
    for row in range(3 * (radius + 4)):
        bits = np.zeros(64 * words, np.uint8)
        bits[rng.choice(64 * words, row // 3, replace=False)] = 1
        copies.append(h[row] ^ np.packbits(bits).view(np.uint64))
    return np.concatenate([h, copies])
