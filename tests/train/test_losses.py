"""The losses against torch's, timm's and hand-worked ones."""

import math
import re
from dataclasses import asdict
from pathlib import Path

import jsonargparse
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.loss import AsymmetricLossMultiLabel
from torch import nn

from align import UsageError
from train.losses import AffectLossSpec, ClassLossSpec, Loss, LossSpec, LossWeights, UnitLossSpec
from train.tasks import Tasks

NAN = math.nan
CLASSES = ["neutral", "happy", "sad"]
UNITS = ["au_1", "au_12"]
ALL = Tasks(CLASSES, affect=True, units=UNITS)


def loss_of(tasks=None, *, fit=None, **specs):
    loss = Loss(tasks or Tasks(CLASSES), LossSpec(**specs))
    if fit is not None:
        loss.fit_counts(fit, torch.ones(len(fit), dtype=torch.int64))
    return loss


def one_hot(labels, classes=3):
    return F.one_hot(torch.tensor(labels, dtype=torch.int64), classes).float()


def batch(seed, rows, columns=3, scale=3.0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * scale


UNEVEN = one_hot([0] * 6 + [1] * 3 + [2])
SOFT = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0], [0.1, 0.3, 0.6]])


@given(st.integers(0, 10_000), st.lists(st.integers(0, 2), min_size=1, max_size=9), st.sampled_from([0.0, 0.1, 0.5]))
@settings(max_examples=40, deadline=None)
def test_cross_entropy_equals_torch_with_weights_and_smoothing(seed, labels, smoothing):
    spec = ClassLossSpec(class_weights="inverse", label_smoothing=smoothing)
    loss = loss_of(fit=UNEVEN, classes=spec)
    logits = batch(seed, len(labels))
    expected = F.cross_entropy(logits, torch.tensor(labels), weight=loss.class_weights, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, one_hot(labels))["loss"], expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_votes_equals_torch(smoothing):
    loss = loss_of(classes=ClassLossSpec(label_smoothing=smoothing))
    expected = F.cross_entropy(batch(1, 3), SOFT, label_smoothing=smoothing)
    torch.testing.assert_close(loss(batch(1, 3), SOFT)["loss"], expected)


def test_weighted_votes_divide_by_the_weight_of_the_votes():
    loss = loss_of(fit=UNEVEN, classes=ClassLossSpec(class_weights="inverse"))
    expected = F.cross_entropy(batch(1, 3), SOFT, weight=loss.class_weights, reduction="sum")
    expected = expected / (SOFT * loss.class_weights).sum()
    torch.testing.assert_close(loss(batch(1, 3), SOFT)["loss"], expected)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
@settings(max_examples=20, deadline=None)
def test_focal_loss_with_gamma_zero_is_cross_entropy(seed, smoothing):
    common = {"class_weights": "inverse", "label_smoothing": smoothing}
    focal = loss_of(fit=UNEVEN, classes=ClassLossSpec(name="focal", gamma=0.0, **common))
    plain = loss_of(fit=UNEVEN, classes=ClassLossSpec(**common))
    logits = batch(seed, 3)
    torch.testing.assert_close(focal(logits, SOFT)["loss"], plain(logits, SOFT)["loss"])


def test_focal_loss_of_a_hand_worked_case():
    logits = torch.tensor([[math.log(0.5), math.log(0.25), math.log(0.25)]])
    loss = loss_of(classes=ClassLossSpec(name="focal", gamma=2.0))
    assert float(loss(logits, one_hot([1]))["loss"]) == pytest.approx(0.75**2 * math.log(4))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_focal_gradients_stay_finite_where_the_model_is_sure(gamma):
    logits = torch.tensor([[200.0, -200.0, 0.0], [0.0, 200.0, 0.0]], requires_grad=True)
    loss_of(classes=ClassLossSpec(name="focal", gamma=gamma))(logits, one_hot([0, 0]))["loss"].backward()
    assert logits.grad.isfinite().all()


