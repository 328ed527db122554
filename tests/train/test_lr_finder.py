import math
from itertools import pairwise

import pytest
import pytorch_lightning as pl
import torch

from align import EyelineError, UsageError
from train.finetune import FinetuneSpec
from train.lr_finder import LrCurve, LrSearch, find_learning_rate, lr_figure, steepest
from train.schedule import OptimizerSpec, ScheduleSpec

from .toy import QUIET, Toy, loader, same, weights

SEARCH = LrSearch(min_lr=1e-5, max_lr=100.0, steps=40, smoothing=0.5)


class Rates(pl.Callback):
    def __init__(self):
        self.rates, self.backbone = [], []

    def on_train_batch_end(self, trainer, module, *_):
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
        self.backbone.append(weights(module.backbone))


def find(model, search=SEARCH, **options):
    trainer = pl.Trainer(max_epochs=1, **(QUIET | options))
    return find_learning_rate(trainer, model, loader(), model.spec.lr, search)


def test_the_rate_rises_by_shares_until_the_loss_does():
    rates = Rates()
    curve = find(Toy(OptimizerSpec("sgd", lr=0.01), norm=False), callbacks=[rates])
    assert curve.lrs[0] == 1e-5
    shares = [later / earlier for earlier, later in pairwise(curve.lrs)]
    assert shares == pytest.approx([1e7 ** (1 / 39)] * len(shares))
    assert len(curve.lrs) == len(curve.losses) < 40  # it does not go on to a rate of 100
    assert len(rates.rates) - len(curve.lrs) <= 1  # at most the step whose loss was no number
    assert curve.suggestion in curve.lrs
    assert 1e-3 < curve.suggestion < 10


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_the_model_and_the_generators_are_left_as_they_were(schedule):
    model = Toy(OptimizerSpec("adamw", ema_decay=0.9, sam_rho=0.05, schedule=ScheduleSpec(schedule, warmup_epochs=1)))
    model.backbone.eval()
    before, random = weights(model), torch.get_rng_state()
    modes = [module.training for module in model.modules()]
    find(model)
    assert same(weights(model), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes


def test_groups_keep_their_shares_and_what_is_frozen_stays():
    rates = Rates()
    finetune = FinetuneSpec("gradual", backbone_lr=0.2, layer_decay=0.5)
    model = Toy(
        OptimizerSpec("sgd", lr=0.05, base_batch=16, schedule=ScheduleSpec("cosine", warmup_epochs=3)), finetune
    )
    before = weights(model.backbone)
    curve = find(model, callbacks=[rates])
    for lr, groups in zip(
        curve.lrs, rates.rates[: len(curve.lrs)], strict=True
    ):  # the batch is 8: half the rate is taken
        assert groups == pytest.approx([lr / 2] * 2 + [0.0] * 4 + [lr * 0.1] * 2)
    for seen in rates.backbone:
        assert all(torch.equal(seen[name], before[name]) for name in before if not name.startswith("6"))


def test_steps_of_accumulated_batches_count_once():
    curve = find(Toy(OptimizerSpec("sgd")), LrSearch(steps=10, max_lr=0.01), accumulate_grad_batches=2)
    assert len(curve.lrs) == 10
    assert curve.lrs[-1] == pytest.approx(0.01)


def test_the_suggestion_is_where_the_loss_falls_fastest():
    lrs = [10**power for power in torch.linspace(-5, 0, 60).tolist()]
    losses = [1 / (1 + math.exp(6 * (math.log10(lr) + 2.5))) + (lr > 0.05) * 10 * lr for lr in lrs]
    assert steepest(lrs, losses) == pytest.approx(10**-2.5, rel=0.15)
    assert steepest(lrs, sorted(losses)) is None
    assert steepest(lrs, [1.0] * 60) is None


def test_a_loss_that_is_never_finite_is_refused():
    model = Toy(OptimizerSpec("sgd"))
    torch.nn.init.constant_(model.head.weight, float("nan"))
    with pytest.raises(EyelineError, match="expected a finite loss"):
        find(model)


def test_the_figure_marks_the_suggestion(tmp_path):
    curve = LrCurve([1e-3, 1e-2, 1e-1, 1.0], [1.0, 0.9, 0.4, 0.8], 1e-1)
    figure = lr_figure(curve, "toy")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [list(line.get_xdata()) for line in axes.lines] == [curve.lrs, [1e-1]]
    figure.savefig(tmp_path / "lr.png")
    assert (tmp_path / "lr.png").stat().st_size > 1000
    assert len(lr_figure(LrCurve([1e-3, 1.0], [1.0, 1.0], None), "flat").axes[0].lines) == 1


@pytest.mark.parametrize("bad", [{"min_lr": 0}, {"max_lr": 1e-7}, {"steps": 3}, {"smoothing": 1}, {"stop_at": 1}])
def test_impossible_ranges_are_refused(bad):
    with pytest.raises(UsageError, match="lr_find"):
        LrSearch(**bad)
