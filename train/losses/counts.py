"""What the losses take from the training split: how often an epoch shows each class, and each unit."""

from collections.abc import Sequence

import torch
from torch import Tensor

from align import EyelineError

from .specs import ClassLossSpec, UnitLossSpec


def class_counts(targets: Tensor, repeats: Tensor) -> Tensor:
    """Count the rows of each class as an epoch shows them; a row of several classes counts in parts.

    Args:
        targets: Probabilities [N, classes], NaN in rows without a label.
        repeats: How many times an epoch shows each row, [N].

    Returns:
        float64 [classes].
    """
    labelled = ~targets.isnan().any(1)
    return (targets[labelled].double() * repeats[labelled, None]).sum(0)


def require_counts(counts: Tensor, kinds: Sequence[str], key: str) -> None:
    """Refuse counts with a zero among them, which no weight can make up for.

    Args:
        counts: Rows of each kind.
        kinds: What each counts, as it reads after "none": `of fear`, `without au_12`.
        key: The option that needs the counts, below `model.loss`.

    Raises:
        EyelineError: A kind has no rows.
    """
    missing = [kind for kind, count in zip(kinds, counts.tolist(), strict=True) if not count > 0]
    if missing:
        raise EyelineError(
            f"model.loss.{key}: expected labelled training rows of every kind (found none {', '.join(missing)}); "
            "add such rows, take the names out of the tasks, or leave the option out"
        )


def class_weights(counts: Tensor, spec: ClassLossSpec) -> Tensor:
    """Compute the weight of each class.

    Args:
        counts: Rows of each class, above 0, float64 [classes].
        spec: Which weights, and their bound.

    Returns:
        float64 [classes]; the mean weight of the counted rows is 1. Where `max_weight` holds a class down, the others
        go up in proportion, so that it stays 1.
    """
    if spec.class_weights == "none":
        return torch.ones_like(counts)
    if spec.class_weights == "effective_number":
        raw = (1 - spec.beta) / (1 - spec.beta**counts)
    else:
        raw = 1 / counts if spec.class_weights == "inverse" else counts.rsqrt()
    return _bounded(raw, counts, spec.max_weight)


def _bounded(raw: Tensor, counts: Tensor, most: float | None) -> Tensor:
    """Scale weights to a mean of 1 over the rows, none above `most`, which is 1 or more."""
    total, held = counts.sum(), torch.zeros_like(counts, dtype=torch.bool)
    while True:
        taken = (most or 0.0) * counts[held].sum()
        weights = raw * (total - taken) / (raw * counts)[~held].sum()
        weights[held] = most or 0.0
        above = ~held & (weights > most) if most is not None else torch.zeros_like(held)
        if not above.any():
            return weights
        held = held | above
        if held.all():
            return torch.ones_like(counts)  # the bound is 1


def log_priors(counts: Tensor) -> Tensor:
    """Compute the log share of each class, float64 [classes], from counts above 0."""
    return (counts / counts.sum()).log()


def unit_counts(targets: Tensor, repeats: Tensor) -> tuple[Tensor, Tensor]:
    """Count the rows with and without each unit as an epoch shows them.

    Args:
        targets: 0 and 1 [N, units], NaN where there is no label.
        repeats: How many times an epoch shows each row, [N].

    Returns:
        Rows with the unit and rows without it, float64 [units] each.
    """
    shown = repeats[:, None].double()
    present = targets.double().nan_to_num(0.0) * shown
    absent = (1 - targets.double()).nan_to_num(0.0) * shown
    return present.sum(0), absent.sum(0)


def positive_weights(present: Tensor, absent: Tensor, spec: UnitLossSpec) -> Tensor:
    """Compute the weight of the rows with each unit, float64 [units], from counts above 0."""
    if spec.positive_weights == "none":
        return torch.ones_like(present)
    weights = absent / present
    return weights if spec.max_weight is None else weights.clamp(max=spec.max_weight)