@given(st.integers(0, 10_000), st.lists(st.integers(0, 2), min_size=1, max_size=9), st.sampled_from([1.0, 1e6]))
@settings(max_examples=30, deadline=None)
def test_multi_margin_equals_torch(seed, labels, scale):
    loss = loss_of(fit=UNEVEN, classes=ClassLossSpec(name="multi_margin", class_weights="inverse"))
    logits = batch(seed, len(labels), scale=scale)
    expected = F.multi_margin_loss(logits, torch.tensor(labels), weight=loss.class_weights)
    torch.testing.assert_close(loss(logits, one_hot(labels))["loss"], expected)


def test_multi_margin_of_votes_is_the_mean_over_the_votes():
    loss = loss_of(classes=ClassLossSpec(name="multi_margin"))
    logits = batch(2, 1)
    each = torch.stack([F.multi_margin_loss(logits, torch.tensor([c])) for c in range(3)])
    torch.testing.assert_close(loss(logits, SOFT[:1])["loss"], (SOFT[0] * each).sum())


@pytest.mark.parametrize("name", ["cross_entropy", "multi_margin"])
def test_the_softmax_that_some_scripts_have_before_their_loss_is_an_option(name):
    assert not ClassLossSpec().softmax_first
    theirs = {"cross_entropy": F.cross_entropy, "multi_margin": F.multi_margin_loss}[name]
    logits, labels = batch(4, 5), [0, 1, 2, 2, 1]
    loss = loss_of(classes=ClassLossSpec(name, softmax_first=True))
    for loss_in_mode in (loss.train(), loss.eval()):
        expected = theirs(logits.softmax(1), torch.tensor(labels))
        torch.testing.assert_close(loss_in_mode(logits, one_hot(labels))["loss"], expected)


def test_a_softmax_before_cross_entropy_bounds_it_from_below():
    sure = torch.tensor([[60.0, *[0.0] * 6]])
    loss = loss_of(Tasks([f"c{i}" for i in range(7)]), classes=ClassLossSpec(softmax_first=True))
    assert float(loss(sure, one_hot([0], 7))["loss"]) == pytest.approx(math.log(1 + 6 / math.e))


def test_logits_are_adjusted_by_the_log_priors_in_training_alone():
    loss = loss_of(fit=UNEVEN, classes=ClassLossSpec(logit_adjustment=0.7))
    logits, priors = batch(3, 4), torch.tensor([0.6, 0.3, 0.1])
    expected = F.cross_entropy(logits + 0.7 * priors.log(), torch.tensor([0, 1, 2, 2]))
    torch.testing.assert_close(loss(logits, one_hot([0, 1, 2, 2]))["loss"], expected)
    loss.eval()
    plain = F.cross_entropy(logits, torch.tensor([0, 1, 2, 2]))
    torch.testing.assert_close(loss(logits, one_hot([0, 1, 2, 2]))["loss"], plain)


def test_evaluation_drops_smoothing_and_keeps_weights():
    loss = loss_of(fit=UNEVEN, classes=ClassLossSpec(class_weights="inverse", label_smoothing=0.3)).eval()
    expected = F.cross_entropy(batch(4, 4), torch.tensor([0, 1, 2, 2]), weight=loss.class_weights)
    torch.testing.assert_close(loss(batch(4, 4), one_hot([0, 1, 2, 2]))["loss"], expected)


AFFECT = Tasks(affect=True)


def discordance(x, y):
    x, y = x.double(), y.double()
    together = ((x - x.mean()) * (y - y.mean())).mean()
    return 1 - 2 * together / (x.var(correction=0) + y.var(correction=0) + (x.mean() - y.mean()) ** 2)


