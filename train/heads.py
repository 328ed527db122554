"""Heads: dense layers from a backbone's features to the columns of the model's tasks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor, nn

from align import UsageError

Activation = Literal["relu", "gelu", "silu", "tanh"]
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class HeadSpec:
    """The shape of a head.

    Attributes:
        hidden: Widths of the hidden dense layers, any number of them.
        dropout_before: Dropout before each dense layer: one value for all, the last one included, or one for each
            hidden layer and one for the last.
        dropout_after: Dropout after each hidden layer's activation: one value for all, or one for each.
        activation: After each hidden layer.
        layer_norm: Whether to bring the features of each face to mean 0 and variance 1 first.
        batch_norm: Whether to bring each feature to mean 0 and variance 1 over the faces first, without gain or shift,
            as He et al. 2022 probe frozen networks: what all faces share is gone, what tells them apart counts. null
            does so where the backbone is pretrained and `layer_norm` is false.
    """

    hidden: list[int] = field(default_factory=list)
    dropout_before: list[float] | float = 0.0
    dropout_after: list[float] | float = 0.0
    activation: Activation = "relu"
    layer_norm: bool = False
    batch_norm: bool | None = None

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise UsageError(f"model.head.hidden must be widths >= 1 (got {self.hidden})")
        if self.activation not in _ACTIVATIONS:
            raise UsageError(f"model.head.activation must be one of {[*_ACTIVATIONS]} (got {self.activation!r})")
        if self.layer_norm and self.batch_norm:
            raise UsageError("model.head: expected layer_norm or batch_norm (got both); leave one out")
        _rates(self.dropout_before, len(self.hidden) + 1, "dropout_before")
        _rates(self.dropout_after, len(self.hidden), "dropout_after")

    def of_backbone(self, *, is_random: bool) -> "HeadSpec":
        """Choose `batch_norm`, where nobody has, for a backbone that is pretrained or starts from random weights."""
        return self if self.batch_norm is not None else replace(self, batch_norm=not (is_random or self.layer_norm))


class FeatureNorm(nn.BatchNorm1d):
    """Batch norm of features that learns nothing; a batch of one face, which has no variance, takes the running one."""

    def __init__(self, features: int) -> None:
        super().__init__(features, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map [N, features] to the same shape."""
        if self.training and len(features) == 1:
            return F.batch_norm(features, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(features)


def _rates(given: Sequence[float] | float, count: int, name: str) -> list[float]:
    rates = [float(given)] * count if isinstance(given, int | float) else [float(rate) for rate in given]
    if len(rates) != count:
        raise UsageError(f"model.head.{name} must be one number or {count} of them (got {len(rates)})")
    if any(not 0 <= rate < 1 for rate in rates):
        raise UsageError(f"model.head.{name} must be 0 or more and below 1 (got {rates})")
    return rates


def build_head(features: int, outputs: int, spec: HeadSpec) -> nn.Sequential:
    """Build a head that emits logits, and valence and arousal as plain numbers.

    Args:
        features: Length of the backbone's feature vector.
        outputs: Number of columns, `Tasks.outputs`.
        spec: Its shape.

    Returns:
        For each hidden layer dropout, dense, activation, dropout; then dropout and the last dense layer. Dropouts of
        rate 0 are left out.
    """
    before = _rates(spec.dropout_before, len(spec.hidden) + 1, "dropout_before")
    after = _rates(spec.dropout_after, len(spec.hidden), "dropout_after")
    layers: list[nn.Module] = [nn.LayerNorm(features)] if spec.layer_norm else []
    layers += [FeatureNorm(features)] if spec.batch_norm else []
    width = features
    for i, hidden in enumerate(spec.hidden):
        layers += [
            nn.Dropout(before[i]),
            nn.Linear(width, hidden),
            _ACTIVATIONS[spec.activation](),
            nn.Dropout(after[i]),
        ]
        width = hidden
    layers += [nn.Dropout(before[-1]), nn.Linear(width, outputs)]
    return nn.Sequential(*(layer for layer in layers if not (isinstance(layer, nn.Dropout) and layer.p == 0)))
