from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from train.samplers import PADDING, OnceSampler, RepeatSampler

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