def test_ccc_of_a_hand_worked_case():
    outputs = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 4.0]])
    targets = torch.tensor([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    # variances 2/3 and 14/9, covariance 1, means 1/3 apart: CCC = 2 / (2/3 + 14/9 + 1/9) = 6/7; arousal is right
    assert float(loss_of(AFFECT)(outputs, targets)["loss"]) == pytest.approx((1 / 7 + 0) / 2)


@given(st.integers(0, 10_000), st.integers(2, 20))
@settings(max_examples=30, deadline=None)
def test_each_affect_column_has_its_own_mask(seed, rows):
    outputs, targets = batch(seed, rows + 2, 2, 0.5), batch(seed + 1, rows + 2, 2, 0.5)
    targets[0, 0], targets[1, 1] = NAN, NAN
    v, a = [i for i in range(rows + 2) if i != 0], [i for i in range(rows + 2) if i != 1]
    expected = (discordance(outputs[v, 0], targets[v, 0]) + discordance(outputs[a, 1], targets[a, 1])) / 2
    assert float(loss_of(AFFECT)(outputs, targets)["loss"]) == pytest.approx(float(expected), rel=1e-4)
    squares = (F.mse_loss(outputs[v, 0], targets[v, 0]) + F.mse_loss(outputs[a, 1], targets[a, 1])) / 2
    mse = loss_of(AFFECT, affect=AffectLossSpec("mse"))(outputs, targets)["loss"]
    torch.testing.assert_close(mse, squares)


@pytest.mark.parametrize("name", ["ccc", "mse"])
def test_an_affect_column_without_labels_takes_no_part(name):
    outputs, targets = batch(5, 6, 2), batch(6, 6, 2)
    targets[:, 1] = NAN
    loss = loss_of(AFFECT, affect=AffectLossSpec(name))
    x, y = outputs[:, 0], targets[:, 0]
    expected = F.mse_loss(x, y) if name == "mse" else discordance(x, y).float()
    torch.testing.assert_close(loss(outputs, targets)["loss"], expected)


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        ([[0.3, 0.1]], [[0.2, -0.5]]),
        ([[0.3, 0.1]], [[0.3, 0.1]]),
        ([[0.3, 0.1], [0.1, 0.9]], [[0.5, 0.5], [0.5, 0.5]]),
        ([[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]),
    ],
)
def test_ccc_stays_finite_on_one_row_and_on_constant_targets(outputs, targets):
    given_outputs = torch.tensor(outputs, requires_grad=True)
    loss = loss_of(AFFECT)(given_outputs, torch.tensor(targets))["loss"]
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.0)
    assert given_outputs.grad.isfinite().all()


def test_ccc_keeps_its_precision_far_from_zero():
    targets = batch(7, 64, 2, 0.01) + 100
    outputs = targets + batch(8, 64, 2, 0.005)
    expected = sum(discordance(outputs[:, i], targets[:, i]) for i in range(2)) / 2
    assert float(loss_of(AFFECT)(outputs, targets)["loss"]) == pytest.approx(float(expected), abs=1e-3)


def test_unit_loss_equals_torch_over_the_labels_there_are():
    logits = batch(9, 5, 2)
    targets = torch.tensor([[1.0, 0], [0, NAN], [1, 1], [NAN, 0], [0, 0]])
    fit = torch.tensor([[1.0, 0], [0, 0], [0, 0], [0, 1]])
    loss = loss_of(Tasks(units=UNITS), fit=fit, units=UnitLossSpec(positive_weights="balanced"))
    assert loss.positive_weights.tolist() == [3, 3]
    each = F.binary_cross_entropy_with_logits(
        logits, targets.nan_to_num(), pos_weight=torch.tensor(3.0), reduction="none"
    )
    torch.testing.assert_close(loss(logits, targets)["loss"], each[~targets.isnan()].mean())


@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    st.sampled_from([0.0, 0.5, 4.0]),
    st.sampled_from([0.0, 0.05, 0.2]),
)
@settings(max_examples=40, deadline=None)
def test_asymmetric_loss_equals_timm(seed, positive, negative, clip):
    logits = batch(seed, 1, 8).clamp(-5, 5)  # beyond, timm's 1 - sigmoid loses digits
    targets = (batch(seed + 1, 1, 8) > 0).float()
    spec = UnitLossSpec("asymmetric", gamma_positive=positive, gamma_negative=negative, clip=clip)
    found = loss_of(Tasks(units=[f"au_{i}" for i in range(8)]), units=spec)(logits, targets)["loss"]
    timm = AsymmetricLossMultiLabel(gamma_neg=negative, gamma_pos=positive, clip=clip)
    torch.testing.assert_close(found, timm(logits, targets) / 8, rtol=1e-4, atol=1e-6)  # timm adds the units up


