import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from train.metrics import Confusion, class_scores, scalar_metrics, summary

CASES = st.integers(2, 5).flatmap(
    lambda c: st.tuples(
        st.just(c), st.lists(st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=1, max_size=40)
    )
)


def logits_of(predicted, classes):
    return torch.nn.functional.one_hot(torch.tensor(predicted), classes).float()


def run(metric, true, predicted, classes, batch=7):
    for at in range(0, len(true), batch):  # the last batch is smaller
        part = slice(at, at + batch)
        targets = torch.tensor(true[part])
        metric.update(logits_of(predicted[part], classes), targets, torch.ones(len(targets)).bool())
    return metric.compute()


@given(CASES)
@settings(max_examples=60, deadline=None)
def test_scalars_equal_scikit_learn_over_uneven_batches(case):
    classes, pairs = case
    true, predicted = map(list, zip(*pairs, strict=True))
    found = run(scalar_metrics(classes, "val/"), true, predicted, classes)
    present = sorted(set(true))
    expected = {
        "val/accuracy_micro": sk.accuracy_score(true, predicted),
        "val/accuracy_macro": sk.recall_score(true, predicted, labels=present, average="macro", zero_division=0),
        "val/f1_macro": sk.f1_score(true, predicted, labels=present, average="macro", zero_division=0),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, abs=1e-6)


@given(CASES)
@settings(max_examples=60, deadline=None)
def test_classes_equal_scikit_learn(case):
    classes, pairs = case
    true, predicted = map(list, zip(*pairs, strict=True))
    confusion = run(Confusion(classes), true, predicted, classes)
    np.testing.assert_array_equal(confusion.numpy(), sk.confusion_matrix(true, predicted, labels=range(classes)))
    columns = sk.precision_recall_fscore_support(true, predicted, labels=range(classes), zero_division=math.nan)
    for score, precision, recall, f1, rows in zip(
        class_scores(confusion, list("abcde")[:classes]), *columns, strict=True
    ):
        assert score.rows == rows
        assert (score.precision is None) == math.isnan(precision)
        assert (score.recall is None) == (rows == 0)
        assert (score.f1 is None) == (rows == 0)
        if rows:
            assert (score.recall, score.f1) == pytest.approx((recall, f1))


def test_an_absent_class_takes_no_part_but_predicting_it_is_wrong():
    confusion = torch.tensor([[3, 0, 1], [0, 4, 0], [0, 0, 0]])
    numbers = summary(confusion)
    assert numbers["accuracy_macro"] == pytest.approx((0.75 + 1) / 2)
    assert numbers["accuracy_micro"] == pytest.approx(7 / 8)
    assert not any(math.isnan(value) for value in numbers.values())


def test_padding_counts_nowhere():
    metric = Confusion(2)
    metric.update(logits_of([0, 1, 1], 2), torch.tensor([0, 0, 1]), torch.tensor([True, False, True]))
    assert metric.compute().tolist() == [[1, 0], [0, 1]]
    metric.update(logits_of([0], 2), torch.tensor([0]), torch.tensor([False]))
    assert metric.compute().sum() == 2


def test_the_scalars_share_one_count():
    metrics = scalar_metrics(3, "")
    run(metrics, [0, 1, 2], [0, 1, 1], 3)
    assert len(metrics.compute_groups) == 1
    assert sorted(metrics.compute_groups[0]) == ["accuracy_macro", "accuracy_micro", "f1_macro"]
