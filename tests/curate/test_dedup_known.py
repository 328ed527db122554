"""Mirrored copies are found as by brute force, and what is known of a set changes nothing in what is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align import UsageError
from curate import dedup, neighbours
from tests.curate.near_hashes import PROPERTY, as_list, hashes, planted


def item_distances(h, mirrored):
    """Between the nearest of the two hashes of each item, by brute force."""
    return np.minimum.reduce(
        [np.bitwise_count(a[:, None] ^ b[None]).sum(axis=2) for a in (h, mirrored) for b in (h, mirrored)]
    ).astype(np.int64)


def with_copies_mirrored(h, rng, share=0.5):
    """Give each hash a mirrored one; some items become the mirrored copy of another."""
    mirrored = rng.integers(0, 2**64, h.shape, dtype=np.uint64)
    h = h.copy()
    for row in np.flatnonzero(rng.random(len(h)) < share):
        other = rng.integers(0, len(h))
        h[row], mirrored[row] = mirrored[other] ^ np.uint64(rng.integers(0, 8)), h[other]
    return h, mirrored


@PROPERTY
@given(hashes(most=40), st.sampled_from([0, 3, 10, 31]), st.integers(0, 2**32))
def test_mirrored_pairs_are_those_of_brute_force_and_groups_keep_within_them(h, radius, seed):
    h, mirrored = with_copies_mirrored(h, np.random.default_rng(seed))
    d = item_distances(h, mirrored)
    i, j = np.nonzero(np.triu(d <= radius, 1))
    wanted = list(zip(i.tolist(), j.tolist(), d[i, j].tolist(), strict=True))
    assert as_list(dedup.near_pairs(h, radius, mirrored=mirrored)) == wanted
    rep = dedup.group(h, radius, mirrored=mirrored)
    kept = np.flatnonzero(rep == np.arange(len(h)))
    assert (d[np.arange(len(h)), rep] <= radius).all()
    assert (d[np.ix_(kept, kept)] + (radius + 1) * np.eye(len(kept)) > radius).all()
    number = dedup.clusters(rep)
    widest = [int(d[np.ix_(number == k, number == k)].max()) for k in range(number.max(initial=-1) + 1)]
    assert dedup.group_diameters(h, rep, mirrored).tolist() == widest


@PROPERTY
@given(hashes(most=40), st.sampled_from([0, 10, 31]), st.integers(0, 2**32))
def test_which_of_two_copies_is_mirrored_makes_no_difference(h, radius, seed):
    rng = np.random.default_rng(seed)
    h, mirrored = with_copies_mirrored(h, rng)
    flip = rng.random(len(h)) < 0.5
    flipped, back = np.where(flip[:, None], mirrored, h), np.where(flip[:, None], h, mirrored)
    quality = rng.integers(0, 3, len(h))
    wanted = dedup.group(h, radius, quality=quality, mirrored=mirrored)
    assert dedup.group(flipped, radius, quality=quality, mirrored=back).tolist() == wanted.tolist()


def test_a_mirrored_copy_is_a_duplicate_only_where_mirror_images_are_looked_up():
    h = np.array([[0], [0xFFFF0000FFFF0000]], np.uint64)
    mirrored = np.array([[0xFFFF0000FFFF0001], [0b111]], np.uint64)
    assert as_list(dedup.near_pairs(h, 4)) == []
    assert as_list(dedup.near_pairs(h, 4, mirrored=mirrored)) == [(0, 1, 1)]
    assert dedup.group(h, 4, mirrored=mirrored).tolist() == [0, 0]
    assert as_list(dedup.conflicts(h, ["a", "b"], 4, mirrored=mirrored)) == [(0, 1, 1)]
    assert dedup.near_clusters(h, 4, mirrored).tolist() == [0, 0]


def test_mirrored_groups_without_a_list_of_pairs_are_the_same(monkeypatch):
    rng = np.random.default_rng(3)
    centres = rng.integers(0, 2**64, (30, 4), dtype=np.uint64)
    noise = np.packbits(rng.random((900, 256)) < 0.05, axis=1).view(np.uint64)
    h, mirrored = with_copies_mirrored(centres[rng.integers(0, 30, 900)] ^ noise, rng, 0.2)
    quality, labels = rng.integers(0, 5, 900), rng.choice(["a", "b"], 900)
    by_pairs = dedup.group(h, 20, quality=quality, labels=labels, mirrored=mirrored)
    monkeypatch.setattr(dedup, "_GROUP_PAIRS", -1)
    np.testing.assert_array_equal(dedup.group(h, 20, quality=quality, labels=labels, mirrored=mirrored), by_pairs)
    assert len(np.unique(by_pairs)) < 800


@PROPERTY
@given(hashes(), st.sampled_from([0, 4, 10, 31, 64]), st.integers(0, 2**32), st.booleans())
def test_what_is_known_changes_nothing_in_what_is_found(h, radius, seed, two_views):
    """The known set may lack some of the hashes, have others beside, and stand in another order."""
    rng = np.random.default_rng(seed)
    mirrored = rng.permutation(h) if two_views else None
    others = rng.integers(0, 2**64, (5, h.shape[1]), dtype=np.uint64)
    old = rng.permutation(np.flatnonzero(rng.random(len(h)) < 0.6))
    known = neighbours.search(
        np.concatenate([h[old], others]), radius, None if mirrored is None else np.concatenate([mirrored[old], others])
    )
    wanted, found = neighbours.search(h, radius, mirrored), neighbours.search(h, radius, mirrored, known)
    for name in ("hashes", "low", "high", "distance"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert as_list(dedup.near_pairs(h, known, mirrored=mirrored)) == as_list(
        dedup.near_pairs(h, radius, mirrored=mirrored)
    )
    labels = rng.choice(["a", "b"], len(h))
    by_known = dedup.group(h, known, labels=labels, mirrored=mirrored)
    np.testing.assert_array_equal(by_known, dedup.group(h, radius, labels=labels, mirrored=mirrored))


@pytest.mark.parametrize(("words", "radius"), [(1, 10), (4, 31)])
def test_a_set_that_grows_is_searched_by_buckets_for_what_is_new_alone(words, radius, monkeypatch):
    h = planted(words, 9_000, radius)
    known = neighbours.search(h[:-200], radius)
    asked = []
    whole = neighbours.join_fresh
    monkeypatch.setattr(neighbours, "join_fresh", lambda *given: asked.append(given[2].sum()) or whole(*given))
    found = neighbours.search(h, radius, known=known)
    assert 0 < max(asked) <= 200
    monkeypatch.undo()
    wanted = neighbours.search(h, radius)
    assert as_list((found.low, found.high, found.distance)) == as_list((wanted.low, wanted.high, wanted.distance))
    assert len(known.low) < len(wanted.low)


@PROPERTY
@given(hashes(), st.sampled_from([10, 31]), st.integers(0, 31))
def test_what_lies_within_a_smaller_radius_is_what_a_search_would_find(h, radius, smaller):
    smaller = min(smaller, radius)
    found, wanted = neighbours.search(h, radius).within(smaller), neighbours.search(h, smaller)
    assert as_list((found.low, found.high, found.distance)) == as_list((wanted.low, wanted.high, wanted.distance))
    assert found.radius == smaller


def test_what_is_known_of_another_radius_is_not_used():
    h = planted(4, 200, 31)
    narrow = neighbours.search(h, 5)
    wide = neighbours.search(h, 31)
    assert len(neighbours.search(h, 31, known=narrow).low) == len(wide.low) > len(narrow.low)
    with pytest.raises(UsageError, match="searched with mirror images where these are given"):
        dedup.group(h, narrow, mirrored=h)
