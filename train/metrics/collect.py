"""What evaluation collects: the outputs and targets of every row, once each, gathered over batches and ranks."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from align import EyelineError


class Outcome:
    """What a model said of a split, and what was to be said.

    A plain class on purpose: torchmetrics reaches into tuples and dataclasses that a metric returns, and would turn a
    tensor with one element into one without dimensions.

    Attributes:
        rows: int64 [N], ascending: the places in the split.
        outputs: float32 [N, outputs], in the columns of `Tasks`.
        targets: float32 [N, outputs], NaN where a row has no label.
    """

    __slots__ = ("outputs", "rows", "targets")

    def __init__(self, rows: Tensor, outputs: Tensor, targets: Tensor) -> None:
        self.rows = rows
        self.outputs = outputs
        self.targets = targets

    def __len__(self) -> int:
        return len(self.rows)


class Collector(Metric):
    """Keeps outputs and targets on the device, 8 bytes a row and column, until they are asked for.

    Tensors are kept flat: torchmetrics gathers only tensors of one type and number of dimensions, and has nothing but
    a flat one for a rank that saw no batch.

    Args:
        kwargs: Of `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    columns: Tensor
    rows: list[Tensor]
    outputs: list[Tensor]
    targets: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("columns", torch.tensor(0), dist_reduce_fx="max")
        for name in ("rows", "outputs", "targets"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self._start()

    def _start(self) -> None:
        """Begin with no row, but with the right type of it."""
        self.rows.append(torch.empty(0, dtype=torch.int64, device=self.device))
        self.outputs.append(torch.empty(0, device=self.device))
        self.targets.append(torch.empty(0, device=self.device))

    def reset(self) -> None:
        """Forget all rows."""
        super().reset()
        self._start()

    def update(self, outputs: Tensor, targets: Tensor, rows: Tensor, valid: Tensor) -> None:
        """Take a batch.

        Args:
            outputs: Of the model, [N, outputs], of any float type.
            targets: float [N, outputs], NaN where there is no label.
            rows: int64 [N], the places in the split.
            valid: bool [N]; padding is False, and left out.
        """
        self.columns = torch.full_like(self.columns, outputs.shape[1])
        self.rows.append(rows[valid])
        self.outputs.append(outputs.detach()[valid].float().flatten())
        self.targets.append(targets[valid].float().flatten())

    def compute(self) -> Outcome:
        """Give the rows of all ranks, sorted, each once, on the CPU.

        Raises:
            EyelineError: An output is not a number, or infinite.
        """
        rows = _joined(self.rows)
        shape = (len(rows), int(self.columns))
        outputs, targets = _joined(self.outputs).view(shape), _joined(self.targets).view(shape)
        rows, order = rows.sort(stable=True)
        first = torch.ones_like(rows, dtype=torch.bool)
        first[1:] = rows[1:] != rows[:-1]
        order = order[first]
        outcome = Outcome(rows[first], outputs[order], targets[order])
        bad = int((~outcome.outputs.isfinite()).any(1).sum())
        if bad:
            raise EyelineError(
                f"the model's outputs must be finite numbers (found NaN or infinite ones in {bad} of {len(outcome)} "
                "rows): training diverged, or its weights are broken; lower the learning rate or clip the gradients"
            )
        return outcome


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """Join the batches, on the CPU; torchmetrics has joined them already where it gathered from several ranks."""
    return (state if isinstance(state, Tensor) else torch.cat(state)).cpu()
