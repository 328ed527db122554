"""What a model is asked to tell: classes, valence and arousal, action units, or any of them together.

All tasks share one row of numbers, in the model's outputs and in the targets alike: first one column a class, then
valence and arousal, then one column an action unit.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from align import UsageError

AFFECT = ("valence", "arousal")


class TaskColumns(NamedTuple):
    """The columns of each task, of outputs or of targets.

    Attributes:
        classes: [N, classes]: logits, or probabilities as targets.
        affect: [N, 2] or [N, 0]: valence and arousal, -1 to 1.
        units: [N, units]: logits, or 0 and 1 as targets.
    """

    classes: Tensor
    affect: Tensor
    units: Tensor


@dataclass(frozen=True)
class Tasks:
    """The tasks of a model; a checkpoint keeps them as plain values.

    Attributes:
        classes: Ordered class names; none means that the model tells no classes, else at least two.
        affect: Whether the model tells valence and arousal.
        units: The action units that it tells, as the manifest's columns are called (`au_12`).
    """

    classes: list[str] = field(default_factory=list)
    affect: bool = False
    units: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.classes) == 1:
            raise UsageError(f"model.tasks.classes must be at least two class names (got {self.classes})")
        for name, values in (("classes", self.classes), ("units", self.units)):
            if len(set(values)) != len(values):
                raise UsageError(f"model.tasks.{name} must name each once (got {values})")
        if not self.outputs:
            raise UsageError("model.tasks must have classes, valence and arousal, or action units (got none of them)")

    @property
    def outputs(self) -> int:
        """Number of columns of outputs and targets."""
        return len(self.classes) + len(AFFECT) * self.affect + len(self.units)

    @property
    def kinds(self) -> list[str]:
        """The tasks, `classes`, `affect` and `units`, that the model has."""
        present = {"classes": bool(self.classes), "affect": self.affect, "units": bool(self.units)}
        return [name for name, wanted in present.items() if wanted]

    @property
    def monitor(self) -> tuple[str, str]:
        """The number of the validation split that the best model is chosen by, and whether `max` or `min` is best."""
        main = {"classes": "val/f1_macro", "affect": "val/ccc_mean", "units": "val/f1_units_mean"}
        return (main[self.kinds[0]], "max") if len(self.kinds) == 1 else ("val/loss", "min")

    @property
    def names(self) -> list[str]:
        """Name of each column."""
        return [*self.classes, *(AFFECT if self.affect else ()), *self.units]

    def split(self, columns: Tensor) -> TaskColumns:
        """Split [N, outputs] into the columns of each task; those of a task that the model has not are [N, 0]."""
        classes, affect = len(self.classes), len(AFFECT) * self.affect
        return TaskColumns(*torch.split(columns, [classes, affect, len(self.units)], dim=1))
