"""Action units are balanced together: a row that shows several counts for each of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import UsageError
from curate import balance
from curate.balance.units import MAX_REPEAT, _round
from curate.config import Balance

PROPERTY = settings(max_examples=100, deadline=None)
CAPS = st.sampled_from([None, 1, 5, "median", "smallest"])


@st.composite
def coded(draw):
    """Rows of up to five units of unequal frequency: 0, 1, an intensity, or not known."""
    size, units = draw(st.integers(0, 60)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = (rng.random((size, units)) < rng.uniform(0, 0.6, units)) * rng.integers(1, 6, (size, units))
    return np.where(rng.random((size, units)) < draw(st.sampled_from([0, 0.3])), np.nan, values)


def sums(values, repeat):
    return repeat @ (values > 0)


@PROPERTY
@given(coded(), CAPS)
def test_under_a_cap_only_rows_go_whose_units_all_have_enough(values, cap):
    found = balance.balance_units(values, Balance(cap=cap))
    active, repeat = values > 0, found.repeat
    counts = active.sum(axis=0)
    assert set(repeat.tolist()) <= {0, 1}
    if cap is None or not counts.any():
        assert (repeat == 1).all()
        return
    present = counts[counts > 0]
    most = {"median": int(np.median(present)), "smallest": int(present.min())}.get(cap, cap)
    kept = sums(values, repeat)
    assert (kept >= np.minimum(counts, most)).all()
    for row in np.flatnonzero(repeat == 0):
        assert (kept[active[row]] >= most).all()
    none = ~active.any(axis=1) & ~np.isnan(values).all(axis=1)
    assert repeat[none].sum() == min(none.sum(), most)
    assert (repeat[np.isnan(values).all(axis=1)] == 1).all()


def test_rare_units_choose_first_and_rows_without_a_full_unit_are_preferred():
    values = np.zeros((93, 3))
    values[:60, 0] = 1
    values[10:90, 1] = 1
    values[88:93, 2] = 1  # two of them with the second unit
    values[90:93, 0] = 1
    for seed in range(5):
        found = balance.balance_units(values, Balance(cap=10, seed=seed))
        assert sums(values, found.repeat).tolist() == [10, 10, 5]
    values[60:88, 0] = 1  # now the second unit has no row without the first, which chooses after it
    assert sums(values, balance.balance_units(values, Balance(cap=10)).repeat).tolist() == [11, 10, 5]


@PROPERTY
@given(coded(), CAPS, st.sampled_from([True, "sqrt", "effective"]), st.sampled_from([None, 1, 3]))
def test_oversampling_brings_units_nearer_to_their_targets_within_bounds(values, cap, oversample, most):
    spec = Balance(cap=cap, oversample=oversample, max_repeat=most)
    found, natural = balance.balance_units(values, spec), balance.balance_units(values, Balance(cap=cap))
    repeat, kept = found.repeat, natural.repeat > 0
    np.testing.assert_array_equal(repeat > 0, kept)
    assert repeat.max(initial=0) <= (most or MAX_REPEAT)
    none = ~(values > 0).any(axis=1)
    assert (repeat[none] <= 1).all()
    counts = sums(values, natural.repeat)
    some = counts > 0
    if some.any():
        target = found.target[some]
        assert (target >= counts[some]).all()

        def miss(shown):
            return (((shown[some] - target) / target) ** 2).sum()

        # no worse than without, but for what rounding can cost: half a showing of each pattern
        patterns = np.unique((values > 0)[kept], axis=0)
        slack = (patterns[:, some].sum(axis=0) / 2 / target).sum()
        assert np.sqrt(miss(sums(values, repeat))) <= np.sqrt(miss(counts)) + slack
    of_pattern = {}
    for row in np.flatnonzero(kept):
        of_pattern.setdefault(tuple(values[row] > 0), []).append(int(repeat[row]))
    assert all(max(shown) - min(shown) <= 1 for shown in of_pattern.values())


@PROPERTY
@given(coded(), CAPS, st.booleans(), st.data())
def test_the_order_of_the_rows_makes_no_difference(values, cap, oversample, data):
    size, spec = len(values), Balance(cap=cap, oversample=oversample)
    keys = np.asarray([f"f{row:03d}" for row in range(size)])
    rng = np.random.default_rng(0)
    of = balance.Looks(rng.integers(0, 4, (size, 3)), rng.integers(0, 99, (size, 1)).astype(np.uint64), keys != "f003")
    shuffled = np.asarray(data.draw(st.permutations(range(size))), np.int64)
    other = balance.Looks(of.groups[shuffled], of.words[shuffled], of.hashed[shuffled])
    repeat = balance.balance_units(values, spec, keys=keys, looks=of).repeat
    again = balance.balance_units(values[shuffled], spec, keys=keys[shuffled], looks=other).repeat
    np.testing.assert_array_equal(again, repeat[shuffled])


@PROPERTY
@given(coded(), st.data())
def test_an_unknown_unit_counts_like_one_that_is_not_active_but_a_row_of_unknowns_stays(values, data):
    spec = Balance(cap=3, oversample=True)
    unknown = np.where(values > 0, values, np.nan)
    partly = np.where(np.random.default_rng(data.draw(st.integers(0, 99))).random(values.shape) < 0.5, values, unknown)
    both = [balance.balance_units(case, spec).repeat for case in (values, unknown)]
    active = (values > 0).any(axis=1)
    np.testing.assert_array_equal(both[0][active], both[1][active])
    assert (both[1][~active] == 1).all()
    np.testing.assert_array_equal(balance.balance_units(partly, spec).repeat[active], both[0][active])


def test_units_that_can_be_balanced_are_balanced_exactly():
    """Frequent units without the rare ones, and the rare ones with them: weights exist that meet every target."""
    values = np.zeros((600, 4))
    values[:400, 0] = 1
    values[300:450, 1] = 1
    values[380:460, 2] = 2.5
    values[440:500, 3] = 1
    found = balance.balance_units(values, Balance(oversample=True))
    assert sums(values, found.repeat).tolist() == pytest.approx([400] * 4, rel=0.15)
    shared = balance.balance_units(values, Balance(oversample="sqrt"))
    assert sums(values, shared.repeat).tolist() == pytest.approx([400, 245, 179, 155], rel=0.02)
    assert shared.target.tolist() == pytest.approx(np.sqrt([160_000, 60_000, 32_000, 24_000]))


def test_the_showings_are_spread_over_all_rows_of_a_rare_unit():
    """Of 100 rows with units 1 and 2, and 5 with 2 alone, the 5 do not get it all."""
    values = np.zeros((1105, 2))
    values[:1100, 0] = 1
    values[1000:1105, 1] = 1
    repeat = balance.balance_units(values, Balance(oversample="sqrt")).repeat
    assert repeat[1000:1100].mean() > 2
    assert repeat[1100:].max() <= MAX_REPEAT


@PROPERTY
@given(coded(), st.data())
def test_no_other_rounding_of_one_pattern_comes_nearer(values, data):
    patterns = np.unique(values > 0, axis=0)
    patterns = patterns[:, patterns.any(axis=0)]
    if not patterns.size:
        return
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    wanted, shown = rng.uniform(1, 20, patterns.shape[1]), rng.uniform(1, 5, len(patterns)).round(1)
    rounded = _round(patterns, shown, wanted)
    assert (np.abs(rounded - shown) < 1).all()

    def miss(counts):
        return (((counts @ patterns - wanted) / wanted) ** 2).sum()

    for place in range(len(patterns)):
        other = rounded.copy()
        other[place] = np.floor(shown[place]) + np.ceil(shown[place]) - rounded[place]
        assert miss(rounded) <= miss(other) + 1e-9


def test_the_table_tells_each_unit_before_and_after():
    values = np.asarray([[1, 0], [1, np.nan], [1, 0], [0, 3], [0, 0], [np.nan, np.nan]])
    found = balance.balance_units(values, Balance(oversample=True))
    assert found.repeat.tolist() == [1, 1, 1, 3, 1, 1]
    table = balance.unit_table(["au_1", "au_2"], values, found)
    assert table.reset_index().to_dict("records") == [
        {"unit": "au_1", "known": 5, "before": 3, "kept": 3, "shown": 3, "target": 3}
        | {"prevalence": 0.6, "prevalence_shown": pytest.approx(3 / 7)},
        {"unit": "au_2", "known": 4, "before": 1, "kept": 1, "shown": 3, "target": 3}
        | {"prevalence": 0.25, "prevalence_shown": 0.5},
        {"unit": "(none)", "known": 5, "before": 1, "kept": 1, "shown": 1, "target": 1}
        | {"prevalence": 0.2, "prevalence_shown": pytest.approx(1 / 7)},
    ]


def test_seeds_change_which_rows_are_chosen_and_bad_keys_are_refused():
    values = np.ones((40, 1))
    first, second = (balance.balance_units(values, Balance(cap=10, seed=seed)).repeat for seed in (0, 1))
    assert (first != second).any()
    with pytest.raises(UsageError, match="distinct keys"):
        balance.balance_units(values, Balance(), keys=["same"] * 40)
