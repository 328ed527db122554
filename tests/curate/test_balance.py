"""Balance shows each class as asked, to the row, and draws the same rows whatever their order."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import UsageError
from curate import balance
from curate.balance.counts import whole
from curate.config import Balance

PROPERTY = settings(max_examples=100, deadline=None)
CAPS = st.sampled_from([None, "median", "smallest", 1, 3, 1000])
OVERSAMPLE = st.sampled_from([False, True, "equal", "sqrt", "effective"])


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


def wanted(kept, oversample, beta=0.999):
    """The targets by their definitions, in exact arithmetic where that goes."""
    most = max(kept)

    def effective(n):
        return sum(Fraction(beta) ** k for k in range(n))  # (1 - b^n) / (1 - b)

    formula = {
        False: lambda n: n,
        "sqrt": lambda n: math.sqrt(n * most),
        "effective": lambda n: float(n * effective(most) / effective(n)),
    }.get(oversample)
    return [formula(n) if formula else most for n in kept]


@PROPERTY
@given(labelled(), CAPS, OVERSAMPLE, st.integers(0, 5))
def test_classes_are_kept_and_shown_as_asked(case, cap, oversample, seed):
    labels, sizes = case
    repeat = balance.repeats(labels, Balance(cap=cap, oversample=oversample, seed=seed))
    assert repeat.dtype == np.int32
    assert (repeat[pd.isna(labels)] == 1).all()
    if not sizes:
        return
    most = min(limit(cap, sizes), max(sizes))
    kept = [min(size, most) for size in sizes]
    target = wanted(kept, oversample)
    total = 0
    for name, count, aim in zip("abcde"[: len(sizes)], kept, target, strict=True):
        own = repeat[labels == name]
        shown = own[own > 0]
        assert len(shown) == count
        assert abs(shown.sum() - aim) < 1
        assert shown.max() - shown.min() <= 1
        total += shown.sum()
    assert total in (math.floor(sum(target) + 0.5 - 1e-6), math.floor(sum(target) + 0.5 + 1e-6))


@PROPERTY
@given(labelled(), CAPS, OVERSAMPLE, st.data())
def test_the_order_of_the_rows_makes_no_difference_given_keys(case, cap, oversample, data):
    labels, _ = case
    spec = Balance(cap=cap, oversample=oversample, seed=3)
    keys = np.asarray([f"face-{row:03d}" for row in range(len(labels))])
    shuffled = np.asarray(data.draw(st.permutations(range(len(labels)))), np.int64)
    repeat = balance.repeats(labels, spec, keys=keys)
    again = balance.repeats(labels[shuffled], spec, keys=keys[shuffled])
    np.testing.assert_array_equal(again, repeat[shuffled])
    np.testing.assert_array_equal(balance.repeats(labels, spec, keys=keys), repeat)


@PROPERTY
@given(st.lists(st.floats(0, 1000), max_size=12))
def test_largest_remainders_make_the_sum_exact(values):
    rounded = whole(np.asarray(values))
    assert rounded.sum() == math.floor(float(np.sum(values)) + 0.5)
    assert (np.abs(rounded - values) < 1 + 1e-6).all()
    up = [v - math.floor(v) for v, r in zip(values, rounded, strict=True) if r > v + 1e-6]
    down = [v - math.floor(v) for v, r in zip(values, rounded, strict=True) if r < v - 1e-6]
    assert not up or not down or min(up) >= max(down) - 1e-6


def test_square_root_and_effective_number_stand_between_the_natural_mix_and_an_equal_one():
    labels = ["a"] * 400 + ["b"] * 100 + ["c"] * 4

    def shown(**settings):
        repeat = balance.repeats(labels, Balance(**settings))
        return [int(repeat[:400].sum()), int(repeat[400:500].sum()), int(repeat[500:].sum())]

    assert shown(oversample="equal") == shown(oversample=True) == [400, 400, 400]
    assert shown(oversample="sqrt") == [400, 200, 40]
    assert shown(oversample="effective", beta=0.0) == [400, 100, 4]
    assert shown(oversample="effective", beta=1 - 1e-12) == [400, 400, 400]
    # Cui et al. 2019: weights 1 / E, E(n) = (1 - 0.99^n) / 0.01 = 98.2, 63.4 and 3.94, so 400, 154.9 and 99.7
    assert shown(oversample="effective", beta=0.99) == [400, 155, 100]
    assert shown(oversample=True, max_repeat=7) == [400, 400, 28]
    assert shown(oversample=True, cap=50, max_repeat=2) == [50, 50, 8]


def test_rows_are_drawn_at_random_by_the_seed():
    labels = ["a"] * 200 + ["b"] * 50
    first, second = (balance.repeats(labels, Balance(cap="smallest", seed=seed))[:200] for seed in (0, 1))
    assert (first != second).any()
    assert 10 < first[:100].sum() < 40  # 25 expected: neither the first rows nor the last
    extra = balance.repeats(["a"] * 100 + ["b"] * 150, Balance(oversample=True))[:100]
    assert 10 < (extra[:50] == 2).sum() < 40


def test_the_table_counts_rows_and_showings_by_class():
    labels = ["sad"] * 3 + ["happy"] * 10 + [None] * 2
    found = balance.table(labels, balance.repeats(labels, Balance(cap=7, oversample=True)))
    assert found.index.tolist() == ["happy", "sad", "(none)"]
    assert found.columns.tolist() == ["before", "kept", "shown"]
    assert found.to_numpy().tolist() == [[10, 7, 7], [3, 3, 7], [2, 2, 2]]


def test_no_rows_and_no_labels_are_left_as_they_are():
    spec = Balance(cap="smallest", oversample=True)
    assert balance.repeats([], spec).tolist() == []
    assert balance.repeats([None, None], spec).tolist() == [1, 1]
    assert balance.table([], []).empty


@pytest.mark.parametrize("cap", [0, -1, 2.5, "mean", True])
def test_a_cap_that_is_none_is_refused(cap):
    with pytest.raises(UsageError, match="cap must be a whole number >= 1"):
        balance.repeats(["a", "b"], Balance(cap=cap))


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
        balance.repeats(["a", "b"], Balance(), keys=keys)
