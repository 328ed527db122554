import dataclasses
import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.scheduler import CosineLRScheduler
from torch import nn

from align import EyelineError, UsageError
from train.optimizers import Group
from train.schedule import OptimizerSpec, ScheduleSpec, base_lr, factor, make_optimizer, make_scheduler

from .toy import Toy, every_epoch, fit, same, weights

SGDR = ScheduleSpec("sgdr", cycle_epochs=12, cycle_decay=0.7)


def rates(spec, epochs, ticks=1, lr=1.0, froms=(0,)):
    """The rates of each group over a run, as an optimizer meets them."""
    groups = [Group([nn.Parameter(torch.ones(1))], True, 1.0, 0.0, at) for at in froms]
    optimizer_spec = OptimizerSpec("sgd", lr=lr, schedule=spec)
    optimizer = make_optimizer(groups, optimizer_spec, lr)
    scheduler, interval, _ = make_scheduler(optimizer, groups, optimizer_spec, epochs, ticks)
    assert interval == spec.per
    seen = []
    for _ in range(epochs * (ticks if interval == "step" else 1)):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


def timms(epochs, lr, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=lr)
    scheduler = CosineLRScheduler(optimizer, **options)
    seen = []
    for epoch in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        scheduler.step(epoch + 1)
    return seen


def test_sgdr_starts_its_cycles_where_the_reproduced_system_did():
    seen = [rate for (rate,) in rates(SGDR, 48, lr=0.025)]
    assert [seen[epoch] for epoch in (0, 12, 24, 36)] == pytest.approx([0.025, 0.0175, 0.01225, 0.008575], rel=1e-12)
    assert seen == pytest.approx(timms(48, 0.025, t_initial=12, cycle_decay=0.7, cycle_limit=4), rel=1e-9)


@pytest.mark.parametrize(("mult", "decay", "floor"), [(2.0, 0.5, 0.0), (1.0, 1.0, 0.1), (3.0, 0.9, 0.01)])
def test_sgdr_equals_timms_with_longer_cycles_and_a_floor(mult, decay, floor):
    spec = ScheduleSpec("sgdr", cycle_epochs=3, cycle_mult=mult, cycle_decay=decay, min_lr_factor=floor)
    options = {"t_initial": 3, "cycle_mul": mult, "cycle_decay": decay, "cycle_limit": 20, "lr_min": floor * 0.1}
    expected = timms(38, 0.1, **options)
    assert [rate for (rate,) in rates(spec, 38, lr=0.1)] == pytest.approx(expected, rel=1e-9)


def test_the_cosine_falls_from_one_and_stays_above_zero():
    spec = ScheduleSpec("cosine", warmup_epochs=2)
    factors = [factor(epoch, 10, spec) for epoch in range(10)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert factors[2:] == sorted(factors[2:], reverse=True)
    assert factors[6] == pytest.approx(0.5)
    assert min(factors) > 0
    assert {factor(epoch, 10, ScheduleSpec("constant")) for epoch in range(10)} == {1.0}


def test_a_schedule_by_step_passes_through_what_it_is_by_epoch():
    for spec in (ScheduleSpec("cosine", warmup_epochs=2), SGDR):
        by_step = dataclasses.replace(spec, per="step", warmup_epochs=0)
        by_epoch = dataclasses.replace(spec, warmup_epochs=0)
        assert [factor(epoch * 7, 30, by_step, 7) for epoch in range(30)] == pytest.approx(
            [factor(epoch, 30, by_epoch) for epoch in range(30)]
        )
    warm = ScheduleSpec("constant", warmup_epochs=0.5, per="step")
    assert [factor(step, 4, warm, 6) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])


def test_steps_come_at_their_epochs():
    spec = ScheduleSpec("step", step_epochs=[2, 5], step_factor=0.1)
    assert [factor(epoch, 7, spec) for epoch in range(7)] == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])
    every = ScheduleSpec("step", step_epochs=2, step_factor=0.5, min_lr_factor=0.3, per="step")
    assert [factor(step, 3, every, 2) for step in range(12)] == pytest.approx([1] * 4 + [0.5] * 4 + [0.3] * 4)


