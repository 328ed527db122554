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
from .module import FaceClassifier

Part = tuple[Tensor, Tensor]


class PredictionWriter(BasePredictionWriter):
    """Writes `predictions.csv` when `predict` ends: face_id, the predicted class, and a probability a class.

    All ranks' probabilities are held in memory until then, 4 bytes a face and class.

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
        if not isinstance(data, FaceData) or not isinstance(pl_module, FaceClassifier):
            return
        parts = _gather(list(predictions), trainer.world_size)
        if not trainer.is_global_zero:
            return
        rows = torch.cat([rows for rows, _ in parts])
        probabilities = torch.cat([p for _, p in parts])[rows.argsort()]
        face_ids = data.splits[data.predict_split].rows.face_ids
        winners = probabilities.argmax(1).tolist()
        lines = [
            (face_id, pl_module.classes[winner], *shares)
            for face_id, winner, shares in zip(face_ids, winners, probabilities.tolist(), strict=True)
        ]
        header = ("face_id", "predicted", *(f"p_{name}" for name in pl_module.classes))
        write_atomic(self.path, csv_text(header, lines))
        self.result = {"split": data.predict_split, "rows": len(lines), "files": {self.path.name: str(self.path)}}


def _gather(parts: list[Part], world: int) -> list[Part]:
    if world == 1:
        return parts
    every: list[list[Part]] = [[] for _ in range(world)]
    torch.distributed.all_gather_object(every, parts)
    return [part for rank in every for part in rank]
