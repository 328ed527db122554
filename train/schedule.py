"""The optimizer, and its learning rate over epochs and steps."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

from align import UsageError

from . import optimizers
from .optimizers import Group, OptimizerName

SCHEDULES = ("constant", "cosine", "sgdr", "step", "plateau")


def _require(where: str, expected: str, got: Any, *, holds: bool) -> None:
    if not holds:
        raise UsageError(f"model.optimizer.{where} must be {expected} (got {got!r})")


@dataclass(frozen=True)
class ScheduleSpec:
    """How the learning rate goes, as a share of the optimizer's `lr`.

    Attributes:
        name: `constant`; `cosine` from 1 towards the floor over the whole run; `sgdr`, cosines that start again;
            `step`, lower at given epochs; `plateau`, lower where a metric has stopped getting better.
        warmup_epochs: Epochs of linear rise before all that; with `per: step` also a fraction.
        cycle_epochs: Of sgdr: length of the first cycle, after the warm-up.
        cycle_mult: Of sgdr: each cycle is so many times as long as the one before.
        cycle_decay: Of sgdr: each cycle starts at this share of where the one before started.
        step_epochs: Of step: the epochs, counted from 0, that start with a lower rate, or one number: every so many.
        step_factor: Of step: what the rate is multiplied by.
        plateau_factor: Of plateau: what the rate is multiplied by.
        plateau_patience: Of plateau: so many validations in a row without a better metric are put up with.
        plateau_metric: Of plateau: a metric that validation logs.
        plateau_mode: Of plateau: whether a better metric is a smaller or a larger one.
        min_lr_factor: The floor; the warm-up starts where it would, floor or not.
        per: Whether constant, cosine, sgdr and warm-up move once an epoch, or at every optimizer step.
    """

    name: Literal["constant", "cosine", "sgdr", "step", "plateau"] = "cosine"
    warmup_epochs: float = 0
    cycle_epochs: int | None = None
    cycle_mult: float = 1.0
    cycle_decay: float = 0.7
    step_epochs: list[int] | int | None = None
    step_factor: float = 0.1
    plateau_factor: float = 0.1
    plateau_patience: int = 5
    plateau_metric: str = "val/loss"
    plateau_mode: Literal["min", "max"] = "min"
    min_lr_factor: float = 0.0
    per: Literal["epoch", "step"] = "epoch"

    def __post_init__(self) -> None:
        def require(name: str, expected: str, *, holds: bool) -> None:
            _require(f"schedule.{name}", expected, getattr(self, name), holds=holds)

        require("name", f"one of {', '.join(SCHEDULES)}", holds=self.name in SCHEDULES)
        require("warmup_epochs", "0 or more", holds=self.warmup_epochs >= 0)
        require("per", "epoch or step", holds=self.per in ("epoch", "step"))
        whole = self.per == "step" or float(self.warmup_epochs).is_integer()
        require("warmup_epochs", "a whole number beside per: epoch", holds=whole)
        require(
            "cycle_epochs", "an epoch count >= 1 with sgdr", holds=self.name != "sgdr" or (self.cycle_epochs or 0) >= 1
        )
        require("cycle_mult", "1 or more", holds=self.cycle_mult >= 1)
        for name in ("cycle_decay", "step_factor", "plateau_factor"):
            require(name, "above 0 and at most 1", holds=0 < getattr(self, name) <= 1)
        require("min_lr_factor", "0 or more and below 1", holds=0 <= self.min_lr_factor < 1)
        require("plateau_patience", "0 or more", holds=self.plateau_patience >= 0)
        require("plateau_mode", "min or max", holds=self.plateau_mode in ("min", "max"))
        steps = self.step_epochs if isinstance(self.step_epochs, list) else [self.step_epochs or 0]
        fits = bool(steps) and min(steps) >= 1
        require("step_epochs", "epochs >= 1, or one number >= 1, with step", holds=self.name != "step" or fits)
        moves = self.per == "epoch" or self.name != "plateau"
        require("per", "epoch beside plateau, which moves after a validation", holds=moves)


@dataclass(frozen=True)
class OptimizerSpec:
    """Which optimizer, and how its learning rate goes.

    Attributes:
        name: `adamw`, `adam`, `sgd` or `rmsprop`; as decay is decoupled in all of them, adam is adamw by another name.
        lr: Learning rate of the head.
        weight_decay: Of weights, decoupled from the gradient: each step takes off the share rate * decay, at the rate
            of that step. Gains, shifts and biases are not decayed.
        momentum: Of sgd and rmsprop; 0 is none.
        nesterov: Whether sgd's momentum is Nesterov's.
        schedule: How the rate goes.
        sam_rho: Distance of sharpness-aware minimization, often 0.05; null is without. A step costs twice as much.
        base_batch: Where given, `lr` is meant for a batch of this size and grows in proportion to the global batch:
            batch * ranks * accumulated batches (Goyal et al. 2017). Null takes `lr` as it is.
        ema_decay: Where given, an exponential moving average of the weights is what is validated, tested and kept.
        decay_by_ranks: Whether `weight_decay` is multiplied by the number of ranks, as a system on AffectNet had it:
            with a rate that grows with the batch, and decay with the rate, the ranks then count twice. Only to
            reproduce it.
    """

    name: OptimizerName = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    nesterov: bool = True
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    sam_rho: float | None = None
    base_batch: int | None = None
    ema_decay: float | None = None
    decay_by_ranks: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.schedule, Mapping):
            object.__setattr__(self, "schedule", ScheduleSpec(**self.schedule))
        _require("name", f"one of {', '.join(optimizers.NAMES)}", self.name, holds=self.name in optimizers.NAMES)
        _require("schedule", "a mapping with name", self.schedule, holds=isinstance(self.schedule, ScheduleSpec))
        _require("lr", "above 0", self.lr, holds=self.lr > 0)
        _require("weight_decay", "0 or more", self.weight_decay, holds=self.weight_decay >= 0)
        _require("momentum", "0 or more and below 1", self.momentum, holds=0 <= self.momentum < 1)
        _require("sam_rho", "above 0, or null", self.sam_rho, holds=self.sam_rho is None or self.sam_rho > 0)
        _require(
            "base_batch", "1 or more, or null", self.base_batch, holds=self.base_batch is None or self.base_batch >= 1
        )
        decays = self.ema_decay is None or 0 < self.ema_decay < 1
        _require("ema_decay", "above 0 and below 1, or null", self.ema_decay, holds=decays)


def base_lr(spec: OptimizerSpec, batch: int, world: int, accumulate: int) -> float:
    """Compute the head's rate for a global batch of `batch` * `world` * `accumulate` (Goyal et al. 2017).

    Args:
        spec: `lr` is meant for `base_batch`; without one it holds for any batch.
        batch: Faces a rank takes at once.
        world: Ranks.
        accumulate: Batches whose gradients make one step.
    """
    return spec.lr if spec.base_batch is None else spec.lr * (batch * world * accumulate) / spec.base_batch


def for_ranks(spec: OptimizerSpec, world: int) -> OptimizerSpec:
    """Give the spec as `world` ranks use it: its decay multiplied by them where `decay_by_ranks` says so."""
    return replace(spec, weight_decay=spec.weight_decay * world) if spec.decay_by_ranks else spec


def _cosine(done: float, top: float, floor: float) -> float:
    return floor + (top - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _restarting_cosine(tick: float, spec: ScheduleSpec, ticks_per_epoch: int) -> float:
    """Follow the cosines of SGDR (Loshchilov and Hutter 2017), each from a lower top than the one before."""
    length, top = float((spec.cycle_epochs or 1) * ticks_per_epoch), 1.0
    while tick >= length:
        tick, length, top = tick - length, length * spec.cycle_mult, top * spec.cycle_decay
    return _cosine(tick / length, max(top, spec.min_lr_factor), spec.min_lr_factor)


def _stepped(epoch: int, spec: ScheduleSpec) -> float:
    steps = spec.step_epochs
    passed = sum(epoch >= at for at in steps) if isinstance(steps, list) else epoch // (steps or 1)
    return max(spec.step_factor**passed, spec.min_lr_factor)


def factor(tick: int, epochs: float, spec: ScheduleSpec, ticks_per_epoch: int = 1) -> float:
    """Compute the share of the learning rate at a tick, an epoch or an optimizer step; above 0 throughout the run.

    Args:
        tick: Counted from 0.
        epochs: Of the whole run, which may end within one.
        spec: The schedule; of `plateau` this is what comes before a metric has its say.
        ticks_per_epoch: 1 where a tick is an epoch.
    """
    warmup = round(spec.warmup_epochs * ticks_per_epoch)
    if tick < warmup:
        return (tick + 1) / (warmup + 1)
    if spec.name == "cosine":
        done = (tick - warmup) / max(epochs * ticks_per_epoch - warmup, 1)
        return _cosine(done, 1.0, spec.min_lr_factor)
    if spec.name == "sgdr":
        return _restarting_cosine(tick - warmup, spec, ticks_per_epoch)
    if spec.name == "step":
        return _stepped(tick // ticks_per_epoch, spec)
    return 1.0


def make_optimizer(groups: Sequence[Group], spec: OptimizerSpec, lr: float) -> torch.optim.Optimizer:
    """Make the optimizer over `groups`, `lr` being the head's rate as `base_lr` gives it."""
    params = [group.as_dict(lr) for group in groups]
    optimizer = optimizers.create(spec.name, params, lr, spec.momentum, nesterov=spec.nesterov)
    return optimizers.SAM(optimizer, spec.sam_rho) if spec.sam_rho else optimizer


