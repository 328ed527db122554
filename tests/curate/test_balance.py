"""Balance shows each class as asked, to the row, and draws the same rows whatever their order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import UsageError
from curate import balance

PROPERTY = settings(max_examples=100, deadline=None)
CAPS = st.sampled_from([None, "median", "smallest", 1, 3, 1000])


@st.composite
def labelled(draw):
    sizes = draw(st.lists(st.integers(1, 30), max_size=5))
    labels = np.repeat(np.asarray([*"abcde"][: len(sizes)], object), sizes)
    labels = np.concatenate([labels, np.full(draw(st.integers(0, 4)), None, object)])
    return labels[np.random.default_rng(draw(st.integers(0, 99))).permutation(len(labels))], sizes


def limit(cap, sizes):
    if cap == "median":
        middle = sorted(sizes)
        half = len(middle) // 2
        return middle[half] if len(middle) % 2 else (middle[half - 1] + middle[half]) // 2
    return {None: max(sizes), "smallest": min(sizes)}.get(cap, cap)


@PROPERTY
@given(labelled(), CAPS, st.booleans(), st.integers(0, 5))
def test_classes_are_kept_and_shown_as_asked(case, cap, oversample, seed):
    labels, sizes = case
    repeat = balance.repeats(labels, cap, oversample=oversample, rng=seed)
    assert repeat.dtype == np.int32
    assert (repeat[pd.isna(labels)] == 1).all()
    if not sizes:
        return
    most = min(limit(cap, sizes), max(sizes))
    for name, size in zip("abcde"[: len(sizes)], sizes, strict=True):
        own = repeat[labels == name]
        shown = own[own > 0]
        assert len(shown) == min(size, most)
        assert shown.sum() == (most if oversample else len(shown))
        assert shown.max() - shown.min() <= 1


@PROPERTY
@given(labelled(), CAPS, st.booleans(), st.data())
def test_the_order_of_the_rows_makes_no_difference_given_keys(case, cap, oversample, data):
    labels, _ = case
    keys = np.asarray([f"face-{row:03d}" for row in range(len(labels))])
    shuffled = np.asarray(data.draw(st.permutations(range(len(labels)))), np.int64)
    repeat = balance.repeats(labels, cap, oversample=oversample, rng=3, keys=keys)
    again = balance.repeats(labels[shuffled], cap, oversample=oversample, rng=3, keys=keys[shuffled])
    np.testing.assert_array_equal(again, repeat[shuffled])
    np.testing.assert_array_equal(balance.repeats(labels, cap, oversample=oversample, rng=3, keys=keys), repeat)


def test_rows_are_drawn_at_random_by_the_seed():
    labels = ["a"] * 200 + ["b"] * 50
    first, second = (balance.repeats(labels, "smallest", rng=seed)[:200] for seed in (0, 1))
    assert (first != second).any()
    assert 10 < first[:100].sum() < 40  # 25 expected: neither the first rows nor the last
    generator = np.random.default_rng(0)
    np.testing.assert_array_equal(balance.repeats(labels, "smallest", rng=generator)[:200], first)


def test_the_table_counts_rows_and_showings_by_class():
    labels = ["sad"] * 3 + ["happy"] * 10 + [None] * 2
    found = balance.table(labels, balance.repeats(labels, 7, oversample=True))
    assert found.index.tolist() == ["happy", "sad", "(none)"]
    assert found.columns.tolist() == ["before", "kept", "shown"]
    assert found.to_numpy().tolist() == [[10, 7, 7], [3, 3, 7], [2, 2, 2]]


def test_no_rows_and_no_labels_are_left_as_they_are():
    assert balance.repeats([], "median", oversample=True).tolist() == []
    assert balance.repeats([None, None], "smallest", oversample=True).tolist() == [1, 1]
    assert balance.table([], []).empty


@pytest.mark.parametrize("cap", [0, -1, 2.5, "mean", True])
def test_a_cap_that_is_none_is_refused(cap):
    with pytest.raises(UsageError, match="cap must be a whole number >= 1"):
        balance.repeats(["a", "b"], cap)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["x"], r"a key for each of 2 rows \(found 1\)"),
        (["x", "x"], "2 distinct keys"),
        (["x", None], "2 distinct keys"),
    ],
)
def test_keys_that_do_not_tell_rows_apart_are_refused(keys, message):
    with pytest.raises(UsageError, match=message):
        balance.repeats(["a", "b"], keys=keys)
