"""People from descriptors: average linkage that keeps apart what must be, in any order, without an N x N matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from curate import identity
from curate.identity import confidence, gather, group_people, name_person, pairwise_scores

PROPERTY = settings(max_examples=60, deadline=None)


def faces(rng, people, each, noise=0.1, dims=16):
    """Give descriptors of people far apart, and who each is."""
    centres = rng.normal(0, 1, (people, dims))
    who = np.repeat(np.arange(people), each)
    return (centres[who] + rng.normal(0, noise / np.sqrt(dims), (len(who), dims))).astype(np.float32), who


def singles(descriptors):
    return gather(np.asarray(descriptors, np.float32), np.arange(len(descriptors)))


def partition(group):
    return {frozenset(np.flatnonzero(group == g).tolist()) for g in group}


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 30))
    points = rng.normal(0, draw(st.sampled_from([0.3, 1.0])), (count, 4)).astype(np.float32)
    pairs = [(int(a), int(b)) for a, b in rng.integers(0, count, (draw(st.integers(0, 20)), 2)) if a != b]
    named = rng.random(count) < draw(st.sampled_from([0.0, 0.3]))
    return points, pairs, named, draw(st.sampled_from([0.2, 0.6, 1.5]))


@PROPERTY
@given(cases())
def test_what_must_stay_apart_is_never_in_one_group(case):
    points, pairs, named, threshold = case
    group = group_people(singles(points), threshold, pairs, named)
    assert all(group[i] != group[j] for i, j in pairs)
    assert len(set(group[named])) == named.sum()
    assert (group <= np.arange(len(group))).all()
    assert (group[group] == group).all()


@PROPERTY
@given(cases(), st.data())
def test_the_order_of_the_rows_makes_no_difference(case, data):
    points, pairs, named, threshold = case
    order = np.asarray(data.draw(st.permutations(range(len(points)))))
    place = np.argsort(order)
    moved = group_people(singles(points[order]), threshold, [(place[i], place[j]) for i, j in pairs], named[order])
    group = group_people(singles(points), threshold, pairs, named)
    assert {frozenset(order[list(part)].tolist()) for part in partition(moved)} == partition(group)


@PROPERTY
@given(cases())
def test_without_constraints_it_is_scipys_average_linkage_of_squared_distances(case):
    points, _, _, threshold = case
    group = group_people(singles(points), threshold)
    if len(points) == 1:
        assert group.tolist() == [0]
        return
    squared = np.square(points[:, None].astype(np.float64) - points[None]).sum(axis=2)
    reference = fcluster(linkage(squareform(squared, checks=False), "average"), threshold**2, "distance")
    assert partition(group) == partition(reference)


@PROPERTY
@given(cases())
def test_groups_that_are_left_are_apart_or_forbidden(case):
    points, pairs, named, threshold = case
    group = group_people(singles(points), threshold, pairs, named)
    forbidden = {frozenset((group[i], group[j])) for i, j in pairs}
    heads = sorted(set(group))
    for x, a in enumerate(heads):
        for b in heads[x + 1 :]:
            across = np.square(points[group == a][:, None] - points[group == b][None]).sum(axis=2).mean()
            both_named = named[group == a].any() and named[group == b].any()
            assert across > threshold**2 - 1e-4 or frozenset((a, b)) in forbidden or both_named


def test_people_are_told_apart_and_a_chain_does_not_join_them():
    descriptors, who = faces(np.random.default_rng(0), 30, 6)
    assert partition(group_people(singles(descriptors), 0.5)) == partition(who)
    chain = np.zeros((40, 2), np.float32)
    chain[:, 0] = np.arange(40) * 0.3  # each is near the next; single linkage would make one person of them
    group = group_people(singles(chain), 0.45)
    assert max(np.ptp(chain[group == g, 0]) for g in set(group)) < 0.95


def test_copies_of_one_face_are_one_person_and_end_the_search():
    group = group_people(singles(np.ones((70, 8))), 0.1)
    assert group.tolist() == [0] * 70
    assert partition(group_people(singles(np.ones((3, 8))), 0.1, [(0, 1)])) in (
        {frozenset({0, 2}), frozenset({1})},
        {frozenset({1, 2}), frozenset({0})},
    )
    assert group_people(singles(np.ones((0, 8))), 0.1).tolist() == []


def test_small_blocks_give_the_same(monkeypatch):
    descriptors, _ = faces(np.random.default_rng(1), 20, 5, noise=0.6)
    start = singles(descriptors)
    group, sure = group_people(start, 0.7), confidence(start, group_people(start, 0.7), 0.7)
    monkeypatch.setattr(identity, "_BLOCK", 37)
    assert (group_people(start, 0.7) == group).all()
    np.testing.assert_allclose(confidence(start, group, 0.7), sure)


def test_moments_of_a_track_give_the_mean_squared_distance_of_its_faces():
    rng = np.random.default_rng(2)
    points, number = rng.normal(0, 1, (9, 5)).astype(np.float32), np.array([0, 1, 0, 2, 2, 1, 0, 2, 2])
    tracks = gather(points, number)
    squared = np.square(points[:, None] - points[None]).sum(axis=2)
    for a in range(3):
        for b in range(3):
            expected = squared[np.ix_(number == a, number == b)].mean()
            assert tracks.squared_distances(tracks)[a, b] == pytest.approx(expected, abs=1e-5)
    assert tracks.weight.tolist() == [3, 2, 4]


def test_a_face_between_two_named_people_goes_to_the_nearer():
    points = [[0.0, 0], [1, 0], [0.45, 0], [0.6, 0]]
    group = group_people(singles(points), 0.9, named=np.array([True, True, False, False]))
    assert group[0] != group[1]
    assert group_people(singles(points[:3]), 0.9, named=np.array([True, True, False]))[2] == 0


def test_confidence_is_a_silhouette():
    points = np.array([[0.0, 0], [0, 0.2], [1, 0], [1, 0.2], [5, 5]], np.float32)
    group = group_people(singles(points), 0.5)
    assert partition(group) == {frozenset({0, 1}), frozenset({2, 3}), frozenset({4})}
    sure = confidence(singles(points), group, 0.5)
    other = np.sqrt((1 + 1.04) / 2)
    assert sure[:4] == pytest.approx([1 - 0.2 / other] * 4, abs=1e-6)
    assert sure[4] == pytest.approx(1 - 0.5 / np.sqrt(np.square(points[2:4] - points[4]).sum(axis=1).mean()), abs=1e-6)
    assert confidence(singles(points[:2]), np.zeros(2, int), 0.5).tolist() == [1, 1]  # nobody else
    torn = confidence(singles(points[:3]), np.array([0, 1, 0]), 0.5)  # face 0 was put to the wrong one
    assert torn[0] == 0


def test_names_are_digests_that_avoid_those_that_are_taken():
    first = name_person("a-00000001-00", set())
    assert first == name_person("a-00000001-00", {"anna"})
    assert first.startswith("person-")
    assert len(first) == len("person-") + 8
    second = name_person("a-00000001-00", {first})
    assert second not in (first, "anna")
    assert name_person("a-00000001-00", {first, second}) not in (first, second)


def test_pairwise_scores_are_those_counted_by_hand():
    assert pairwise_scores([0, 0, 1, 1], ["a", "a", "b", "b"]) == (1, 1)
    assert pairwise_scores([0, 0, 0, 1], ["a", "a", "b", "b"]) == (1 / 3, 1 / 2)
    assert pairwise_scores([0, 1, 2], ["a", "a", "b"]) == (1, 0)
