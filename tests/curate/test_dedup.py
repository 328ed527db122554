"""The search is exact against brute force, and the groups are what their definition says, whatever the order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align import EyelineError, UsageError
from curate import dedup, hamming, neighbours
from tests.curate.near_hashes import PROPERTY, RADII, as_list, brute_group, brute_pairs, distances, hashes, planted


@PROPERTY
@given(hashes(), RADII)
def test_pairs_are_those_of_brute_force(h, radius):
    assert as_list(dedup.near_pairs(h, radius)) == brute_pairs(h, radius)


@PROPERTY
@given(hashes(most=40), st.sampled_from([0, 3, 10, 31, 48, 70]))
def test_buckets_give_the_pairs_of_brute_force_also_where_they_are_not_worth_it(h, radius):
    nodes = np.unique(h, axis=0)
    plan, budget = neighbours.plan(h.shape[1], radius), np.array([10**9])
    everything = np.ones(len(nodes), np.bool_)
    pairs = []
    for chunk in np.flatnonzero(plan[3]):
        found, distance = hamming.join_chunk(nodes, 1, everything, int(chunk), plan, budget)
        pairs += [(int(pair) >> 32, int(pair) & 0xFFFFFFFF, int(d)) for pair, d in zip(found, distance, strict=True)]
    assert sorted(pairs) == brute_pairs(nodes, radius)
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(("words", "radius"), [(1, 4), (1, 10), (4, 31), (4, 48)])
def test_every_planted_pair_among_many_is_found_at_its_distance(words, radius):
    h = planted(words, 8_000, radius)
    found = as_list(dedup.near_pairs(h, radius))
    wanted = set()
    for start in range(0, len(h), 1000):
        d = np.bitwise_count(h[start : start + 1000, None, 0] ^ h[None, :, 0]).astype(np.int64)
        for word in range(1, words):
            d += np.bitwise_count(h[start : start + 1000, None, word] ^ h[None, :, word])
        wanted |= {(start + i, j, int(d[i, j])) for i, j in zip(*np.nonzero(d <= radius), strict=True) if start + i < j}
    assert len(wanted) >= 3 * (radius + 1)
    assert found == sorted(wanted)


@pytest.mark.parametrize(("words", "radius"), [(1, 10), (4, 31)])
def test_skewed_bits_are_searched_exactly(words, radius):
    rng = np.random.default_rng(4)
    likely = rng.random(64 * words) < 0.5
    bits = (rng.random((4000, 64 * words)) < 0.12) ^ likely
    h = np.packbits(bits, axis=1).view(np.uint64).reshape(len(bits), words)
    d = distances(h[:1500])
    i, j, distance = dedup.near_pairs(h, radius)
    inside = j < 1500
    assert inside.sum() > 50
    assert as_list((i[inside], j[inside], distance[inside])) == brute_pairs(h[:1500], radius)
    assert d.mean() < 16 * words


@PROPERTY
@given(hashes(), RADII, st.data())
def test_groups_follow_their_definition(h, radius, data):
    quality = data.draw(st.lists(st.integers(0, 3), min_size=len(h), max_size=len(h)))
    labels = data.draw(st.lists(st.sampled_from("ab"), min_size=len(h), max_size=len(h)))
    assert dedup.group(h, radius, quality=quality, labels=labels).tolist() == brute_group(h, radius, quality, labels)
    same = ["a"] * len(h)
    rep = dedup.group(h, radius, quality=quality)
    assert rep.tolist() == brute_group(h, radius, quality, same)
    d = distances(h)
    kept = np.flatnonzero(rep == np.arange(len(h)))
    assert (d[np.arange(len(h)), rep] <= radius).all()
    assert (rep[rep] == rep).all()
    assert (d[np.ix_(kept, kept)] + (radius + 1) * np.eye(len(kept)) > radius).all()


@PROPERTY
@given(hashes(), st.sampled_from([0, 10, 31]), st.data())
def test_groups_do_not_depend_on_the_order_of_the_input(h, radius, data):
    quality = np.asarray(data.draw(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=len(h), max_size=len(h))))
    labels = np.asarray(
        data.draw(st.lists(st.sampled_from(["a", "b", None]), min_size=len(h), max_size=len(h))), object
    )
    keys = np.asarray([f"face-{row:03d}" for row in range(len(h))])
    shuffled = np.asarray(data.draw(st.permutations(range(len(h)))), np.int64)
    rep = dedup.group(h, radius, quality=quality, labels=labels, key=keys)
    again = dedup.group(h[shuffled], radius, quality=quality[shuffled], labels=labels[shuffled], key=keys[shuffled])
    assert keys[shuffled][again].tolist() == keys[rep][shuffled].tolist()


@pytest.mark.parametrize("radius", [0, 4, 31])
def test_groups_without_a_list_of_pairs_are_the_same(radius, monkeypatch):
    rng = np.random.default_rng(radius)
    centres = rng.integers(0, 2**64, (40, 4), dtype=np.uint64)
    noise = np.packbits(rng.random((3000, 256)) < 0.06, axis=1).view(np.uint64)
    h = centres[rng.integers(0, 40, 3000)] ^ noise
    quality, labels = rng.integers(0, 5, 3000), rng.choice(["a", "b"], 3000)
    by_pairs = dedup.group(h, radius, quality=quality, labels=labels)
    calls = []
    by_index = hamming.leaders_by_index
    monkeypatch.setattr(dedup, "leaders_by_index", lambda *given: calls.append(1) or by_index(*given))
    monkeypatch.setattr(dedup, "_GROUP_PAIRS", -1)
    np.testing.assert_array_equal(dedup.group(h, radius, quality=quality, labels=labels), by_pairs)
    assert calls


def test_a_hundred_thousand_equal_hashes_are_one_group():
    h = np.full((100_000, 4), 7, np.uint64)
    quality = np.zeros(len(h))
    quality[4321] = 1
    assert (dedup.group(h, 31, quality=quality) == 4321).all()
    with pytest.raises(EyelineError, match=r"at most max_pairs = 1000 pairs .*found 4999950000 among 100000 hashes"):
        dedup.near_pairs(h, 31, max_pairs=1000)


def test_a_long_still_clip_of_distinct_hashes_is_one_group():
    """20,000 different hashes within 8 bits of one another would be 200 million pairs; no list of them is made."""
    rng = np.random.default_rng(0)
    h = np.full((20_000, 4), 7, np.uint64)
    for _ in range(4):
        bit = rng.integers(0, 256, len(h))
        h[np.arange(len(h)), bit // 64] ^= np.uint64(1) << (bit % 64).astype(np.uint64)
    rep = dedup.group(h, 31)
    assert len(np.unique(h, axis=0)) > 19_000
    assert len(set(rep.tolist())) == 1
    with pytest.raises(EyelineError, match=r"at most 10000 pairs of different hashes .*found more .*smaller radius"):
        dedup.near_pairs(h, 31, max_pairs=10_000)


def test_pairs_up_to_the_limit_are_given():
    h = np.zeros((5, 1), np.uint64)
    assert len(dedup.near_pairs(h, 0, max_pairs=10)[0]) == 10
    with pytest.raises(EyelineError, match="found 10 among 5"):
        dedup.near_pairs(h, 0, max_pairs=9)


def test_no_chain_joins_the_ends_of_a_drift():
    h = np.array([[(1 << (4 * step)) - 1] for step in range(16)], np.uint64)  # each 4 bits from the one before
    rep = dedup.group(h, 4, quality=np.arange(16, 0, -1))
    assert rep.tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14]
    assert dedup.group_diameters(h, rep).tolist() == [4] * 8


def test_the_sharpest_copy_is_kept_and_the_worst_are_those_without_a_number():
    h = np.array([[0], [0], [1], [1 << 40]], np.uint64)
    assert dedup.group(h, 0, quality=[np.nan, 0.5, 0.1, 0.2]).tolist() == [1, 1, 2, 3]
    assert dedup.group(h, 1, quality=[np.nan, 0.5, 0.7, 0.2]).tolist() == [2, 2, 2, 3]
    assert dedup.group(h[:2], 0, key=["b", "a"]).tolist() == [1, 1]


def test_an_item_joins_the_nearest_of_the_kept():
    h = np.array([[0], [0b111111], [0b11]], np.uint64)
    assert dedup.group(h, 4, quality=[3, 2, 1]).tolist() == [0, 1, 0]
    assert dedup.group(np.array([[0], [0b111111], [0b1111]], np.uint64), 4, quality=[3, 2, 1]).tolist() == [0, 1, 1]


def test_no_label_loses_its_only_copy_and_conflicts_are_told():
    h = np.array([[0], [0], [1], [3], [0xFFFF << 30]], np.uint64)
    labels = ["happy", "sad", None, "happy", "sad"]
    assert dedup.group(h, 2, labels=labels).tolist() == [0, 1, 2, 0, 4]
    assert as_list(dedup.conflicts(h, labels, 2)) == [(0, 1, 0), (1, 3, 2)]
    assert as_list(dedup.conflicts(h, labels, 0)) == [(0, 1, 0)]


@PROPERTY
@given(hashes(), st.sampled_from([0, 10, 31]), st.data())
def test_conflicts_are_the_near_pairs_of_different_labels(h, radius, data):
    labels = data.draw(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=len(h), max_size=len(h)))
    wanted = [p for p in brute_pairs(h, radius) if None not in (a := (labels[p[0]], labels[p[1]])) and a[0] != a[1]]
    assert as_list(dedup.conflicts(h, labels, radius)) == wanted


@PROPERTY
@given(hashes(), st.sampled_from([4, 31, 100]))
def test_diameters_are_the_widest_distances_within_groups(h, radius):
    rep = dedup.group(h, radius)
    number, d = dedup.clusters(rep), distances(h)
    wanted = [int(d[np.ix_(number == k, number == k)].max()) for k in range(number.max(initial=-1) + 1)]
    assert dedup.group_diameters(h, rep).tolist() == wanted
    assert max(wanted, default=0) <= 2 * radius


def test_clusters_number_groups_and_can_be_linked():
    rep = np.array([1, 1, 2, 3, 3])
    assert dedup.clusters(rep).tolist() == [0, 0, 1, 2, 2]
    assert dedup.clusters(rep, links=(np.array([0]), np.array([4]))).tolist() == [0, 0, 1, 0, 0]
    assert dedup.clusters(np.empty(0, np.int64)).tolist() == []


@pytest.mark.parametrize("words", [1, 4])
def test_none_and_one_hash_have_no_pairs(words):
    for count in (0, 1):
        h = np.zeros((count, words), np.uint64)
        assert [column.tolist() for column in dedup.near_pairs(h, 31)] == [[], [], []]
        assert dedup.group(h, 31).tolist() == list(range(count))
        assert dedup.group_diameters(h, dedup.group(h)).tolist() == [0] * count


def test_equal_hashes_of_two_labels_are_counted_without_a_list_of_their_pairs():
    h = np.full((100_000, 4), 7, np.uint64)
    labels = np.array(["a", "b"] * 50_000)
    assert np.unique(dedup.group(h, 31, labels=labels)).tolist() == [0, 1]
    first, copies = dedup.distinct_labelled(h, labels)
    assert (first.tolist(), copies.tolist()) == ([0, 1], [50_000, 50_000])
    assert as_list(dedup.conflicts(h[first], labels[first], 31)) == [(0, 1, 0)]
    with pytest.raises(dedup.TooManyPairsError, match="found 2500000000 among"):
        dedup.conflicts(h, labels, 31)


def test_clusters_of_near_pairs_join_through_others_and_need_no_list():
    h = np.array([[0], [0xFF00], [0b1], [0b111], [0xFF01]], np.uint64)
    assert dedup.near_clusters(h, 2).tolist() == [0, 1, 0, 0, 1]
    assert dedup.near_clusters(np.full((100_000, 4), 7, np.uint64), 31).tolist() == [0] * 100_000
    assert dedup.near_clusters(np.empty((0, 1), np.uint64), 2).tolist() == []


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_makes_no_difference(threads, monkeypatch):
    h = planted(4, 3_000, 31)
    wanted = as_list(dedup.near_pairs(h, 31))
    monkeypatch.setattr(neighbours, "_threads", lambda: threads)
    assert as_list(dedup.near_pairs(h, 31)) == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"mirrored": np.zeros((2, 4), np.uint64)},
            r"mirrored hashes: expected uint64 \[3, 4\] \(found uint64 \[2",
        ),
        ({"h": np.zeros((3, 2), np.uint64)}, r"expected uint64 \[N, 1\] or \[N, 4\] \(found uint64 \[3, 2\]\)"),
        ({"h": np.zeros((3, 4), np.int64)}, "found int64"),
        ({"radius": -1}, r"radius: expected a whole number of bits >= 0 \(got -1\)"),
        ({"radius": 2.5}, r"got 2\.5"),
        ({"quality": [1.0]}, r"quality: expected one for each of 3 hashes \(found 1\)"),
        ({"labels": ["a"]}, r"labels: expected one for each of 3"),
        ({"key": ["a"]}, r"key: expected one for each of 3"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        dedup.group(**{"h": np.zeros((3, 4), np.uint64), **arguments})
