"""The learning-rate range test (Smith 2017): a short run whose rate rises until the loss does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.seed import isolate_rng
from torchmetrics import Metric

from align import EyelineError, UsageError, replacing, write_atomic

from .evaluate import csv_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEWEST = 4


@dataclass(frozen=True)
class LrSearch:
    """What range the test goes through.

    Attributes:
        min_lr: The rate of the first step.
        max_lr: The rate of the last; between them each rate is the same share of the next.
        steps: Optimizer steps at most.
        smoothing: The share of the smoothed loss that a new one leaves.
        stop_at: The test ends where the smoothed loss is so many times its least.
    """

    min_lr: float = 1e-6
    max_lr: float = 1.0
    steps: int = 100
    smoothing: float = 0.9
    stop_at: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.min_lr < self.max_lr:
            raise UsageError(f"lr_find: expected 0 < min_lr < max_lr (got {self.min_lr} and {self.max_lr})")
        if self.steps < _FEWEST:
            raise UsageError(f"lr_find: steps must be {_FEWEST} or more (got {self.steps})")
        if not 0 <= self.smoothing < 1:
            raise UsageError(f"lr_find: smoothing must be 0 or more and below 1 (got {self.smoothing})")
        if self.stop_at <= 1:
            raise UsageError(f"lr_find: stop_at must be above 1 (got {self.stop_at})")

    def rate(self, step: int) -> float:
        """Compute the rate of a step, counted from 0."""
        return float(self.min_lr * (self.max_lr / self.min_lr) ** (step / (self.steps - 1)))


@dataclass(frozen=True)
class LrCurve:
    """What a range test found.

    Attributes:
        lrs: The rate of each step, as `model.optimizer.lr` gives it.
        losses: The smoothed loss at each of them.
        suggestion: The rate at which the loss fell fastest; None where it did not fall.
    """

    lrs: list[float]
    losses: list[float]
    suggestion: float | None


def steepest(lrs: Sequence[float], losses: Sequence[float]) -> float | None:
    """Find the rate at which the loss falls fastest over the logarithm of the rate, on the way to its least.

    Returns:
        One of `lrs`, or None where the loss does not fall.
    """
    end = int(np.argmin(losses)) + 1
    if end < _FEWEST:
        return None
    slopes = np.gradient(np.asarray(losses[:end]), np.log(lrs[:end]))
    at = int(np.argmin(slopes))
    return float(lrs[at]) if slopes[at] < 0 else None


def find_learning_rate(
    trainer: pl.Trainer, model: pl.LightningModule, data: Any, lr: float, search: LrSearch | None = None
) -> LrCurve:
    """Run the range test and leave the model as it was, bit for bit; the random generators too.

    Each group of parameters keeps its share of the rate, and what is frozen at first stays frozen. Schedules are left
    out.

    Args:
        trainer: Made for this, with no logger and no checkpoints; it cannot train afterwards.
        model: As it would be trained.
        data: A data module or a loader, as `Trainer.fit` takes it.
        lr: The rate that `model` was made with, `model.optimizer.lr`.
        search: The range.

    Raises:
        EyelineError: The loss is not finite from the start.
    """
    test = _RangeTest(lr, search or LrSearch())
    kept = {name: value.detach().clone() for name, value in model.state_dict().items()}
    modes = {name: module.training for name, module in model.named_modules()}
    made_for_this: Any = trainer  # whose types hide that callbacks is a list
    made_for_this.callbacks.append(test)
    made_for_this.limit_val_batches = 0
    try:
        with isolate_rng():
            trainer.fit(model, data)
    finally:
        model.load_state_dict(kept)
        for name, module in model.named_modules():
            module.training = modes.get(name, module.training)
            if isinstance(module, Metric):
                module.reset()
    if not test.losses:
        raise EyelineError("lr_find: expected a finite loss at the first step (found none); check labels and inputs")
    return LrCurve(test.lrs, test.losses, steepest(test.lrs, test.losses))


class _RangeTest(Callback):
    """Set the rate before each step, smooth the loss after it, and stop where it has grown."""

    def __init__(self, lr: float, search: LrSearch) -> None:
        self.lr = lr
        self.search = search
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._shares: list[float] = []
        self._mean = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002 - Lightning's hook
        """Take the place of the schedule and of the run's length."""
        groups = trainer.optimizers[0].param_groups
        self._shares = [group.get("initial_lr", group["lr"]) / self.lr if group["lr"] else 0.0 for group in groups]
        trainer.strategy.lr_scheduler_configs = []
        trainer.fit_loop.max_epochs = -1
        trainer.fit_loop.epoch_loop.max_steps = self.search.steps

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002 - Lightning's hook
        batch: Any,  # noqa: ARG002 - likewise
        batch_idx: int,  # noqa: ARG002 - likewise
    ) -> None:
        """Set the rate of the step."""
        rate = self.search.rate(min(trainer.global_step, self.search.steps - 1))
        for group, share in zip(trainer.optimizers[0].param_groups, self._shares, strict=True):
            group["lr"] = rate * share

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002 - Lightning's hook
        outputs: Any,
        batch: Any,  # noqa: ARG002 - likewise
        batch_idx: int,  # noqa: ARG002 - likewise
    ) -> None:
        """Smooth the loss over steps, its start corrected for, and over ranks; stop where it is too high."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        value = float(trainer.strategy.reduce(torch.as_tensor(loss).detach().float(), reduce_op="mean"))
        if not math.isfinite(value):
            trainer.should_stop = True
            return
        if len(self.lrs) == trainer.global_step:  # a batch of several that make a step together
            return
        kept = self.search.smoothing
        self._mean = kept * self._mean + (1 - kept) * value
        self.lrs.append(self.search.rate(trainer.global_step - 1))
        self.losses.append(self._mean / (1 - kept ** len(self.lrs)))
        if self.losses[-1] > self.search.stop_at * min(self.losses):
            trainer.should_stop = True


def lr_figure(curve: LrCurve, title: str) -> "Figure":
    """Draw the smoothed loss over the rate, with the suggestion marked.

    Args:
        curve: What a range test found.
        title: Above the picture.

    Returns:
        A figure to save.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(curve.lrs, curve.losses)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed training loss")
    axes.set_title(title)
    if curve.suggestion is not None:
        at = curve.losses[curve.lrs.index(curve.suggestion)]
        axes.plot(curve.suggestion, at, "o", color="tab:red", label=f"fastest fall: {curve.suggestion:.2g}")
        axes.legend()
    return figure


def write_curve(curve: LrCurve, folder: Path) -> dict[str, Any]:
    """Write a range test as `lr_find.csv` and `lr_find.png` into `folder`.

    Returns:
        `suggestion`, and `files`, the path of each by its name.
    """
    write_atomic(folder / "lr_find.csv", csv_text(("lr", "loss"), list(zip(curve.lrs, curve.losses, strict=True))))
    with replacing(folder / "lr_find.png") as temporary:
        lr_figure(curve, "learning-rate range test").savefig(temporary, dpi=120)
    files = {name: str(folder / name) for name in ("lr_find.csv", "lr_find.png")}
    return {"suggestion": curve.suggestion, "files": files}
