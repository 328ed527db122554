"""The loss of each task on a batch, in float32, over the rows that have its label.

Every function gives 0 where nothing is labelled, and keeps the outputs in the graph, so that each parameter takes part
in each step under DDP.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor

from .specs import AffectLossSpec, ClassLossSpec, UnitLossSpec

_LEAST_BASE = 1e-8
_LEAST_DENOMINATOR = 1e-8


def _mean(values: Tensor, counted: Tensor, total: Tensor | None = None) -> Tensor:
    """Add up the `counted` values and divide by `total`, their number by default; 0 where that is 0."""
    total = counted.sum() if total is None else total
    return torch.where(counted, values, 0.0).sum() / torch.where(total > 0, total, 1.0)


def _power(base: Tensor, gamma: float) -> Tensor:
    """Raise to a power whose gradient stays finite at 0, for exponents below 1 as well."""
    return base.clamp(min=_LEAST_BASE) ** gamma


def class_loss(logits: Tensor, targets: Tensor, weights: Tensor, spec: ClassLossSpec) -> Tensor:
    """Compute the loss of the classes.

    Args:
        logits: float32 [N, classes]; adjusted already, where logits are adjusted.
        targets: Probabilities [N, classes]; rows with NaN have no label.
        weights: Of the classes, [classes].
        spec: Which loss; its label smoothing is applied.

    Returns:
        A scalar. Cross-entropy and focal loss divide by the weights of the rows' labels, the margin loss by the rows:
        as torch does for each where a row has one class.
    """
    labelled = ~targets.isnan().any(1)
    targets = torch.where(labelled[:, None], targets, 0.0)
    if spec.softmax_first:
        logits = logits.softmax(1)
    if spec.name == "multi_margin":
        return _mean((targets * weights * _margins(logits)).sum(1), labelled)
    spread = targets * (1 - spec.label_smoothing) + spec.label_smoothing / targets.shape[1]
    log_probabilities = logits.log_softmax(1)
    losses = -log_probabilities
    if spec.name == "focal":
        losses = losses * _power(-log_probabilities.expm1(), spec.gamma)
    return _mean((spread * weights * losses).sum(1), labelled, (targets * weights).sum())


def _margins(logits: Tensor) -> Tensor:
    """Compute the mean hinge over the classes that each class would have as the true one, [N, classes]."""
    hinges = (logits[:, None, :] - logits[:, :, None] + 1).clamp(min=0)  # [N, true, other]
    return (hinges.sum(2) - 1) / logits.shape[1]  # a class's hinge with itself is 1, and is not meant


def affect_loss(values: Tensor, targets: Tensor, spec: AffectLossSpec) -> Tensor:
    """Compute the loss of valence and arousal: the mean over those of the two that have a label in the batch.

    Args:
        values: float32 [N, 2].
        targets: [N, 2], NaN where there is no label.
        spec: Which loss.

    Returns:
        A scalar.
    """
    labelled = ~targets.isnan()
    counts = labelled.sum(0)
    targets = torch.where(labelled, targets, 0.0)
    losses = (
        _mean_squares(values - targets, labelled) if spec.name == "mse" else _discordance(values, targets, labelled)
    )
    return _mean(losses, counts > 0)


def _means(values: Tensor, labelled: Tensor) -> Tensor:
    return torch.where(labelled, values, 0.0).sum(0) / labelled.sum(0).clamp(min=1)


def _mean_squares(values: Tensor, labelled: Tensor) -> Tensor:
    return _means(values.square(), labelled)


def _discordance(values: Tensor, targets: Tensor, labelled: Tensor) -> Tensor:
    """Compute 1 - CCC of each column, by population variances; 1 where a column's values are all the same."""
    value_means, target_means = _means(values, labelled), _means(targets, labelled)
    value_rest, target_rest = values - value_means, targets - target_means
    apart = (value_means - target_means).square()
    spread = _mean_squares(value_rest, labelled) + _mean_squares(target_rest, labelled) + apart
    return 1 - 2 * _means(value_rest * target_rest, labelled) / spread.clamp(min=_LEAST_DENOMINATOR)


def unit_loss(logits: Tensor, targets: Tensor, weights: Tensor, spec: UnitLossSpec) -> Tensor:
    """Compute the loss of the action units: the mean over all labels of the batch.

    Args:
        logits: float32 [N, units].
        targets: 0 and 1, or between, [N, units], NaN where there is no label.
        weights: Of the rows with each unit, [units].
        spec: Which loss.

    Returns:
        A scalar.
    """
    labelled = ~targets.isnan()
    targets = torch.where(labelled, targets, 0.0)
    present, absent = -F.logsigmoid(logits), -F.logsigmoid(-logits)
    if spec.name == "asymmetric":
        present = present * _power(logits.neg().sigmoid(), spec.gamma_positive)
        clear = (logits.neg().sigmoid() + spec.clip).clamp(max=1)
        absent = (-clear.log() if spec.clip else absent) * _power(1 - clear, spec.gamma_negative)
    return _mean(targets * weights * present + (1 - targets) * absent, labelled)
