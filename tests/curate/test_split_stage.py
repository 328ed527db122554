"""Folds, published parts and action units in the stage `split`; and `--fold`."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from align import UsageError
from curate import leaks, pipeline, split, stages
from curate.config import Split
from curate.folds import unevenness
from curate.outcome import count_rows
from tests.curate.small import run_small
from tests.curate.test_stages import _dataset, _rows

OUT = Path("none of these stages looks into the folder")
PROPERTY = settings(max_examples=60, deadline=None)


@st.composite
def grouped(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups = np.repeat(np.arange(draw(st.integers(1, 30))), 1)
    groups = np.repeat(groups, rng.integers(1, draw(st.sampled_from([2, 30])), len(groups)))
    labels = rng.choice(np.array([*"abcd", None], object), len(groups))
    return rng.permutation(groups), labels, draw(st.integers(2, 6))


@PROPERTY
@given(grouped(), st.data())
def test_folds_keep_groups_whole_are_never_empty_and_know_no_order(case, data):
    groups, labels, folds = case
    fold = split.assign_folds(groups, labels, folds, 3)
    assert pd.Series(fold).groupby(groups).nunique().max() == 1
    assert len(set(fold)) == min(folds, len(set(groups)))
    assert fold.min() >= 0
    assert fold.max() < folds
    order = np.asarray(data.draw(st.permutations(range(len(groups)))))
    assert (split.assign_folds(groups[order], labels[order], folds, 3) == fold[order]).all()


@pytest.mark.parametrize("seed", range(40))
def test_folds_are_at_least_as_even_as_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    people, folds = int(rng.integers(5, 40)), int(rng.choice([3, 5]))
    groups = np.repeat(np.arange(people), rng.integers(1, 60, people))
    mix = rng.dirichlet(np.full(int(rng.integers(1, 7)), 0.7), people)
    labels = np.array([rng.choice(mix.shape[1], p=mix[person]) for person in groups])
    counts = split._count(groups, labels).by_group()
    ours = split.assign_folds(groups, labels, folds)[np.unique(groups, return_index=True)[1]]
    theirs = np.zeros(people, np.int64)
    for number, (_, test) in enumerate(StratifiedGroupKFold(folds).split(groups, labels, groups)):
        theirs[groups[test]] = number
    assert unevenness(counts, ours, folds) <= unevenness(counts, theirs, folds) + 1e-12


def test_three_equal_folds_of_single_items_are_equal_to_the_item():
    labels = np.array(["a"] * 300 + ["b"] * 60 + ["c"] * 9, object)
    fold = split.assign_folds(np.arange(369), labels, 3)
    assert pd.crosstab(labels, fold).to_numpy().tolist() == [[100] * 3, [20] * 3, [3] * 3]


def test_less_than_two_folds_are_refused():
    with pytest.raises(UsageError, match="expected 2 folds or more"):
        split.assign_folds([1, 2], None, 1)


@PROPERTY
@given(grouped(), st.data())
def test_fixed_items_stay_and_free_ones_of_their_group_join_the_most(case, data):
    groups, labels, _ = case
    sides = data.draw(
        st.lists(st.sampled_from([None, None, "train", "val", "test"]), min_size=len(groups), max_size=len(groups))
    )
    fixed = np.array([*sides, None], object)[:-1]
    assigned = split.assign(groups, labels, {"val": 0.2, "test": 0.2}, 0, fixed)
    held = np.array([side is not None for side in sides], bool)
    assert (assigned[held] == fixed[held]).all()
    for group in set(groups.tolist()):
        inside = groups == group
        free = assigned[inside & ~held]
        assert len(set(free)) <= 1
        if len(free) and (inside & held).any():
            counts = pd.Series(fixed[inside & held]).value_counts()
            assert counts[free[0]] == counts.max()
    order = np.asarray(data.draw(st.permutations(range(len(groups)))))
    assert (
        split.assign(groups[order], labels[order], {"val": 0.2, "test": 0.2}, 0, fixed[order]) == assigned[order]
    ).all()


def test_shares_count_what_is_fixed():
    fixed = np.array(["test"] * 15 + [None] * 85, object)
    assigned = split.assign(np.arange(100), None, {"val": 0.1, "test": 0.2}, 0, fixed)
    assert pd.Series(assigned).value_counts().to_dict() == {"train": 70, "test": 20, "val": 10}
    too_many = np.array(["test"] * 50 + [None] * 50, object)
    assigned = split.assign(np.arange(100), None, {"val": 0.1, "test": 0.2}, 0, too_many)
    assert (assigned == "test").sum() == 50
    assert (assigned == "val").sum() in range(6, 11)
    with pytest.raises(UsageError, match="found 'dev'"):
        split.assign([1], None, {}, 0, ["dev"])


def test_an_item_may_be_of_several_classes():
    rng = np.random.default_rng(0)
    units = pd.DataFrame({"au_1": rng.random(3000) < 0.3, "au_2": rng.random(3000) < 0.05})
    groups = np.arange(3000) // 10
    fractions = {"val": 0.1, "test": 0.2}
    assigned = split.assign(groups, units, fractions)
    report = split.describe(assigned, groups, units, fractions)
    assert report.items.loc["all"].sum() == 3000
    assert report.items.loc["au_2"].sum() == units["au_2"].sum()
    assert np.abs(report.got.to_numpy() - [0.7, 0.1, 0.2]).max() < 0.02


def people(count: int = 12, **more: object) -> list[dict]:
    made = [{"subject": f"p{k % count}", "label": "ab"[k % 2], "source_id": f"s{k}"} for k in range(5 * count)]
    return [row | more for row in made]


def test_folds_leave_everyone_in_one_fold_and_the_chosen_one_is_the_test() -> None:
    rows, said = stages.assign_splits(
        _rows(*people(), {"drop_reason": "blurred"}), _dataset(split=Split(folds=3, fold=2)), OUT
    )
    kept = rows.iloc[:60]
    assert kept.groupby("subject")["fold"].nunique().max() == 1
    assert (kept["split"].eq("test") == kept["fold"].eq(2)).all()
    assert kept.groupby("subject")["split"].nunique().max() == 1
    assert said["fold_items"] == [20, 20, 20]
    assert (said["folds"], said["fold"]) == (3, 2)
    assert said["asked"] == pytest.approx({"train": 0.6, "val": 0.1 * 2 / 3, "test": 1 / 3})
    assert pd.isna(rows["fold"].iloc[60])
    other, _ = stages.assign_splits(rows, _dataset(split=Split(folds=3, fold=0)), OUT)
    assert (other["fold"].iloc[:60] == kept["fold"]).all()  # the folds stay, only the test part moves
    whole, _ = stages.assign_splits(other, _dataset(), OUT)
    assert whole["fold"].isna().all()


def test_more_folds_than_groups_are_noted() -> None:
    _, said = stages.assign_splits(
        _rows({"subject": "a"}, {"subject": "a"}, {"subject": "b"}), _dataset(split=Split(folds=3)), OUT
    )
    assert any("there are 2 groups: 1 folds are empty" in note for note in said["notes"])


def test_published_parts_are_kept_and_what_crosses_them_is_noted() -> None:
    rows = _rows(
        {"published_split": "train", "subject": "anna"},
        {"published_split": "test", "subject": "anna"},
        {"published_split": "train", "subject": "berta"},
        {"published_split": "val"},
        {"subject": "berta"},
    )
    rows, said = stages.assign_splits(rows, _dataset(), OUT)
    assert rows["split"].tolist() == ["train", "test", "train", "val", "train"]
    assert said["published_kept"] == 4
    assert any("share 1 subject" in note and "anna: 1 in test, 1 in train" in note for note in said["notes"])
    anew, said = stages.assign_splits(rows, _dataset(split=Split(published="ignore", test=0.5)), OUT)
    assert anew["split"].iloc[0] == anew["split"].iloc[1]
    assert "published_kept" not in said


def test_a_training_row_near_a_published_test_row_is_dropped_whatever_its_label() -> None:
    rows = _rows(
        {"published_split": "test", "label": "x"},
        {"published_split": "train", "label": "x", "near": 0},
        {"published_split": "train", "label": "y", "near": 0},
        {"published_split": "val", "near": 0},
        {"published_split": "train"},
        {"near": 0},
    )
    rows, said = stages.assign_splits(rows, _dataset(), OUT)
    # the last one was published in no part: in val or test it would make those others than what was published
    assert rows["drop_reason"].fillna("").tolist() == ["", "leak", "leak", "", "", "leak"]
    assert rows["split"].isna().tolist() == [False, True, True, False, False, True]
    assert count_rows(rows) == {"kept": 3, "leak": 3}
    assert any("3 faces were dropped from training" in note for note in said["notes"])
    again, _ = stages.assign_splits(rows, _dataset(split=Split(published="ignore")), OUT)
    assert count_rows(again) == {"kept": 6}


def test_a_row_that_was_published_nowhere_never_joins_the_published_test_through_one_that_was_dropped() -> None:
    """The last row is near the second alone, which is dropped: nothing ties it to the first any more."""
    rows = _rows({"published_split": "test", "label": "x"}, {"label": "y"}, {"label": "z"})
    near = (np.array([0, 1]), np.array([1, 2]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaks, "near_pairs", lambda *_args, **_options: near)
        rows, _ = stages.assign_splits(rows, _dataset(split=Split(val=0.0, test=0.0)), OUT)
    assert rows["split"].tolist() == ["test", None, "train"]
    assert rows["drop_reason"].fillna("").tolist() == ["", "leak", ""]


@pytest.mark.parametrize("order", [("train", "test"), ("test", "train"), ("val", "train"), ("train", "val")])
def test_the_training_side_of_a_near_pair_goes_whichever_comes_first(order) -> None:
    rows, _ = stages.assign_splits(
        _rows({"published_split": order[0]}, {"published_split": order[1], "near": 0}), _dataset(), OUT
    )
    assert rows["drop_reason"].eq("leak").fillna(value=False).tolist() == [side == "train" for side in order]
    both, _ = stages.assign_splits(
        _rows({"published_split": "test"}, {"published_split": "val", "near": 0}), _dataset(), OUT
    )
    assert both["drop_reason"].isna().all()


def test_action_units_are_spread_where_there_is_no_label() -> None:
    rng = np.random.default_rng(0)
    rows = _rows(*[{"subject": f"p{k // 10}"} for k in range(600)])
    rows["au_12"] = (rng.random(600) < 0.1).astype(np.float32)
    rows["au_4"] = np.float32(0)
    rows, said = stages.assign_splits(rows, _dataset(split=Split(val=0.2, test=0.2)), OUT)
    assert set(said["items"]) == {"au_12", "(none)", "all"}
    positives = said["items"]["au_12"]
    assert abs(positives["val"] - 0.2 * sum(positives.values())) < 3


@st.composite
def sets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = []
    for number in range(draw(st.integers(2, 25))):
        row = {"source_id": f"s{rng.integers(0, 12)}", "label": "ab"[rng.integers(0, 2)]}
        if rng.random() < 0.6:
            row["subject"] = f"p{rng.integers(0, 8)}"
        if number and rng.random() < 0.3:
            row["near"] = int(rng.integers(0, number))
        made.append(row)
    return made


@PROPERTY
@given(sets(), st.sampled_from([None, 2, 3]))
def test_nothing_ever_stands_on_two_sides_of_a_split_or_in_two_folds(made, folds) -> None:
    dataset = _dataset(split=Split(folds=folds, val=0.3, test=0.3))
    rows, said = stages.assign_splits(_rows(*made), dataset, OUT)
    assert rows["split"].notna().all()
    for column in ("split", "fold") if folds else ("split",):
        sided = rows.assign(split=rows[column].astype(str))
        assert not leaks.crossing(sided, "source").leaks
        assert not leaks.crossing(sided, "subject").leaks
        i, j = leaks.near_pairs(rows, said["radius"], 256)
        assert (sided["split"].to_numpy()[i] == sided["split"].to_numpy()[j]).all()
    assert not [check for check in leaks.check_leaks(rows, {"split": said}) if check.level == "failed"]


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fold must be below folds = 3 \(got 3\)"):
        Split(folds=3, fold=3)
    with pytest.raises(ValueError, match=r"0 where there are no folds \(got 1\)"):
        Split(fold=1)
    assert Split(folds=3, val=0.5, test=0.8).folds == 3


def test_another_fold_needs_no_edit_of_the_registry(small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run_small(small_root, out)
    registry = tmp_path / "folds.toml"
    registry.write_text((small_root / "datasets.toml").read_text().replace("split = {", "split = { folds = 3,"))
    pipeline.run_stage("split", out, registry)
    first = json.loads((out / "curation.json").read_text())
    assert (first["split"]["fold"], first["config"]["split"]["folds"]) == (0, 3)
    record = pipeline.run_stage("split", out, registry, fold=2)
    assert record["config"]["split"]["fold"] == 2
    pipeline.run_stage("balance", out, registry)  # does not ask for the split of the registry's fold
    with pytest.raises(UsageError, match=r"--fold 3: expected a fold from 0 to 2"):
        pipeline.run_stage("split", out, registry, fold=3)
    with pytest.raises(UsageError, match=r"--fold 1: expected split\.folds in the registry"):
        pipeline.run_stage("split", out, small_root / "datasets.toml", fold=1)