def test_asymmetric_loss_of_a_hand_worked_case():
    logits = torch.tensor([[math.log(3), math.log(1 / 4)]])  # probabilities 0.75 and 0.2
    spec = UnitLossSpec("asymmetric", gamma_positive=1, gamma_negative=2, clip=0.1)
    expected = (0.25 * -math.log(0.75) + 0.1**2 * -math.log(0.9)) / 2
    assert float(loss_of(Tasks(units=UNITS), units=spec)(logits, torch.tensor([[1.0, 0.0]]))["loss"]) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("gamma", [0.0, 0.3, 4.0])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_asymmetric_gradients_stay_finite_where_the_model_is_sure(gamma, clip):
    logits = torch.tensor([[90.0, -90.0], [-90.0, 90.0]], requires_grad=True)
    spec = UnitLossSpec("asymmetric", gamma_positive=gamma, gamma_negative=gamma, clip=clip)
    loss_of(Tasks(units=UNITS), units=spec)(logits, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))["loss"].backward()
    assert logits.grad.isfinite().all()


def full_targets(rows):
    return torch.cat(
        [one_hot([i % 3 for i in range(rows)]), batch(0, rows, 2, 0.3), (batch(1, rows, 2) > 0).float()], 1
    )


EVERY_SPEC = [
    LossSpec(),
    LossSpec(ClassLossSpec("focal", label_smoothing=0.1), AffectLossSpec("mse"), UnitLossSpec("asymmetric")),
    LossSpec(ClassLossSpec("multi_margin")),
]


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_rows_without_any_label_change_nothing(spec):
    loss, outputs, targets = Loss(ALL, spec), batch(1, 6, 7), full_targets(6)
    padded = torch.cat([targets, torch.full((2, 7), NAN)])
    found = loss(torch.cat([outputs, batch(2, 2, 7, 100)]), padded)
    for name, value in loss(outputs, targets).items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("spec", EVERY_SPEC)
@pytest.mark.parametrize("unlabelled", [slice(0, 3), slice(3, 5), slice(5, 7), slice(0, 7)])
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_batch_without_labels_of_a_task_costs_nothing_and_keeps_every_parameter_in(spec, unlabelled, rows):
    model = nn.Linear(4, 7)
    targets = full_targets(rows)
    targets[:, unlabelled] = NAN
    losses = Loss(ALL, spec)(model(batch(3, rows, 4)), targets)
    losses["loss"].backward()
    assert model.weight.grad.isfinite().all()
    assert (model.weight.grad[unlabelled] == 0).all()
    dark = {0: "classes", 3: "affect", 5: "units"}[unlabelled.start]
    assert losses[f"loss_{dark}"].item() == 0
    assert all(value.isfinite() for value in losses.values())


def test_the_loss_is_the_weighted_sum_of_the_tasks():
    outputs, targets = batch(4, 6, 7), full_targets(6)
    found = loss_of(ALL, weights=LossWeights(0.5, 2.0, 0.25))(outputs, targets)
    assert list(found) == ["loss", "loss_classes", "loss_affect", "loss_units"]
    expected = 0.5 * found["loss_classes"] + 2 * found["loss_affect"] + 0.25 * found["loss_units"]
    torch.testing.assert_close(found["loss"], expected)
    for tasks, columns in ((Tasks(CLASSES), slice(0, 3)), (AFFECT, slice(3, 5)), (Tasks(units=UNITS), slice(5, 7))):
        alone = loss_of(tasks)(outputs[:, columns], targets[:, columns])
        (name,) = set(alone) - {"loss"}
        torch.testing.assert_close(alone[name], found[name])


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_losses_are_float32_whatever_the_precision(spec):
    outputs, targets = batch(5, 6, 7).bfloat16(), full_targets(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = Loss(ALL, spec)(outputs, targets)
    for name, value in Loss(ALL, spec)(outputs.float(), targets).items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], value)


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_gradients_are_those_of_finite_differences(spec):
    outputs, targets = batch(6, 5, 7, 1.0).requires_grad_(), full_targets(5)
    loss = Loss(ALL, spec)
    loss(outputs, targets)["loss"].backward()
    step = batch(7, 5, 7, 1e-2)
    with torch.no_grad():
        change = loss(outputs + step, targets)["loss"] - loss(outputs - step, targets)["loss"]
    assert float(change) == pytest.approx(2 * float((outputs.grad * step).sum()), rel=0.02, abs=1e-4)


