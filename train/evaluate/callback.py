"""What `validate` and `test` leave behind."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

from ..console import notice
from ..module import FaceModel
from .numbers import evaluation, figure, write_evaluation

_STAGES = {"validate": "val", "test": "test"}


class EvaluationReport(pl.Callback):
    """Writes the evaluation when `validate` or `test` ends, on the first rank.

    Args:
        folder: Where to.

    Attributes:
        result: The numbers and `files`, once there are any.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result: dict[str, Any] | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report a run of `validate`."""
        self._report(trainer, pl_module)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report a run of `test`."""
        self._report(trainer, pl_module)

    def _report(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        split = _STAGES.get(trainer.state.fn.value if trainer.state.fn else "")
        if split is None or not isinstance(pl_module, FaceModel) or not trainer.is_global_zero:
            return
        loss = float(trainer.callback_metrics[f"{split}/loss"])
        result = evaluation(pl_module.outcomes[split], pl_module.tasks, split, loss)
        self.result = {**result, "files": write_evaluation(result, self.folder)}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and result["classes"]:
                logger.experiment.add_figure(f"{split}/confusion", figure(result), trainer.global_step)
        if result["absent_classes"]:
            absent = ", ".join(result["absent_classes"])
            notice(f"the {split} split has no rows of {absent}: no recall for it, and no part in the macro averages")