@given(
    name=st.sampled_from(["constant", "cosine", "sgdr", "step"]),
    epochs=st.integers(1, 60),
    warmup=st.integers(0, 5),
    floor=st.floats(0, 0.9),
    ticks=st.integers(1, 9),
)
def test_no_schedule_leaves_its_range(name, epochs, warmup, floor, ticks):
    spec = ScheduleSpec(name, warmup, cycle_epochs=4, cycle_mult=1.5, step_epochs=3, min_lr_factor=floor, per="step")
    factors = [factor(tick, epochs, spec, ticks) for tick in range(epochs * ticks)]
    after = factors[warmup * ticks :]
    assert all(0 < value <= 1 for value in factors)
    assert all(value >= floor for value in after)
    assert after[:1] in ([], [1.0]) or name == "step"


@pytest.mark.parametrize("per", ["epoch", "step"])
def test_a_group_stays_at_zero_before_its_epoch(per):
    spec = ScheduleSpec("cosine", per=per)
    ticks = 3 if per == "step" else 1
    alone = [rate for (rate,) in rates(spec, 6, ticks)]
    for first, later in zip(alone, rates(spec, 6, ticks, froms=(0, 2, 9)), strict=True):
        assert later[0] == first
        assert later[2] == 0
    assert [row[1] for row in rates(spec, 6, ticks, froms=(0, 2))] == [0.0] * 2 * ticks + alone[2 * ticks :]


def plateau(froms=(0,), **options):
    groups = [Group([nn.Parameter(torch.ones(1))], True, 1.0, 0.0, at) for at in froms]
    spec = OptimizerSpec("sgd", lr=1.0, schedule=ScheduleSpec("plateau", **options))
    optimizer = make_optimizer(groups, spec, 1.0)
    scheduler, interval, monitor = make_scheduler(optimizer, groups, spec, 9, 5)
    assert (interval, monitor) == ("epoch", spec.schedule.plateau_metric)
    return optimizer, scheduler


def follow(optimizer, scheduler, metrics):
    seen = []
    for metric in metrics:
        seen.append([round(group["lr"], 9) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
        scheduler.observe(metric)
    return seen


def test_plateau_waits_and_lowers_like_torchs():
    options = {"plateau_patience": 1, "plateau_factor": 0.5, "min_lr_factor": 0.2}
    metrics = [1.0, 0.9, 0.95, 0.9, 0.8, 0.8, 0.8, 0.8, float("nan"), 0.8, 0.9]
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=0.2, threshold=0)
    expected = []
    for metric in metrics:
        expected.append(optimizer.param_groups[0]["lr"])
        torchs.step(metric)
    assert [rate for (rate,) in follow(*plateau(**options), metrics)] == expected
    assert min(expected) == 0.2
    larger = plateau(**options, plateau_mode="max")
    assert [rate for (rate,) in follow(*larger, [-metric for metric in metrics])] == expected


def test_with_plateau_frozen_groups_stay_at_zero_and_join_at_the_lower_rate():
    options = {"plateau_patience": 0, "plateau_factor": 0.5, "warmup_epochs": 1, "min_lr_factor": 0.1}
    seen = follow(*plateau((0, 3), **options), [1.0, 2.0, 0.5, 0.4, 3.0, 3.0])
    assert seen == [[0.5, 0], [1.0, 0], [0.5, 0], [0.5, 0.5], [0.5, 0.5], [0.25, 0.25]]


def test_plateaus_state_is_plain_and_goes_on():
    options = {"plateau_patience": 1, "plateau_factor": 0.5}
    metrics = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    whole = follow(*plateau((0, 2), **options), metrics)
    optimizer, scheduler = plateau((0, 2), **options)
    follow(optimizer, scheduler, metrics[:4])
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    again, later = plateau((0, 2), **options)
    states = torch.load(file, weights_only=True)
    again.load_state_dict(states[0])
    later.load_state_dict(states[1])
    assert follow(again, later, metrics[4:]) == whole[4:]


SCHEDULES = {
    "plateau": ScheduleSpec("plateau", plateau_patience=0, plateau_factor=0.5, plateau_mode="max", warmup_epochs=1),
    "sgdr": ScheduleSpec("sgdr", cycle_epochs=2, warmup_epochs=0.5, per="step"),
}


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_resumed_run_ends_as_an_uninterrupted_one(name, tmp_path):
    spec = OptimizerSpec("adamw", lr=0.01, schedule=SCHEDULES[name])
    whole = Toy(spec)
    trainer = fit(whole, 6, enable_checkpointing=True, callbacks=[every_epoch(tmp_path)])
    again = Toy(spec)
    resumed = fit(again, 6, ckpt_path=tmp_path / "2.ckpt")
    assert same(weights(whole), weights(again))
    assert again.losses == whole.losses[12:]
    assert (
        resumed.lr_scheduler_configs[0].scheduler.state_dict() == trainer.lr_scheduler_configs[0].scheduler.state_dict()
    )
    if name == "plateau":  # the loss falls, which `max` takes for no better: the rate halves after each epoch but one
        assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01 * 0.5**5)


