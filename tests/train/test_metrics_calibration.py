"""Calibration against torchmetrics, scikit-learn, hand-worked cases and brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from align import EyelineError, UsageError
from train.metrics import brier, ece, fit_temperature, nll, reliability
from train.tasks import Tasks

from .outcomes import NAN, one_hot, outcome_of

TASKS = Tasks(["a", "b", "c"])


def calibrated(seed, rows=400, sharpness=1.0):
    """Labels drawn from the very probabilities that are told; then logits are made sharper."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 3, generator=generator) * 1.5
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return outcome_of(logits * sharpness, one_hot(labels.tolist(), 3))


def test_bins_of_a_hand_worked_case():
    probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    outcome = outcome_of(probabilities.log(), one_hot([0, 1, 0, 1], 2))
    tasks = Tasks(["a", "b"])
    bins = reliability(outcome, tasks, bins=4)
    assert [(b.lower, b.upper, b.count) for b in bins] == [(0, 0.25, 0), (0.25, 0.5, 0), (0.5, 0.75, 2), (0.75, 1, 2)]
    assert (bins[0].confidence, bins[0].accuracy) == (None, None)
    assert (bins[2].confidence, bins[2].accuracy) == (pytest.approx(0.65), 1)
    assert (bins[3].confidence, bins[3].accuracy) == (pytest.approx(0.85), 0.5)
    assert ece(outcome, tasks, bins=4) == pytest.approx((2 * 0.35 + 2 * 0.35) / 4)
    assert brier(outcome, tasks) == pytest.approx((0.02 + 1.28 + 0.32 + 0.18) / 4)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    bins = reliability(outcome_of([[0.0, 0.0]], one_hot([0], 2)), Tasks(["a", "b"]), bins=2)
    assert [b.count for b in bins] == [1, 0]
    assert reliability(outcome_of([[99.0, 0.0]], one_hot([0], 2)), Tasks(["a", "b"]), bins=2)[1].count == 1


@given(st.integers(0, 1000), st.sampled_from([1, 5, 15]), st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=30, deadline=None)
def test_calibration_error_equals_torchmetrics(seed, bins, sharpness):
    outcome = calibrated(seed, 100, sharpness)
    probabilities = outcome.outputs.double().softmax(1)
    expected = multiclass_calibration_error(probabilities, outcome.targets.argmax(1), 3, n_bins=bins, norm="l1")
    assert ece(outcome, TASKS, bins) == pytest.approx(float(expected), abs=1e-6)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_brier_is_the_squared_distance_and_bins_hold_every_row(seed):
    outcome = calibrated(seed, 60)
    probabilities = outcome.outputs.double().softmax(1)
    expected = torch.nn.functional.mse_loss(probabilities, outcome.targets.double(), reduction="sum") / 60
    assert brier(outcome, TASKS) == pytest.approx(float(expected))
    bins = reliability(outcome, TASKS)
    assert len(bins) == 15
    assert sum(b.count for b in bins) == 60
    assert all(b.lower < b.confidence <= b.upper + 1e-12 for b in bins if b.count)


@given(st.integers(0, 1000), st.sampled_from([0.3, 1.0, 4.0]))
@settings(max_examples=15, deadline=None)
def test_the_temperature_has_the_lowest_likelihood_loss_of_a_fine_grid(seed, sharpness):
    outcome = calibrated(seed, 200, sharpness)
    found = nll(outcome, TASKS, fit_temperature(outcome, TASKS))
    assert found <= min(nll(outcome, TASKS, t) for t in np.geomspace(0.05, 20, 80)) + 1e-9


def test_the_temperature_finds_how_much_sharper_logits_were_made():
    plain = fit_temperature(calibrated(1, 4000), TASKS)
    sharp = calibrated(1, 4000, 4.0)
    assert plain == pytest.approx(1, abs=0.08)
    assert fit_temperature(sharp, TASKS) == pytest.approx(4 * plain, rel=1e-3)
    assert ece(sharp, TASKS, temperature=4 * plain) < ece(sharp, TASKS) / 3
    assert brier(sharp, TASKS, temperature=4 * plain) < brier(sharp, TASKS)


def test_rows_that_are_all_right_or_all_wrong_lead_to_the_ends_of_the_range():
    right = outcome_of([[1.0, 0, 0], [0, 1.0, 0]], one_hot([0, 1], 3))
    wrong = outcome_of([[1.0, 0, 0], [0, 1.0, 0]], one_hot([1, 0], 3))
    assert fit_temperature(right, TASKS) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(wrong, TASKS) == pytest.approx(20, rel=1e-3)


def test_votes_are_scored_as_votes():
    outcome = outcome_of(torch.tensor([[0.5, 0.25, 0.25]]).log(), [[0.5, 0.5, 0.0]])
    assert nll(outcome, TASKS) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    assert brier(outcome, TASKS) == pytest.approx(2 * 0.0625)


def test_rows_without_a_class_take_no_part():
    outcome, bare = calibrated(2, 30), calibrated(2, 30)
    more = outcome_of(
        torch.cat([outcome.outputs, torch.randn(5, 3)]), torch.cat([outcome.targets, torch.full((5, 3), NAN)])
    )
    for number in (nll, brier, ece, fit_temperature):
        assert number(more, TASKS) == pytest.approx(number(bare, TASKS))


def test_nothing_can_be_calibrated_without_labels():
    empty = outcome_of([[0.1, 0.2, 0.3]], [[NAN] * 3])
    assert (nll(empty, TASKS), brier(empty, TASKS), ece(empty, TASKS)) == (None, None, None)
    with pytest.raises(EyelineError, match="rows with a class"):
        fit_temperature(empty, TASKS)
    assert sum(b.count for b in reliability(outcome_of([[0.1, 0.2]], [[0, 0]]), Tasks(affect=True))) == 0


def test_impossible_bins_and_temperatures_are_refused():
    outcome = calibrated(0, 5)
    with pytest.raises(UsageError, match=r"bins must be an integer >= 1 \(got 0\)"):
        reliability(outcome, TASKS, bins=0)
    for temperature in (0.0, -1.0, math.inf, NAN):
        with pytest.raises(UsageError, match="temperature must be a number above 0"):
            nll(outcome, TASKS, temperature)
