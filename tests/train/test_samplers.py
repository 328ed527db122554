from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.samplers import PADDING, BalancedSampler, OnceSampler, RepeatSampler, row_weights

REPEATS = st.lists(st.integers(0, 4), min_size=1, max_size=30).filter(any)


def shards(repeats, world, epoch=0, seed=0):
    for rank in range(world):
        sampler = RepeatSampler(np.array(repeats), seed, rank, world)
        sampler.set_epoch(epoch)
        shard = list(sampler)
        assert len(shard) == len(sampler)
        yield shard


@given(repeats=REPEATS, epoch=st.integers(0, 5))
def test_each_row_is_shown_as_often_as_asked(repeats, epoch):
    (shown,) = shards(repeats, 1, epoch)
    assert Counter(shown) == {row: count for row, count in enumerate(repeats) if count}


@given(repeats=REPEATS, world=st.integers(1, 8))
def test_ranks_share_an_epoch(repeats, world):
    parts = list(shards(repeats, world))
    assert len({len(part) for part in parts}) == 1
    extra = Counter(row for part in parts for row in part)
    extra.subtract({row: count for row, count in enumerate(repeats) if count})
    assert min(extra.values()) >= 0  # nothing is left out
    assert sum(extra.values()) < world  # and only what evens the ranks out comes twice
    if sum(repeats) % world == 0:
        assert not any(extra.values())


def test_ranks_together_show_what_one_rank_shows():
    (alone,) = shards([1] * 12, 1, epoch=3)
    two = list(shards([1] * 12, 2, epoch=3))
    assert [row for pair in zip(*two, strict=True) for row in pair] == alone


def test_epochs_and_seeds_differ_and_repeat():
    orders = [tuple(*shards([1] * 50, 1, epoch, seed)) for epoch in range(3) for seed in (0, 100)]
    assert len(set(orders)) == 6
    assert orders[0] == tuple(*shards([1] * 50, 1, 0, 0))


@given(count=st.integers(0, 40), world=st.integers(1, 8))
def test_evaluation_shows_every_row_once_over_all_ranks(count, world):
    parts = [list(OnceSampler(count, rank, world)) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    assert all(len(OnceSampler(count, rank, world)) == len(parts[rank]) for rank in range(world))
    assert sorted(row for part in parts for row in part if row != PADDING) == list(range(count))


def balanced(weights, size, world=1, epoch=0, seed=0):
    for rank in range(world):
        sampler = BalancedSampler(np.array(weights, dtype=float), size, seed, rank, world)
        sampler.set_epoch(epoch)
        part = list(sampler)
        assert len(part) == len(sampler)
        yield part


@given(
    weights=st.lists(st.floats(0, 100), min_size=1, max_size=40).filter(lambda some: sum(some) > 0.1),
    size=st.integers(1, 200),
    epoch=st.integers(0, 5),
)
def test_each_row_is_drawn_as_often_as_its_weight_says_to_within_one(weights, size, epoch):
    (drawn,) = balanced(weights, size, epoch=epoch)
    expected = np.array(weights) / sum(weights) * size
    found = np.bincount(drawn, minlength=len(weights))
    assert (np.abs(found - expected) < 1 + 1e-6).all()
    assert not found[np.array(weights) == 0].any()


@given(size=st.integers(1, 60), world=st.integers(1, 5))
def test_ranks_share_one_balanced_draw(size, world):
    weights = [1.0] * 30
    parts = list(balanced(weights, size, world))
    assert {len(part) for part in parts} == {-(-size // world)}
    if size % world == 0:
        (alone,) = balanced(weights, size)
        assert [row for rows in zip(*parts, strict=True) for row in rows] == alone


def test_epochs_and_seeds_draw_other_rows_in_other_orders():
    weights = [1.0] * 100
    draws = [tuple(*balanced(weights, 10, epoch=epoch, seed=seed)) for epoch in range(4) for seed in range(4)]
    assert len(set(draws)) == 16
    assert draws[0] == tuple(*balanced(weights, 10))
    assert len({frozenset(drawn) for drawn in draws}) == 16
    (several,) = balanced([3.0, 1.0], 400)
    assert several[:4] != sorted(several)[:4] or several != sorted(several)


def test_balancing_gives_classes_equal_shares_with_repeat_or_without():
    targets = np.eye(3, dtype=np.float32)[[0] * 70 + [1] * 20 + [2] * 10]
    repeats = np.ones(100, dtype=np.int64)
    repeats[70:80] = 3
    for power, shares in ((1.0, [1, 1, 1]), (0.5, np.sqrt([70, 40, 10])), (0.0, [70, 40, 10])):
        weights = row_weights(targets, repeats, power)
        found = [weights[targets[:, label] == 1].sum() for label in range(3)]
        np.testing.assert_allclose(np.array(found) / sum(found), np.array(shares) / np.sum(shares))
        np.testing.assert_allclose(weights[70] / weights[85], 3)  # within a class repeat still counts
        assert weights.sum() == pytest.approx(repeats.sum())


def test_rows_without_a_label_weigh_as_the_mean_labelled_one():
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [np.nan, np.nan]], dtype=np.float32)
    weights = row_weights(targets, np.ones(5, dtype=np.int64))
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 2 / 3, 2, 1])