def test_a_metric_that_nobody_logs_and_a_run_without_validation_are_refused():
    unknown = OptimizerSpec(schedule=ScheduleSpec("plateau", plateau_metric="val/f1"))
    with pytest.raises(EyelineError, match=r"expected one of \['val/loss'\].*got 'val/f1'"):
        fit(Toy(unknown), 1)
    with pytest.raises(UsageError, match="plateau expects a validation split"):
        fit(Toy(OptimizerSpec(schedule=ScheduleSpec("plateau"))), 1, limit_val_batches=0)


def test_the_rate_grows_with_the_global_batch():
    spec = OptimizerSpec(lr=0.1, base_batch=256)
    assert base_lr(spec, 64, 1, 1) == pytest.approx(0.025)
    assert base_lr(spec, 64, 8, 2) == pytest.approx(0.4)
    assert base_lr(OptimizerSpec(lr=0.1), 64, 8, 2) == 0.1


def test_specs_come_back_from_plain_mappings():
    spec = OptimizerSpec("sgd", schedule=ScheduleSpec("step", step_epochs=[3, 5]), sam_rho=0.05)
    assert OptimizerSpec(**dataclasses.asdict(spec)) == spec


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "lion"},
        {"lr": 0},
        {"weight_decay": -1},
        {"momentum": 1.0},
        {"sam_rho": 0},
        {"base_batch": 0},
        {"ema_decay": 1.0},
        {"schedule": "cosine"},
    ],
)
def test_impossible_optimizers_are_refused(bad):
    with pytest.raises(UsageError, match=rf"^model\.optimizer\.{next(iter(bad))} must be"):
        OptimizerSpec(**bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "exponential"},
        {"warmup_epochs": -1},
        {"warmup_epochs": 0.5},
        {"name": "sgdr"},
        {"cycle_mult": 0.5},
        {"cycle_decay": 1.5},
        {"name": "step"},
        {"name": "step", "step_epochs": []},
        {"name": "step", "step_epochs": [0, 3]},
        {"step_factor": 0},
        {"plateau_factor": 0},
        {"plateau_patience": -1},
        {"plateau_mode": "best"},
        {"min_lr_factor": 1},
        {"per": "batch"},
        {"name": "plateau", "per": "step"},
    ],
)
def test_impossible_schedules_are_refused(bad):
    with pytest.raises(UsageError, match=r"^model\.optimizer\.schedule\.\w+ must be .*\(got "):
        ScheduleSpec(**bad)


def test_a_cosine_needs_an_end():
    groups = [Group([nn.Parameter(torch.ones(1))], False, 1.0, 0.0)]
    spec = OptimizerSpec()
    with pytest.raises(UsageError, match=r"cosine expects trainer\.max_epochs >= 1 \(got -1\)"):
        make_scheduler(make_optimizer(groups, spec, 0.1), groups, spec, -1, 5)
