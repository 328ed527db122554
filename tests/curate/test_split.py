"""A split keeps groups whole, keeps to its shares, has every class where groups allow, and knows no order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import EyelineError, UsageError
from curate import split
from curate.assigner import Assigner

PROPERTY = settings(max_examples=80, deadline=None)
EIGHTY = {"val": 0.1, "test": 0.1}


@st.composite
def items(draw):
    """Groups of uneven sizes, most with items of several classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = rng.integers(1, draw(st.sampled_from([2, 5, 40])), draw(st.integers(1, 40)))
    groups = rng.permutation(np.repeat(rng.permutation(len(sizes)) * 7 - 3, sizes))
    classes = draw(st.integers(1, 4))
    labels = rng.choice(np.array([*"abcd"][:classes], object), len(groups), p=rng.dirichlet(np.ones(classes)))
    return groups.astype(np.int64), labels


FRACTIONS = st.sampled_from(
    [EIGHTY, {"val": 0.2}, {"test": 0.5}, {"val": 1 / 3, "test": 1 / 3}, {"test": 1.0}, {}, {"val": 0.45, "test": 0.5}]
)


def items_by_split(assigned):
    return pd.Series(assigned).value_counts().reindex(split.SPLITS, fill_value=0)


@PROPERTY
@given(items(), FRACTIONS, st.integers(0, 3))
def test_no_group_is_on_two_sides_and_none_in_a_split_not_asked_for(case, fractions, seed):
    groups, labels = case
    assigned = split.assign(groups, labels, fractions, seed)
    assert pd.Series(assigned).groupby(groups).nunique().max() == 1
    asked = {"train": 1 - sum(fractions.values()), **fractions}
    assert set(assigned) <= {name for name in asked if asked[name] > 0}


@PROPERTY
@given(items(), FRACTIONS, st.integers(0, 3))
def test_shares_are_within_the_largest_group(case, fractions, seed):
    groups, _ = case
    largest = np.unique(groups, return_counts=True)[1].max()
    got = items_by_split(split.assign(groups, None, fractions, seed))
    asked = {"train": 1 - sum(fractions.values()), "val": 0.0, "test": 0.0, **fractions}
    for name in split.SPLITS:
        assert abs(got[name] - asked[name] * len(groups)) <= largest + 1e-6


@PROPERTY
@given(items(), st.sampled_from([EIGHTY, {"val": 0.25, "test": 0.25}, {"test": 0.5}]), st.integers(0, 3))
def test_shares_of_classes_that_every_group_has_are_within_the_largest_group(case, fractions, seed):
    groups, _ = case
    groups, labels = np.tile(groups, 2), np.repeat(np.asarray(["a", "b"], object), len(groups))
    largest = np.unique(groups, return_counts=True)[1].max()
    got = items_by_split(split.assign(groups, labels, fractions, seed))
    for name in fractions:
        assert abs(got[name] - fractions[name] * len(groups)) <= largest + 1e-6


