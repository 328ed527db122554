"""The loss of a model: that of each task, weighted and added up."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from align import UsageError

from ..tasks import Tasks
from .counts import class_counts, class_weights, log_priors, positive_weights, require_counts, unit_counts
from .specs import LossSpec
from .terms import affect_loss, class_loss, unit_loss


class Loss(nn.Module):
    """The losses of a model's tasks.

    In evaluation labels are not smoothed and logits not adjusted: both shape what training aims at, and would only
    blur the figure. Class weights and positive weights stay, so that the losses of training and validation compare.

    Under DDP each rank divides by its own labels, and CCC is that of a rank's batch; gradients are averaged as usual.

    Args:
        tasks: What the model tells.
        spec: Which losses, and their weights.

    Attributes:
        class_weights: float32 [classes], all 1 until `fit_counts`.
        log_priors: float32 [classes], all 0 until `fit_counts`.
        positive_weights: float32 [units], all 1 until `fit_counts`.

    Raises:
        UsageError: All tasks of the model weigh 0.
    """

    class_weights: Tensor
    log_priors: Tensor
    positive_weights: Tensor

    def __init__(self, tasks: Tasks, spec: LossSpec | Mapping[str, Any]) -> None:
        super().__init__()
        self.tasks = tasks
        self.spec = LossSpec(**spec) if isinstance(spec, Mapping) else spec
        present = {"classes": tasks.classes, "affect": tasks.affect, "units": tasks.units}
        self.task_weights = {name: float(getattr(self.spec.weights, name)) for name, on in present.items() if on}
        if not any(self.task_weights.values()):
            raise UsageError(
                f"model.loss.weights must be above 0 for at least one task of the model (got {self.task_weights})"
            )
        self.register_buffer("class_weights", torch.ones(len(tasks.classes)))
        self.register_buffer("log_priors", torch.zeros(len(tasks.classes)))
        self.register_buffer("positive_weights", torch.ones(len(tasks.units)))

    def fit_counts(self, targets: Tensor, repeats: Tensor) -> None:
        """Set the class weights, log priors and positive weights that the spec asks for.

        Args:
            targets: Of the whole training split, [N, outputs], NaN where there is no label.
            repeats: How many times an epoch shows each row, on average where rows are drawn, [N].

        Raises:
            EyelineError: A weight or prior is asked for, and a class or a unit has no rows.
        """
        columns, spec = self.tasks.split(targets), self.spec
        repeats = repeats.to(targets.device)
        weighted, adjusted = spec.classes.class_weights != "none", spec.classes.logit_adjustment > 0
        if self.tasks.classes and (weighted or adjusted):
            counts = class_counts(columns.classes, repeats)
            kinds = [f"of {name}" for name in self.tasks.classes]
            require_counts(counts, kinds, f"classes.{'class_weights' if weighted else 'logit_adjustment'}")
            self.class_weights.copy_(class_weights(counts, spec.classes))
            self.log_priors.copy_(log_priors(counts))
        if self.tasks.units and spec.units.positive_weights != "none":
            with_unit, without = unit_counts(columns.units, repeats)
            kinds = [f"{how} {unit}" for how in ("with", "without") for unit in self.tasks.units]
            require_counts(torch.cat([with_unit, without]), kinds, "units.positive_weights")
            self.positive_weights.copy_(positive_weights(with_unit, without, spec.units))

    def forward(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            outputs: Of the model, [N, outputs], of any float type.
            targets: float32 [N, outputs]; NaN where a row has no label of a task.

        Returns:
            Scalars in float32: `loss`, the weighted sum, and `loss_classes`, `loss_affect`, `loss_units` of the tasks
            that there are, each before its weight; 0 for a task without labels in the batch.
        """
        losses = self._tasks(outputs.float(), targets.float())
        total = torch.stack([self.task_weights[name] * loss for name, loss in losses.items()]).sum()
        return {"loss": total, **{f"loss_{name}": loss for name, loss in losses.items()}}

    def _tasks(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        given, wanted, spec = self.tasks.split(outputs), self.tasks.split(targets), self.spec
        losses = {}
        if self.tasks.classes:
            logits, of_classes = given.classes, spec.classes
            if self.training:
                logits = logits + of_classes.logit_adjustment * self.log_priors
            else:
                of_classes = replace(of_classes, label_smoothing=0.0)
            losses["classes"] = class_loss(logits, wanted.classes, self.class_weights, of_classes)
        if self.tasks.affect:
            losses["affect"] = affect_loss(given.affect, wanted.affect, spec.affect)
        if self.tasks.units:
            losses["units"] = unit_loss(given.units, wanted.units, self.positive_weights, spec.units)
        return losses
