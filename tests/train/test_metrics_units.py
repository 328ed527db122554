"""Action units against scikit-learn and brute force."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from align import UsageError
from train.metrics import per_unit, summary, tune_thresholds
from train.tasks import Tasks

from .outcomes import ALL, NAN, outcome_of, random_outcome

UNIT = Tasks(units=["au_12"])
LABELS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30).filter(
    lambda pairs: {present for _, present in pairs} == {False, True}
)


def outcome_of_pairs(pairs):
    scores, present = zip(*pairs, strict=True)
    return outcome_of(torch.tensor(scores)[:, None] / 2, torch.tensor(present).float()[:, None]), scores, present


@given(LABELS)
@settings(max_examples=80, deadline=None)
def test_numbers_equal_scikit_learn_with_ties(pairs):
    outcome, scores, present = outcome_of_pairs(pairs)
    (score,) = per_unit(outcome, UNIT)
    predicted = [s >= 0 for s in scores]
    assert score.rows == len(pairs)
    assert score.prevalence == pytest.approx(sum(present) / len(present))
    assert score.f1 == pytest.approx(sk.f1_score(present, predicted, zero_division=0))
    assert score.recall == pytest.approx(sk.recall_score(present, predicted))
    assert (score.precision is None) == (not any(predicted))
    assert score.precision is None or score.precision == pytest.approx(sk.precision_score(present, predicted))
    assert score.auc == pytest.approx(sk.roc_auc_score(present, scores))
    assert score.average_precision == pytest.approx(sk.average_precision_score(present, scores))


@given(LABELS)
@settings(max_examples=80, deadline=None)
def test_the_tuned_threshold_has_the_best_f1_of_all(pairs):
    outcome, scores, present = outcome_of_pairs(pairs)
    thresholds = tune_thresholds(outcome, UNIT)
    (tuned,) = per_unit(outcome, UNIT, thresholds)
    every = {s: sk.f1_score(present, [t >= s for t in scores], zero_division=0) for s in set(scores)}
    assert tuned.f1 == pytest.approx(max(every.values()))
    assert tuned.threshold == thresholds["au_12"]
    highest = max(s for s, f1 in every.items() if f1 == pytest.approx(max(every.values())))
    assert tuned.threshold == pytest.approx(float(torch.tensor(highest / 2).sigmoid()))


def test_every_unit_is_seen_through_its_own_labels():
    outcome = random_outcome(3, 60)
    for column, score in enumerate(per_unit(outcome, ALL), 6):
        kept = ~outcome.targets[:, column].isnan()
        expected = sk.roc_auc_score(outcome.targets[kept, column], outcome.outputs[kept, column])
        assert score.name == ALL.units[column - 6]
        assert score.rows == int(kept.sum()) < 60
        assert score.auc == pytest.approx(expected)


def test_the_summary_has_means_over_units_and_all_labels_together():
    outcome = random_outcome(4, 60)
    targets, outputs = outcome.targets[:, 6:], outcome.outputs[:, 6:]
    kept = ~targets.isnan()
    scores, numbers = per_unit(outcome, ALL), summary(outcome, ALL)
    assert numbers["f1_units_micro"] == pytest.approx(sk.f1_score(targets[kept], outputs[kept] >= 0))
    assert numbers["f1_units_mean"] == pytest.approx(sum(score.f1 for score in scores) / 3)
    assert numbers["auc_units_mean"] == pytest.approx(sum(score.auc for score in scores) / 3)
    assert numbers["precision_units_mean"] == pytest.approx(sum(score.precision for score in scores) / 3)
    assert numbers["recall_units_mean"] == pytest.approx(sum(score.recall for score in scores) / 3)
    assert numbers["average_precision_units_mean"] == pytest.approx(
        sum(score.average_precision for score in scores) / 3
    )


def test_a_unit_that_no_row_shows_takes_no_part_in_the_means():
    tasks = Tasks(units=["au_1", "au_12"])
    outcome = outcome_of([[2, 1], [-2, 1], [-2, -1]], [[0, 1], [0, 1], [0, 0]])
    silent, seen = per_unit(outcome, tasks)
    assert (silent.prevalence, silent.f1, silent.recall, silent.auc, silent.average_precision) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert silent.precision == 0
    assert (seen.f1, seen.auc) == (1, 1)
    numbers = summary(outcome, tasks)
    assert (numbers["f1_units_mean"], numbers["auc_units_mean"]) == (1, 1)
    assert (numbers["precision_units_mean"], numbers["recall_units_mean"]) == (1, 1)
    assert numbers["f1_units_micro"] == pytest.approx(2 * 2 / (2 * 2 + 1))  # a false alarm is an error all the same
    assert tune_thresholds(outcome, tasks)["au_1"] == 0.5


def test_a_unit_that_is_shown_and_never_predicted_has_a_precision_of_0_in_the_mean():
    tasks = Tasks(units=["au_1", "au_12"])
    outcome = outcome_of([[-2, 1], [-2, -1]], [[1, 1], [0, 0]])
    assert per_unit(outcome, tasks)[0].precision is None
    numbers = summary(outcome, tasks)
    assert (numbers["precision_units_mean"], numbers["recall_units_mean"]) == (0.5, 0.5)


def test_a_unit_that_every_row_shows_has_no_auc():
    (score,) = per_unit(outcome_of([[1], [-1]], [[1], [1]]), UNIT)
    assert (score.auc, score.recall, score.average_precision) == (None, 0.5, 1)


def test_a_unit_without_labels_has_no_numbers():
    (score,) = per_unit(outcome_of([[1]], [[NAN]]), UNIT)
    assert (score.rows, score.prevalence, score.f1, score.precision) == (0, None, None, None)


def test_thresholds_of_other_units_are_refused():
    with pytest.raises(UsageError, match=r"thresholds must be of the model's units \['au_12'\] \(got au_1\)"):
        per_unit(outcome_of([[1]], [[1]]), UNIT, {"au_1": 0.3})


def test_thresholds_are_those_given_and_one_half_elsewhere():
    scores = per_unit(random_outcome(5, 40), ALL, {"au_4": 0.9})
    assert [score.threshold for score in scores] == [0.5, 0.9, 0.5]