class Plateau(LambdaLR):
    """Lower the rate where a metric has stopped getting better; the callback `PlateauWatch` tells it the metric.

    It is an ordinary scheduler, stepped at the end of an epoch and before its validation; the metric then lowers the
    rate at once. Lightning steps torch's own ReduceLROnPlateau only after the epoch's checkpoint, and a run that goes
    on from there would have lost that step.

    Attributes:
        metric: What to watch.
        share: What the rate is multiplied by, 1 at first.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, rates: Sequence[Callable[[int], float]], spec: ScheduleSpec
    ) -> None:
        self.metric = spec.plateau_metric
        self.share = 1.0
        self.best: float | None = None
        self.waited = 0
        self._mode = spec.plateau_mode
        self._factor, self._patience, self._floor = spec.plateau_factor, spec.plateau_patience, spec.min_lr_factor
        super().__init__(optimizer, list(rates))

    def get_lr(self) -> list[float | torch.Tensor]:
        """Compute the rate of each group."""
        rates = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * rate(self.last_epoch) * self.share for base, rate in rates]

    def observe(self, value: float) -> None:
        """Take the metric of a validation, and lower the rate of every group when it is time."""
        sign = 1 if self._mode == "min" else -1
        if not math.isnan(value) and (self.best is None or sign * value < sign * self.best):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited <= self._patience:
            return
        self.waited = 0
        self.share = max(self.share * self._factor, self._floor)
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


def make_scheduler(
    optimizer: torch.optim.Optimizer, groups: Sequence[Group], spec: OptimizerSpec, epochs: float, steps_per_epoch: int
) -> tuple[LambdaLR, Literal["epoch", "step"], str | None]:
    """Make the scheduler, which also holds each group at 0 before its epoch.

    Args:
        optimizer: Over `groups`, in their order.
        groups: Know their first epochs.
        spec: The schedule is in here.
        epochs: Of the whole run.
        steps_per_epoch: Optimizer steps, which are fewer than batches where gradients are accumulated.

    Returns:
        The scheduler; how often Lightning steps it; the metric that `PlateauWatch` reads for it, if any.

    Raises:
        UsageError: The schedule spans the run, and the run has no end.
    """
    schedule = spec.schedule
    if epochs <= 0 and schedule.name == "cosine":
        raise UsageError(f"model.optimizer.schedule: cosine expects trainer.max_epochs >= 1 (got {epochs})")
    ticks = steps_per_epoch if schedule.per == "step" else 1

    def rate(group: Group) -> Callable[[int], float]:
        def at(tick: int) -> float:
            return factor(tick, epochs, schedule, ticks) if tick // ticks >= group.from_epoch else 0.0

        return at

    rates = [rate(group) for group in groups]
    if schedule.name == "plateau":
        return Plateau(optimizer, rates, schedule), "epoch", schedule.plateau_metric
    return LambdaLR(optimizer, rates), schedule.per, None