def test_the_loss_in_the_docs_can_be_made():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "losses-and-metrics.md").read_text()
    given_values = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, flags=re.DOTALL)[1])["model"]["loss"]
    spec = Loss(ALL, given_values).spec
    assert (spec.classes.class_weights, spec.units.positive_weights, spec.weights.units) == ("inverse", "balanced", 0.5)
    names = {name for kind in (ClassLossSpec, UnitLossSpec) for name in kind.__dataclass_fields__}
    assert {name for name in names if f"`{name}`" not in page} <= {*given_values["classes"], *given_values["units"]}


def from_the_command_line(loss: LossSpec):
    return loss


def test_specs_come_back_from_plain_values_and_from_the_command_line():
    spec = LossSpec(ClassLossSpec("focal", gamma=1.5), AffectLossSpec("mse"), weights=LossWeights(units=0.5))
    assert LossSpec(**asdict(spec)) == spec
    assert Loss(ALL, asdict(spec)).spec == spec
    line = ["--loss.classes.class_weights", "effective_number", "--loss.classes.gamma", "1", "--loss.units.clip", "0"]
    parsed = jsonargparse.auto_cli(from_the_command_line, args=line)
    assert parsed == LossSpec(ClassLossSpec(class_weights="effective_number", gamma=1.0), units=UnitLossSpec(clip=0.0))


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (ClassLossSpec, "classes.name", "hinge"),
        (ClassLossSpec, "classes.class_weights", "log"),
        (ClassLossSpec, "classes.beta", 1.0),
        (ClassLossSpec, "classes.beta", -0.1),
        (ClassLossSpec, "classes.max_weight", 0.5),
        (ClassLossSpec, "classes.max_weight", NAN),
        (ClassLossSpec, "classes.label_smoothing", 1.0),
        (ClassLossSpec, "classes.label_smoothing", NAN),
        (ClassLossSpec, "classes.gamma", -1.0),
        (ClassLossSpec, "classes.logit_adjustment", math.inf),
        (AffectLossSpec, "affect.name", "pearson"),
        (UnitLossSpec, "units.name", "dice"),
        (UnitLossSpec, "units.positive_weights", "inverse"),
        (UnitLossSpec, "units.max_weight", 0.0),
        (UnitLossSpec, "units.max_weight", math.inf),
        (UnitLossSpec, "units.gamma_negative", -1.0),
        (UnitLossSpec, "units.gamma_positive", -1.0),
        (UnitLossSpec, "units.clip", 1.0),
        (LossWeights, "weights.affect", -1.0),
    ],
)
def test_impossible_values_are_refused_in_one_sentence(kind, key, value):
    with pytest.raises(UsageError, match=rf"^model\.loss\.{key} must be .* \(got {value!r}\)$"):
        kind(**{key.split(".")[1]: value})


@pytest.mark.parametrize("key", ["label_smoothing", "logit_adjustment"])
def test_the_margin_loss_refuses_what_belongs_to_probabilities(key):
    with pytest.raises(UsageError, match=rf"model\.loss\.classes\.{key} must be 0 with multi_margin"):
        ClassLossSpec("multi_margin", **{key: 0.1})


def test_a_model_whose_tasks_all_weigh_nothing_is_refused():
    with pytest.raises(UsageError, match=r"model\.loss\.weights must be above 0 for at least one task"):
        Loss(Tasks(CLASSES), LossSpec(weights=LossWeights(classes=0)))
