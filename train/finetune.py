"""How much of the backbone learns, and when.

A backbone that stays frozen for good takes no gradients and sits in no optimizer. One that is unfrozen later takes part
from the start in groups whose learning rate is 0 until then: every rank's gradients are then averaged at every step
under plain DDP, and the ranks cannot drift apart. Weight decay is scaled by the learning rate in AdamW and in SGD
alike, so that 0 leaves the weights as they are, bit for bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from align import UsageError


@dataclass(frozen=True)
class FinetuneSpec:
    """How much of the backbone learns.

    Attributes:
        freeze: `all` freezes the backbone, `none` trains it from the first step.
        unfreeze_epoch: With `all`: the epoch, counted from 0, from which the backbone learns; null is never.
        backbone_lr: The backbone's learning rate as a share of the head's.
    """

    freeze: Literal["all", "none"] = "all"
    unfreeze_epoch: int | None = None
    backbone_lr: float = 0.1

    def __post_init__(self) -> None:
        if self.freeze not in ("all", "none"):
            raise UsageError(f"model.finetune.freeze must be all or none (got {self.freeze!r})")
        if self.unfreeze_epoch is not None and (self.freeze == "none" or self.unfreeze_epoch < 0):
            raise UsageError(
                "model.finetune.unfreeze_epoch must be an epoch >= 0 beside freeze: all "
                f"(got {self.unfreeze_epoch} beside freeze: {self.freeze})"
            )
        if self.backbone_lr <= 0:
            raise UsageError(
                f"model.finetune.backbone_lr must be above 0 (got {self.backbone_lr}); to freeze, freeze: all"
            )

    @property
    def never_learns(self) -> bool:
        """Whether the backbone is frozen for good."""
        return self.freeze == "all" and self.unfreeze_epoch is None

    def learns(self, epoch: int) -> bool:
        """Tell whether the backbone learns in `epoch`."""
        return self.freeze == "none" or (self.unfreeze_epoch is not None and epoch >= self.unfreeze_epoch)


def set_modes(backbone: nn.Module, spec: FinetuneSpec, epoch: int) -> None:
    """Put a backbone into the modes that training in `epoch` wants.

    While frozen all of it evaluates: batch norm uses its running statistics and leaves them alone, dropout is off.
    Once unfrozen it trains, but its batch norm goes on evaluating. With `freeze: none` all of it trains.
    """
    backbone.train(spec.learns(epoch))
    if spec.freeze == "all":
        for module in backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate and a weight decay."""

    parameters: list[nn.Parameter]
    is_backbone: bool
    lr: float
    weight_decay: float

    def as_dict(self) -> dict[str, Any]:
        """Give the group as torch's optimizers take it."""
        return {"params": self.parameters, "lr": self.lr, "weight_decay": self.weight_decay}


def parameter_groups(
    backbone: nn.Module, head: nn.Module, spec: FinetuneSpec, rates: tuple[float, float]
) -> list[Group]:
    """Split the parameters that may ever learn into groups.

    Args:
        backbone: In no group where it is frozen for good.
        head: Always learns.
        spec: The backbone's share of the learning rate.
        rates: Learning rate of the head, and weight decay; gains, shifts and biases are not decayed.

    Returns:
        Groups that are not empty.
    """
    lr, decay = rates
    groups = _decayed_or_not(head.parameters(), lr, decay, is_backbone=False)
    if not spec.never_learns:
        groups += _decayed_or_not(backbone.parameters(), lr * spec.backbone_lr, decay, is_backbone=True)
    return [group for group in groups if group.parameters]


def _decayed_or_not(parameters: Iterable[nn.Parameter], lr: float, decay: float, *, is_backbone: bool) -> list[Group]:
    every = list(parameters)
    matrices, vectors = [p for p in every if p.ndim > 1], [p for p in every if p.ndim <= 1]
    return [Group(matrices, is_backbone, lr, decay), Group(vectors, is_backbone, lr, 0.0)]