@st.composite
def clips(draw):
    """Groups mostly of one class each, few of them large, and at least eight for each class."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes = draw(st.integers(2, 5))
    own = np.concatenate([np.repeat(np.arange(classes), 8), rng.integers(0, classes, draw(st.integers(0, 20)))])
    sizes = np.where(rng.random(len(own)) < 0.3, rng.integers(20, 60, len(own)), rng.integers(1, 5, len(own)))
    groups = np.repeat(np.arange(len(own)), sizes)
    return groups, np.asarray([*"abcde"], object)[own[groups]]


@settings(max_examples=300, deadline=None)
@given(clips(), st.sampled_from([EIGHTY, {"val": 1 / 3, "test": 1 / 3}, {"val": 0.05}]), st.integers(0, 3))
def test_shares_of_stratified_splits_are_within_the_largest_group(case, fractions, seed):
    groups, labels = case
    largest = np.unique(groups, return_counts=True)[1].max()
    got = items_by_split(split.assign(groups, labels, fractions, seed))
    for name in fractions:
        assert abs(got[name] - fractions[name] * len(groups)) <= largest + 1e-6


def test_many_classes_do_not_push_a_split_over_its_share():
    """Thirty classes of eight equal groups: one group of each in val would be an eighth of the set, not a tenth."""
    groups = np.repeat(np.arange(240), 10)
    got = items_by_split(split.assign(groups, groups % 30, EIGHTY))
    assert np.abs(got.to_numpy() - [1920, 240, 240]).max() <= 10


def test_a_split_that_is_short_by_more_than_the_largest_group_is_given_some():
    sizes = np.array([20, 20, *[1] * 60])
    work = Assigner(np.column_stack([sizes, sizes]), np.array([0.5, 0.25, 0.25]), np.arange(62))
    for group, to in enumerate([1, 2] + [1] * 24 + [2] * 24 + [0] * 12):
        work._put(group, to)
    assert work.missing[:, -1].tolist() == [38, -19, -19]
    work.even_out()
    assert np.abs(work.missing[:, -1]).max() <= 20
    assert (work.missing[:, -1] == [50, 25, 25] - np.bincount(work.split_of, sizes, minlength=3)).all()


@PROPERTY
@given(items(), FRACTIONS, st.data())
def test_the_order_of_the_rows_makes_no_difference(case, fractions, data):
    groups, labels = case
    shuffled = np.asarray(data.draw(st.permutations(range(len(groups)))))
    assigned = split.assign(groups, labels, fractions, 5)
    np.testing.assert_array_equal(split.assign(groups[shuffled], labels[shuffled], fractions, 5), assigned[shuffled])
    np.testing.assert_array_equal(split.assign(groups, labels, fractions, 5), assigned)


@PROPERTY
@given(items(), FRACTIONS)
def test_train_holds_every_class_unless_nothing_is_asked_for_it(case, fractions):
    groups, labels = case
    assigned = split.assign(groups, labels, fractions)
    if fractions != {"test": 1.0}:
        homeless = set(labels) - set(labels[assigned == "train"])
        # A group moves to train whole, so the only way to miss is that there is none: never.
        assert not homeless


def people(rng, persons, classes, weights):
    """A set as in expression recognition: each person shows each class, some often, some rarely."""
    groups = np.repeat(np.arange(persons), rng.integers(20, 60, persons))
    return groups, rng.choice(np.asarray(classes, object), len(groups), p=weights)


def test_classes_keep_their_proportions_in_every_split():
    groups, labels = people(np.random.default_rng(0), 120, ["happy", "sad", "fear"], [0.7, 0.27, 0.03])
    report = split.describe(split.assign(groups, labels, EIGHTY), groups, labels, EIGHTY)
    assert np.abs(report.got[["val", "test"]].to_numpy() - 0.1).max() < 0.016
    assert report.unmet == ()


def test_single_items_are_split_to_the_item():
    labels = np.array(["a"] * 700 + ["b"] * 200 + ["c"] * 100, object)
    assigned = split.assign(np.arange(1000), labels, EIGHTY)
    assert pd.crosstab(labels, assigned).loc[["a", "b", "c"], list(split.SPLITS)].to_numpy().tolist() == [
        [560, 70, 70],
        [160, 20, 20],
        [80, 10, 10],
    ]


def test_a_rare_class_of_few_groups_is_in_every_split():
    """Three of 100 persons show contempt; the greedy pass alone gives train two and one of the others none."""
    groups = np.repeat(np.arange(100), 10)
    labels = np.full(1000, "other", object)
    labels[[35, 357, 778]] = "contempt"
    for seed in range(10):
        assigned = split.assign(groups, labels, EIGHTY, seed)
        assert set(assigned[labels == "contempt"]) == set(split.SPLITS)
        assert abs((assigned == "val").sum() - 100) <= 10


def test_a_class_of_one_group_is_in_train_and_the_report_says_so():
    groups = np.concatenate([np.arange(50), np.full(30, 99)])
    labels = np.array(["scene"] * 50 + ["face"] * 30, object)
    assigned = split.assign(groups, labels, EIGHTY)
    assert set(assigned[labels == "face"]) == {"train"}
    report = split.describe(assigned, groups, labels, EIGHTY)
    assert "class 'face' has 1 group: all of it is in train" in report.unmet
    assert report.items.loc["face"].tolist() == [30, 0, 0]
    assert report.groups.loc["face"].tolist() == [1, 0, 0]


def test_classes_of_one_group_each_all_stay_in_train():
    """One clip a class: a test part would hold classes that were never trained on."""
    groups = np.repeat(np.arange(6), 10)
    assigned = split.assign(groups, np.asarray([*"abcdef"], object)[groups], {"test": 0.5})
    assert set(assigned) == {"train"}
    report = split.describe(assigned, groups, np.asarray([*"abcdef"], object)[groups], {"test": 0.5})
    assert "test has 0.0% of the items, not 50.0%: the largest group has 10" in report.unmet


def test_two_groups_go_to_train_and_one_other():
    groups, labels = np.array([*range(40), 50, 51]), np.array(["b"] * 40 + ["a"] * 2, object)
    assigned = split.assign(groups, labels, EIGHTY)
    assert "train" in assigned[40:]


def test_a_test_only_set_is_all_test():
    groups, labels = people(np.random.default_rng(1), 10, ["a", "b"], [0.5, 0.5])
    assert set(split.assign(groups, labels, {"test": 1.0})) == {"test"}
    assert split.describe(split.assign(groups, labels, {"test": 1.0}), groups, labels, {"test": 1.0}).unmet == ()


def test_items_without_a_label_are_stratified_as_a_class():
    labels = np.array([None] * 100 + ["a"] * 100, object)
    assigned = split.assign(np.arange(200), labels, {"test": 0.2})
    assert (assigned[:100] == "test").sum() == 20
    report = split.describe(assigned, np.arange(200), labels, {"test": 0.2})
    assert report.items.loc["(none)"].tolist() == [80, 0, 20]
    assert report.items.loc["all"].tolist() == [160, 0, 40]


def test_the_seed_decides_between_groups_that_are_alike():
    drawn = {tuple(split.assign(np.arange(30), None, {"test": 0.3}, seed)) for seed in range(5)}
    assert len(drawn) > 1


def test_a_torn_group_is_found_out():
    with pytest.raises(EyelineError, match=r"1 groups are on two sides, the first in \['test', 'train'\]"):
        split.describe(["train", "test", "val"], [4, 4, 5], None, EIGHTY)


def test_no_items_give_no_splits():
    assert split.assign([], None, EIGHTY).tolist() == []
    assert split.describe([], [], None, EIGHTY).unmet == ()


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"dev": 0.1}, "found 'dev'"),
        ({"val": -0.1}, r"fraction of val must be from 0 to 1 \(got -0\.1\)"),
        ({"val": 0.6, "test": 0.6}, "must add up to 1"),
        ({"train": 0.5, "test": 0.1}, "must add up to 1"),
    ],
)
def test_fractions_that_are_no_shares_are_refused(fractions, message):
    with pytest.raises(UsageError, match=message):
        split.assign([1, 2], None, fractions)


def test_rounding_opens_no_split():
    almost = {"val": 0.7 + 0.1 + 0.1, "test": 0.1}
    assert 0 < 1 - sum(almost.values()) < 1e-15
    assert set(split.assign(np.arange(50), None, almost)) == {"val", "test"}


def test_an_item_without_a_group_or_label_entry_is_refused():
    with pytest.raises(UsageError, match="item 1 has no group"):
        split.assign(["a", None], None, EIGHTY)
    with pytest.raises(UsageError, match=r"a label for each of 2 items \(found 1\)"):
        split.assign([1, 2], ["a"], EIGHTY)


def test_rows_that_share_a_key_directly_or_not_are_one_group():
    person = ["ann", None, "bob", "bob", None, None]
    cluster = [1, 1, 2, 3, 4, None]
    source = [None, None, None, "x", "x", None]
    assert split.union_groups(person, cluster, source).tolist() == [0, 0, 1, 1, 1, 2]
    assert split.union_groups([None, None]).tolist() == [0, 1]
    assert split.union_groups([]).tolist() == []
    with pytest.raises(UsageError, match=r"lengths \[1, 2\]"):
        split.union_groups([1], [1, 2])


@PROPERTY
@given(st.lists(st.tuples(*[st.one_of(st.none(), st.integers(0, 12))] * 2), max_size=40), st.data())
def test_union_equals_a_walk_over_shared_keys_in_any_order(rows, data):
    number = split.union_groups([a for a, _ in rows], [b for _, b in rows], [f"id{k:02d}" for k in range(len(rows))])
    groups = []
    for k, row in enumerate(rows):
        own = {(side, value) for side, value in enumerate(row) if value is not None}
        touching = [g for g in groups if g[1] & own]
        groups = [g for g in groups if g not in touching]
        groups.append(({k}.union(*(g[0] for g in touching)), own.union(*(g[1] for g in touching))))
    assert {frozenset(np.flatnonzero(number == n).tolist()) for n in number} == {frozenset(g[0]) for g in groups}
    shuffled = data.draw(st.permutations(range(len(rows))))
    again = split.union_groups(*([rows[k][s] for k in shuffled] for s in (0, 1)), [f"id{k:02d}" for k in shuffled])
    assert again.tolist() == number[np.asarray(shuffled, int)].tolist()
