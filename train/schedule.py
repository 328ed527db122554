"""The optimizer, and its learning rate over the epochs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from align import UsageError

from .finetune import FinetuneSpec, Group


@dataclass(frozen=True)
class OptimizerSpec:
    """Which optimizer, and how its learning rate goes.

    Attributes:
        name: `adamw`, or `sgd` with Nesterov's momentum.
        lr: Learning rate of the head.
        weight_decay: Of weights; gains, shifts and biases are not decayed.
        momentum: Of SGD.
        schedule: `constant`, or `cosine` from `lr` in the first epoch towards 0 after the last.
        warmup_epochs: Epochs of linear rise at the start.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        if self.name not in ("adamw", "sgd"):
            raise UsageError(f"model.optimizer.name must be adamw or sgd (got {self.name!r})")
        if self.schedule not in ("constant", "cosine"):
            raise UsageError(f"model.optimizer.schedule must be constant or cosine (got {self.schedule!r})")
        for name, value in (("weight_decay", self.weight_decay), ("warmup_epochs", self.warmup_epochs)):
            if value < 0:
                raise UsageError(f"model.optimizer.{name} must be 0 or more (got {value})")
        if self.lr <= 0:
            raise UsageError(f"model.optimizer.lr must be above 0 (got {self.lr})")


def factor(epoch: int, epochs: int, spec: OptimizerSpec) -> float:
    """Compute the share of the learning rate in `epoch` of `epochs`, both counted from 0; above 0 throughout."""
    if epoch < spec.warmup_epochs:
        return (epoch + 1) / (spec.warmup_epochs + 1)
    if spec.schedule == "constant":
        return 1.0
    done = (epoch - spec.warmup_epochs) / max(epochs - spec.warmup_epochs, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def make_optimizer(groups: Sequence[Group], spec: OptimizerSpec) -> torch.optim.Optimizer:
    """Make the optimizer over `groups`."""
    params = [group.as_dict() for group in groups]
    if spec.name == "sgd":
        return torch.optim.SGD(params, lr=spec.lr, momentum=spec.momentum, nesterov=spec.momentum > 0)
    return torch.optim.AdamW(params, lr=spec.lr)


def make_scheduler(
    optimizer: torch.optim.Optimizer, groups: Sequence[Group], spec: OptimizerSpec, finetune: FinetuneSpec, epochs: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Make the scheduler, stepped once an epoch; it holds the backbone's groups at 0 while the backbone is frozen."""

    def rate(group: Group) -> Callable[[int], float]:
        def at(epoch: int) -> float:
            if group.is_backbone and not finetune.learns(epoch):
                return 0.0
            return factor(epoch, epochs, spec)

        return at

    return torch.optim.lr_scheduler.LambdaLR(optimizer, [rate(group) for group in groups])
