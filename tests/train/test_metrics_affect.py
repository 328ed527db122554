"""Valence and arousal against hand-worked cases, scikit-learn, scipy and torchmetrics."""

import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torchmetrics.functional import concordance_corrcoef

from train.metrics import affect_scores, summary
from train.tasks import Tasks

from .outcomes import NAN, outcome_of

TASKS = Tasks(affect=True)


def test_a_hand_worked_case():
    outcome = outcome_of([[1, 0.5], [2, -1], [3, 0]], [[1, 0.1], [2, 0], [4, 0]])
    valence, arousal = affect_scores(outcome, TASKS)
    # variances 2/3 and 14/9, covariance 1, means 1/3 apart
    assert valence.ccc == pytest.approx(2 / (2 / 3 + 14 / 9 + 1 / 9))
    assert valence.rmse == pytest.approx(math.sqrt(1 / 3))
    assert valence.pearson == pytest.approx(1 / math.sqrt(2 / 3 * 14 / 9))
    assert valence.sagr == 1
    assert arousal.sagr == pytest.approx(2 / 3)  # the signs of 0.5 and 0.1, and of 0 and 0; not of -1 and 0


@given(st.integers(0, 10_000), st.integers(3, 40))
@settings(max_examples=40, deadline=None)
def test_numbers_equal_the_libraries_over_each_columns_labels(seed, rows):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows + 1, 2, generator=generator) * 2 - 1
    outputs = 0.5 * targets + torch.randn(rows + 1, 2, generator=generator) / 2
    targets[0, 0] = NAN
    for column, score in enumerate(affect_scores(outcome_of(outputs, targets), TASKS)):
        kept = slice(1 - column, None)
        x, y = outputs[kept, column].double().numpy(), targets[kept, column].double().numpy()
        assert score.rows == len(y)
        assert score.pearson == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-10)
        assert score.rmse == pytest.approx(sk.root_mean_squared_error(y, x), rel=1e-10)
        unbiased = (((x - x.mean()) ** 2).sum() + ((y - y.mean()) ** 2).sum()) / len(x) + (x.mean() - y.mean()) ** 2
        covariance = ((x - x.mean()) * (y - y.mean())).sum() / len(x)
        assert score.ccc == pytest.approx(2 * covariance / unbiased, abs=1e-10)


def test_ccc_comes_to_that_of_torchmetrics_with_many_rows():
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(20_000, 2, generator=generator, dtype=torch.float64)
    outputs = targets + torch.randn(20_000, 2, generator=generator, dtype=torch.float64) / 3
    expected = concordance_corrcoef(outputs[:, 0], targets[:, 0])  # which divides by rows - 1
    assert affect_scores(outcome_of(outputs, targets), TASKS)[0].ccc == pytest.approx(float(expected), abs=1e-4)


def test_perfect_shifted_and_mirrored_answers():
    targets = torch.linspace(-0.9, 0.9, 10)[:, None].repeat(1, 2)
    assert affect_scores(outcome_of(targets, targets), TASKS)[0].ccc == pytest.approx(1)
    assert affect_scores(outcome_of(-targets, targets), TASKS)[0].ccc == pytest.approx(-1)
    shifted = affect_scores(outcome_of(targets + 1, targets), TASKS)[0]
    assert shifted.pearson == pytest.approx(1)
    assert shifted.ccc < 0.5


def test_constant_outputs_have_no_correlation():
    outcome = outcome_of([[0.1, 0.1]] * 7, [[0.3, 0.1], [0.2, 0.1], [0.7, 0.1], *[[0.9, 0.1]] * 4])
    valence, arousal = affect_scores(outcome, TASKS)
    assert (valence.ccc, valence.pearson) == (0.0, None)
    assert (arousal.ccc, arousal.pearson) == (None, None)  # everything the same: 0 / 0
    assert arousal.rmse == 0
    numbers = summary(outcome, TASKS)
    assert "pearson_mean" not in numbers
    assert "ccc_arousal" not in numbers
    assert numbers["ccc_mean"] == 0.0


def test_no_labels_no_numbers():
    valence, arousal = affect_scores(outcome_of([[0.1, 0.2]], [[NAN, 0.3]]), TASKS)
    assert (valence.rows, valence.ccc, valence.rmse, valence.pearson, valence.sagr) == (0, None, None, None, None)
    assert (arousal.name, arousal.rows, arousal.rmse) == ("arousal", 1, pytest.approx(0.1))
    assert affect_scores(outcome_of([[0.1, 0.2]], [[1, 0]]), Tasks(["a", "b"])) == []
