"""The numbers of classes, and the summary, against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from train.metrics import class_scores, confusion, per_class, summary
from train.tasks import Tasks

from .outcomes import ALL, NAN, one_hot, outcome_of, random_outcome

CASES = st.integers(2, 5).flatmap(
    lambda c: st.tuples(
        st.just(c), st.lists(st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1, max_size=40)
    )
)


def tasks_of(classes):
    return Tasks(list("abcde")[:classes])


def case_outcome(case):
    classes, pairs = case
    true, predicted = map(list, zip(*pairs, strict=True))
    return tasks_of(classes), true, predicted, outcome_of(one_hot(predicted, classes), one_hot(true, classes))


@given(CASES)
@settings(max_examples=60, deadline=None)
def test_averages_equal_scikit_learn(case):
    tasks, true, predicted, outcome = case_outcome(case)
    present = {"labels": sorted(set(true)), "zero_division": 0}
    expected = {
        "accuracy_micro": sk.accuracy_score(true, predicted),
        "accuracy_macro": sk.recall_score(true, predicted, average="macro", **present),
        "precision_macro": sk.precision_score(true, predicted, average="macro", **present),
        "f1_macro": sk.f1_score(true, predicted, average="macro", **present),
        "f1_weighted": sk.f1_score(true, predicted, average="weighted", **present),
    }
    found = summary(outcome, tasks)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@given(CASES)
@settings(max_examples=60, deadline=None)
def test_classes_equal_scikit_learn(case):
    tasks, true, predicted, outcome = case_outcome(case)
    labels = range(len(tasks.classes))
    np.testing.assert_array_equal(confusion(outcome, tasks), sk.confusion_matrix(true, predicted, labels=labels))
    columns = sk.precision_recall_fscore_support(true, predicted, labels=labels, zero_division=math.nan)
    for score, precision, recall, f1, rows in zip(per_class(outcome, tasks), *columns, strict=True):
        assert score.rows == rows
        assert (score.precision is None) == math.isnan(precision)
        assert (score.recall is None) == (rows == 0)
        assert (score.f1 is None) == (rows == 0)
        assert score.precision is None or score.precision == pytest.approx(precision)
        if rows:
            assert (score.recall, score.f1) == pytest.approx((recall, f1))


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_likelihood_equals_scikit_learn(seed):
    outcome = random_outcome(seed, 40)
    targets = outcome.targets[:, :4]
    kept = ~targets.isnan().any(1)
    probabilities = outcome.outputs[kept, :4].double().softmax(1).numpy()
    expected = sk.log_loss(targets[kept].argmax(1), probabilities, labels=range(4))
    assert summary(outcome, ALL)["nll"] == pytest.approx(expected, rel=1e-9)


def test_an_absent_class_takes_no_part_but_predicting_it_is_wrong():
    tasks = tasks_of(3)
    outcome = outcome_of(one_hot([0, 0, 0, 2, 1, 1, 1, 1], 3), one_hot([0] * 4 + [1] * 4, 3))
    numbers = summary(outcome, tasks)
    assert numbers["accuracy_macro"] == pytest.approx((0.75 + 1) / 2)
    assert numbers["accuracy_micro"] == pytest.approx(7 / 8)
    assert per_class(outcome, tasks)[2].recall is None


def test_a_class_that_is_never_predicted_has_macro_precision_zero():
    outcome = outcome_of(one_hot([0, 0], 2), one_hot([0, 1], 2))
    assert summary(outcome, tasks_of(2))["precision_macro"] == pytest.approx((0.5 + 0) / 2)
    assert per_class(outcome, tasks_of(2))[1].precision is None


def test_votes_count_for_the_class_with_the_most():
    outcome = outcome_of(one_hot([1, 0], 3), [[0.3, 0.6, 0.1], [0.4, 0.2, 0.4]])
    assert confusion(outcome, tasks_of(3)).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_rows_without_a_label_take_no_part():
    outcome = outcome_of(one_hot([0, 1, 1], 2), one_hot([0, -1, 1], 2))
    assert confusion(outcome, tasks_of(2)).tolist() == [[1, 0], [0, 1]]
    assert confusion(outcome, tasks_of(2)).dtype == np.int64


def test_scores_come_from_counts_alone():
    (a, b) = class_scores(np.array([[3, 1], [0, 0]]), ["a", "b"])
    assert (a.rows, a.precision, a.recall, a.f1) == (4, 1.0, 0.75, pytest.approx(6 / 7))
    assert (b.rows, b.precision, b.recall, b.f1) == (0, 0.0, None, None)


NAMES = {
    "classes": [
        "accuracy_micro",
        "accuracy_macro",
        "precision_macro",
        "f1_macro",
        "f1_weighted",
        "nll",
        "brier",
        "ece",
    ],
    "affect": [
        f"{number}_{of}" for number in ("ccc", "rmse", "pearson", "sagr") for of in ("valence", "arousal", "mean")
    ],
    "units": [
        "precision_units_mean",
        "recall_units_mean",
        "f1_units_mean",
        "f1_units_micro",
        "auc_units_mean",
        "average_precision_units_mean",
    ],
}


def test_the_summary_names_the_numbers_of_every_task():
    numbers = summary(random_outcome(0, 50), ALL)
    assert list(numbers) == [*NAMES["classes"], *NAMES["affect"], *NAMES["units"]]
    assert all(isinstance(value, float) and math.isfinite(value) for value in numbers.values())


@pytest.mark.parametrize(
    ("task", "columns"), [("classes", slice(0, 4)), ("affect", slice(4, 6)), ("units", slice(6, 9))]
)
def test_a_task_alone_has_the_numbers_it_has_among_others(task, columns):
    outcome = random_outcome(1, 50)
    alone = {"classes": Tasks(ALL.classes), "affect": Tasks(affect=True), "units": Tasks(units=ALL.units)}[task]
    numbers = summary(outcome_of(outcome.outputs[:, columns], outcome.targets[:, columns]), alone)
    every = summary(outcome, ALL)
    assert numbers == {name: every[name] for name in NAMES[task]}


@pytest.mark.parametrize("task", ["classes", "affect", "units"])
def test_numbers_that_are_not_defined_are_left_out(task):
    outcome = random_outcome(2, 50)
    outcome.targets[:, {"classes": slice(0, 4), "affect": slice(4, 6), "units": slice(6, 9)}[task]] = NAN
    every = [name for names in NAMES.values() for name in names]
    assert list(summary(outcome, ALL)) == [name for name in every if name not in NAMES[task]]


def test_an_outcome_without_rows_has_no_numbers():
    empty = outcome_of(torch.zeros(0, 9), torch.zeros(0, 9))
    assert summary(empty, ALL) == {}
    assert confusion(empty, ALL).sum() == 0
    assert [score.rows for score in per_class(empty, ALL)] == [0, 0, 0, 0]


def test_a_model_without_classes_has_no_confusion():
    outcome = outcome_of([[0.1, 0.2]], [[0.1, 0.2]])
    assert confusion(outcome, Tasks(affect=True)).shape == (0, 0)
    assert per_class(outcome, Tasks(affect=True)) == []


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_rows_changes_nothing(seed, shuffler):
    outcome = random_outcome(seed, 20)
    order = list(range(20))
    shuffler.shuffle(order)
    shuffled = outcome_of(outcome.outputs[order], outcome.targets[order])
    assert summary(shuffled, ALL) == pytest.approx(summary(outcome, ALL), rel=1e-12, abs=1e-12)
