"""How much of the backbone learns, when, and how fast.

A backbone that stays frozen for good takes no gradients and sits in no optimizer. What is unfrozen later takes part
from the start in groups whose learning rate is 0 until then: every rank's gradients are then averaged at every step
under plain DDP, and the ranks cannot drift apart. At rate 0 our optimizers take no step at all: weights stay as they
are, bit for bit, and no momentum is gathered that would make the first real step a jump.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from align import UsageError

from .layers import layer_groups
from .optimizers import Group
from .schedule import OptimizerSpec

PRETRAINED_SHARE = 0.1
"""Of the head's rate that a pretrained backbone learns at where nobody says otherwise."""

__all__ = ["FinetuneSpec", "Group", "layer_groups", "parameter_groups", "set_modes"]


@dataclass(frozen=True)
class FinetuneSpec:
    """How much of the backbone learns.

    Attributes:
        freeze: `all` freezes the backbone; `gradual` unfreezes it group by group of layers, the last first; `none`
            trains it from the first step.
        unfreeze_epoch: The epoch, counted from 0, from which the backbone learns: all of it with `all`, where null is
            never; the last group of layers with `gradual`, where null is 0.
        unfreeze_every: With `gradual`: one more group of layers every so many epochs.
        backbone_lr: The learning rate of the backbone, or of its last group of layers, as a share of the head's; null
            is a tenth where the backbone is pretrained, and 1 where it starts from random weights.
        layer_decay: The learning rate of each group of layers as a share of that of the group after it; null is the
            same for all.
        train_batch_norm: With `all` and `gradual`: whether the batch norm of what was unfrozen trains, too; else it
            goes on with the statistics it came with. With `none` batch norm always trains; for a whole backbone that
            learns from the first step while its batch norm does not: `freeze: all` and `unfreeze_epoch: 0`.
    """

    freeze: Literal["all", "none", "gradual"] = "all"
    unfreeze_epoch: int | None = None
    unfreeze_every: int = 1
    backbone_lr: float | None = None
    layer_decay: float | None = None
    train_batch_norm: bool = False

    def __post_init__(self) -> None:
        if self.freeze not in ("all", "none", "gradual"):
            raise UsageError(f"model.finetune.freeze must be all, none or gradual (got {self.freeze!r})")
        if self.unfreeze_epoch is not None and (self.freeze == "none" or self.unfreeze_epoch < 0):
            raise UsageError(
                "model.finetune.unfreeze_epoch must be an epoch >= 0 beside freeze: all or gradual "
                f"(got {self.unfreeze_epoch} beside freeze: {self.freeze})"
            )
        if self.unfreeze_every < 1:
            raise UsageError(f"model.finetune.unfreeze_every must be an epoch count >= 1 (got {self.unfreeze_every})")
        if self.backbone_lr is not None and self.backbone_lr <= 0:
            raise UsageError(
                f"model.finetune.backbone_lr must be above 0 (got {self.backbone_lr}); to freeze, freeze: all"
            )
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise UsageError(f"model.finetune.layer_decay must be above 0 and at most 1 (got {self.layer_decay})")

    def of_backbone(self, *, is_random: bool) -> "FinetuneSpec":
        """Choose `backbone_lr`, where nobody has, for a backbone that is pretrained or starts from random weights."""
        if self.backbone_lr is not None:
            return self
        return replace(self, backbone_lr=1.0 if is_random else PRETRAINED_SHARE)

    @property
    def never_learns(self) -> bool:
        """Whether the backbone is frozen for good."""
        return self.freeze == "all" and self.unfreeze_epoch is None

    def learns(self, epoch: int) -> bool:
        """Tell whether the backbone, or its last group of layers, learns in `epoch`."""
        return not self.never_learns and epoch >= self.first_epoch(0)

    def first_epoch(self, groups_after: int) -> int:
        """Give the epoch from which a group of layers learns that so many others come after.

        Only for a backbone that is not frozen for good.
        """
        later = groups_after * self.unfreeze_every if self.freeze == "gradual" else 0
        return (self.unfreeze_epoch or 0) + later


def set_modes(backbone: nn.Module, spec: FinetuneSpec, epoch: int) -> None:
    """Put a backbone into the modes that training in `epoch` wants.

    What is frozen evaluates: batch norm uses its running statistics and leaves them alone, dropout is off. A module
    trains once all of its parameters learn; its batch norm goes on evaluating unless the spec says otherwise. A module
    without parameters goes with the one around it. With `freeze: none` all of it trains.
    """
    if spec.freeze == "gradual":
        groups = layer_groups(backbone)
        firsts = [spec.first_epoch(len(groups) - 1 - level) for level in range(len(groups))]
        frozen = {id(p) for group, first in zip(groups, firsts, strict=True) if epoch < first for p in group}
        _train_what_learns(backbone, frozen, around=True)
    else:
        backbone.train(spec.learns(epoch))
    if spec.freeze != "none" and not spec.train_batch_norm:
        for module in backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def _train_what_learns(module: nn.Module, frozen: set[int], *, around: bool) -> None:
    ids = {id(parameter) for parameter in module.parameters()}
    module.training = not ids & frozen if ids else around
    for child in module.children():
        _train_what_learns(child, frozen, around=module.training)


def parameter_groups(
    backbone: nn.Module, head: nn.Module, spec: FinetuneSpec, optimizer_spec: OptimizerSpec
) -> list[Group]:
    """Split the parameters that may ever learn into groups, each with its epoch, its rate and its decay.

    Args:
        backbone: In no group where it is frozen for good.
        head: Learns from the first epoch at the full rate.
        spec: When the backbone learns and at which share of the rate.
        optimizer_spec: Weight decay; gains, shifts and biases are not decayed.

    Returns:
        Groups that are not empty: the head's, then the backbone's from the stem on.
    """
    decay = optimizer_spec.weight_decay
    groups = _decayed_or_not(head.parameters(), Group([], is_backbone=False, lr_factor=1.0, weight_decay=decay))
    if spec.never_learns:
        return groups
    one = spec.freeze != "gradual" and spec.layer_decay is None
    layers = [list(backbone.parameters())] if one else layer_groups(backbone)
    for level, parameters in enumerate(layers):
        after = len(layers) - 1 - level
        rate = (spec.backbone_lr or PRETRAINED_SHARE) * (spec.layer_decay or 1.0) ** after
        like = Group([], is_backbone=True, lr_factor=rate, weight_decay=decay, from_epoch=spec.first_epoch(after))
        groups += _decayed_or_not(parameters, like)
    return groups


def _decayed_or_not(parameters: Iterable[nn.Parameter], like: Group) -> list[Group]:
    every = list(parameters)
    matrices, vectors = [p for p in every if p.ndim > 1], [p for p in every if p.ndim <= 1]
    groups = [replace(like, parameters=matrices), replace(like, parameters=vectors, weight_decay=0.0)]
    return [group for group in groups if group.parameters]
