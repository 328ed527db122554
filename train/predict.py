"""Writes what a model says about each face as one csv."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from align import write_atomic

from .data import FaceData
from .evaluate import csv_text
from .module import FaceModel
from .tasks import Tasks

Part = tuple[Tensor, Tensor]


class PredictionWriter(BasePredictionWriter):
    """Writes `predictions.csv` when `predict` ends: face_id, and the columns of `answers`.

    All ranks' outputs are held in memory until then, 4 bytes a face and column.

    Args:
        path: The csv.

    Attributes:
        result: Path and number of rows, once written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(write_interval="epoch")
        self.path = path
        self.result: dict[str, Any] | None = None

    def write_on_epoch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],  # noqa: ARG002 - Lightning's hook
    ) -> None:
        """Gather the ranks' predictions and write them in the manifest's order."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, FaceData) or not isinstance(pl_module, FaceModel):
            return
        parts = _gather(list(predictions), trainer.world_size)
        if not trainer.is_global_zero:
            return
        rows = torch.cat([rows for rows, _ in parts])
        outputs = torch.cat([outputs for _, outputs in parts])[rows.argsort()]
        face_ids = data.splits[data.predict_split].rows.face_ids
        header, columns = answers(outputs, pl_module.tasks)
        lines = [(face_id, *cells) for face_id, *cells in zip(face_ids, *columns, strict=True)]
        write_atomic(self.path, csv_text(("face_id", *header), lines))
        self.result = {"split": data.predict_split, "rows": len(lines), "files": {self.path.name: str(self.path)}}


def answers(outputs: Tensor, tasks: Tasks) -> tuple[list[str], list[list[Any]]]:
    """Turn a model's outputs into what a user reads.

    Args:
        outputs: float [N, outputs], in the columns of `tasks`.
        tasks: What the model tells.

    Returns:
        Names, and for each name N values: `predicted`, the likeliest class, and `p_<class>`, each class's probability;
        `valence` and `arousal`, brought into -1 to 1; and `au_<number>`, each action unit's probability.
    """
    return answer_names(tasks), answer_columns(to_values(outputs, tasks), tasks)


def to_values(outputs: Tensor, tasks: Tasks) -> Tensor:
    """Turn a model's outputs, float [N, outputs], into probabilities, and valence and arousal of -1 to 1.

    Returns:
        float32 [N, outputs], in the columns of `tasks`.
    """
    classes, affect, units = tasks.split(outputs.float())
    return torch.cat([classes.softmax(1), affect.clamp(-1, 1), units.sigmoid()], dim=1)


def answer_names(tasks: Tasks) -> list[str]:
    """Name the columns of answers; see `answers`."""
    names = [f"p_{name}" for name in tasks.classes] + tasks.names[len(tasks.classes) :]
    return ["predicted", *names] if tasks.classes else names


def answer_columns(values: Tensor, tasks: Tasks) -> list[list[Any]]:
    """Give the columns that `answer_names` names.

    Args:
        values: float [N, outputs], from `to_values`.
        tasks: What the model tells.
    """
    columns: list[list[Any]] = values.T.tolist()
    if not tasks.classes:
        return columns
    likeliest = values[:, : len(tasks.classes)].argmax(1).tolist()
    return [[tasks.classes[i] for i in likeliest], *columns]


def _gather(parts: list[Part], world: int) -> list[Part]:
    if world == 1:
        return parts
    every: list[list[Part]] = [[] for _ in range(world)]
    torch.distributed.all_gather_object(every, parts)
    return [part for rank in every for part in rank]
