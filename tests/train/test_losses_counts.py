"""What the losses learn from the training split: class weights, priors and positive weights."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align import EyelineError
from train.losses import ClassLossSpec, Loss, LossSpec, UnitLossSpec
from train.tasks import Tasks

NAN = math.nan
CLASSES = ["neutral", "happy", "sad"]
UNITS = ["au_1", "au_12"]


def targets_of(counts):
    return torch.eye(len(counts)).repeat_interleave(torch.tensor(counts), 0)


def fitted(counts, repeats=None, **spec):
    loss = Loss(Tasks(CLASSES), LossSpec(classes=ClassLossSpec(**spec)))
    targets = targets_of(counts)
    loss.fit_counts(targets, torch.ones(len(targets), dtype=torch.int64) if repeats is None else repeats)
    return loss


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("inverse", [1 / 60, 1 / 30, 1 / 10]),
        ("square_root", [60**-0.5, 30**-0.5, 10**-0.5]),
        ("effective_number", [0.1 / (1 - 0.9**n) for n in (60, 30, 10)]),
    ],
)
def test_weights_follow_their_definition_with_a_mean_of_one_over_the_rows(name, raw):
    weights = fitted([60, 30, 10], class_weights=name, beta=0.9).class_weights.double().numpy()
    np.testing.assert_allclose(weights / weights[0], np.array(raw) / raw[0], rtol=1e-6)
    assert np.dot(weights, [60, 30, 10]) / 100 == pytest.approx(1)


def test_inverse_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 1, 2], [60, 30, 10])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(fitted([60, 30, 10], class_weights="inverse").class_weights, expected, rtol=1e-6)


@given(
    st.lists(st.integers(1, 500), min_size=3, max_size=3),
    st.sampled_from(["inverse", "square_root", "effective_number"]),
    st.sampled_from([1.0, 1.2, 2.0, 10.0]),
)
@settings(max_examples=60, deadline=None)
def test_bounded_weights_keep_the_mean_the_bound_and_the_order(counts, name, most):
    free = fitted(counts, class_weights=name).class_weights.double()
    weights = fitted(counts, class_weights=name, max_weight=most).class_weights.double()
    assert float((weights * torch.tensor(counts)).sum() / sum(counts)) == pytest.approx(1, rel=1e-5)
    assert float(weights.max()) <= most * (1 + 1e-6)
    order = free.argsort()
    assert (weights[order].diff() >= -1e-5).all()
    below = weights < most * (1 - 1e-5)
    ratio = (weights / free)[below]
    assert len(ratio) == 0 or float(ratio.max() / ratio.min()) == pytest.approx(1, rel=1e-4)


def test_a_bound_holds_a_class_down_and_lifts_the_others():
    weights = fitted([60, 30, 10], class_weights="inverse", max_weight=2.0).class_weights
    # 10 rows at 2 take 20 of 100; the others share 80 in equal halves
    np.testing.assert_allclose(weights, [40 / 60, 40 / 30, 2.0], rtol=1e-6)


def test_rows_count_as_often_as_an_epoch_shows_them():
    repeats = torch.tensor([1, 2, 3])
    shown = fitted([1, 1, 1], repeats, class_weights="inverse", logit_adjustment=1.0)
    counted = fitted([1, 2, 3], class_weights="inverse", logit_adjustment=1.0)
    torch.testing.assert_close(shown.class_weights, counted.class_weights)
    torch.testing.assert_close(shown.log_priors.exp(), torch.tensor([1, 2, 3]) / 6)


def test_votes_count_in_parts_and_rows_without_a_label_not_at_all():
    loss = Loss(Tasks(CLASSES), LossSpec(classes=ClassLossSpec(logit_adjustment=1.0)))
    targets = torch.tensor([[0.5, 0.25, 0.25], [NAN, NAN, NAN], [0.0, 0.0, 1.0]])
    loss.fit_counts(targets, torch.tensor([2, 9, 2]))
    torch.testing.assert_close(loss.log_priors.exp(), torch.tensor([0.25, 0.125, 0.625]))


def test_nothing_changes_where_nothing_is_asked_for():
    loss = fitted([60, 0, 10])
    assert loss.class_weights.tolist() == [1, 1, 1]
    assert loss.log_priors.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("spec", "key"),
    [({"class_weights": "inverse"}, "classes.class_weights"), ({"logit_adjustment": 1.0}, "classes.logit_adjustment")],
)
def test_a_class_without_training_rows_is_refused(spec, key):
    with pytest.raises(EyelineError, match=rf"model\.loss\.{key}: .* \(found none of happy\)"):
        fitted([60, 0, 10], **spec)


def unit_loss(targets, repeats, **spec):
    loss = Loss(Tasks(units=UNITS), LossSpec(units=UnitLossSpec(positive_weights="balanced", **spec)))
    loss.fit_counts(torch.tensor(targets), torch.tensor(repeats))
    return loss


def test_positive_weights_are_negatives_by_positives_of_each_unit():
    targets = [[1.0, 0.0], [0.0, NAN], [0.0, 1.0], [0.0, 1.0]]
    assert unit_loss(targets, [1, 1, 1, 1]).positive_weights.tolist() == [3, 0.5]
    assert unit_loss(targets, [2, 1, 1, 4]).positive_weights.tolist() == pytest.approx([3, 0.4])
    assert unit_loss(targets, [1, 1, 1, 1], max_weight=2.0).positive_weights.tolist() == [2, 0.5]


def test_a_unit_that_all_or_no_training_rows_show_cannot_be_balanced():
    with pytest.raises(EyelineError, match=r"units\.positive_weights: .* \(found none with au_1, without au_12\)"):
        unit_loss([[0.0, 1.0], [0.0, 1.0]], [1, 1])


def test_a_checkpoint_keeps_what_was_counted():
    tasks = Tasks(CLASSES, units=UNITS)
    spec = LossSpec(
        ClassLossSpec(class_weights="inverse", logit_adjustment=1.0), units=UnitLossSpec(positive_weights="balanced")
    )
    loss, fresh = Loss(tasks, spec), Loss(tasks, spec)
    units = torch.tensor([[1.0, 0], [0, 0], [0, 1], [0, 1], [1, 1], [1, 1]])
    loss.fit_counts(torch.cat([targets_of([3, 2, 1]), units], 1), torch.ones(6, dtype=torch.int64))
    fresh.load_state_dict(loss.state_dict())
    assert sorted(loss.state_dict()) == ["class_weights", "log_priors", "positive_weights"]
    for name, value in loss.state_dict().items():
        assert not torch.equal(value, Loss(tasks, spec).state_dict()[name])
        assert torch.equal(fresh.state_dict()[name], value)


def test_the_buffers_have_their_shape_before_anything_was_counted():
    state = Loss(Tasks(CLASSES, affect=True, units=UNITS), LossSpec()).state_dict()
    assert {name: value.shape[0] for name, value in state.items()} == {
        "class_weights": 3,
        "log_priors": 3,
        "positive_weights": 2,
    }
