"""The rows of an outcome that have a label, task by task, in float64."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from align import UsageError

from ..tasks import AFFECT, Tasks
from .collect import Outcome

Floats = NDArray[np.float64]


class ClassRows(NamedTuple):
    """The rows with a class.

    Attributes:
        logits: float64 [N, classes].
        targets: float64 [N, classes], probabilities: votes, or 1 for the row's class.
    """

    logits: Floats
    targets: Floats

    @property
    def true(self) -> NDArray[np.int64]:
        """The class with the most votes, the first of equals, [N]."""
        return _highest(self.targets)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class with the highest logit, the first of equals, [N]."""
        return _highest(self.logits)

    def log_probabilities(self, temperature: float = 1.0) -> Floats:
        """Compute log probabilities [N, classes] of logits / temperature."""
        if not 0 < temperature < np.inf:
            raise UsageError(f"temperature must be a number above 0 (got {temperature})")
        return np.asarray(log_softmax(self.logits / temperature, axis=1)) if self.logits.size else self.logits


def _highest(values: Floats) -> NDArray[np.int64]:
    """Give the column of each row's highest value; numpy refuses to look for it among no columns."""
    return values.argmax(1) if values.size else np.zeros(0, dtype=np.int64)


class ColumnRows(NamedTuple):
    """The rows with a label in one column.

    Attributes:
        name: Of the column.
        outputs: float64 [N].
        targets: float64 [N].
    """

    name: str
    outputs: Floats
    targets: Floats


def class_rows(outcome: Outcome, tasks: Tasks) -> ClassRows:
    """Take the rows with a class; none where the model has not that task."""
    outputs, targets = _arrays(outcome)
    columns = slice(0, len(tasks.classes))
    labelled = ~np.isnan(targets[:, columns]).any(1) & bool(tasks.classes)
    return ClassRows(outputs[labelled, columns], targets[labelled, columns])


def affect_columns(outcome: Outcome, tasks: Tasks) -> Iterator[ColumnRows]:
    """Take the rows with valence, then those with arousal; nothing where the model has not that task."""
    return _columns(outcome, tasks, AFFECT if tasks.affect else ())


def unit_columns(outcome: Outcome, tasks: Tasks) -> Iterator[ColumnRows]:
    """Take the rows with a label of each action unit in turn."""
    return _columns(outcome, tasks, tasks.units)


def _columns(outcome: Outcome, tasks: Tasks, names: tuple[str, ...] | list[str]) -> Iterator[ColumnRows]:
    outputs, targets = _arrays(outcome)
    start = len(tasks.classes) + (0 if names == AFFECT else len(AFFECT) * tasks.affect)
    for column, name in enumerate(names, start):
        labelled = ~np.isnan(targets[:, column])
        yield ColumnRows(name, outputs[labelled, column], targets[labelled, column])


def _arrays(outcome: Outcome) -> tuple[Floats, Floats]:
    return outcome.outputs.double().numpy(), outcome.targets.double().numpy()


def none_or_mean(values: list[float | None]) -> float | None:
    """Compute the mean of the values that are defined; None where none is."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
