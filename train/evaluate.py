"""What `validate` and `test` leave behind: a table, numbers as JSON and csv, and the confusion matrix as a figure."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from align import replacing, write_atomic

from .console import notice
from .figures import confusion_figure
from .metrics import Confusion, class_scores, summary
from .module import FaceClassifier

_STAGES = {"validate": "val", "test": "test"}


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a csv; None is an empty cell, floats keep six digits after the point."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return out.getvalue()


def evaluation(confusion: Tensor, names: list[str], split: str, loss: float) -> dict[str, Any]:
    """Put the numbers of one split together.

    Args:
        confusion: int64 counts [true, predicted].
        names: Class names.
        split: `val` or `test`.
        loss: Mean cross-entropy.

    Returns:
        Plain values: the summary metrics, `classes`, `absent_classes` (without rows, in no macro average), the counts.
    """
    scores = class_scores(confusion, names)
    return {
        "split": split,
        "rows": int(confusion.sum()),
        "loss": loss,
        **summary(confusion),
        "classes": [asdict(score) for score in scores],
        "absent_classes": [score.name for score in scores if not score.rows],
        "confusion": confusion.tolist(),
    }


def write_evaluation(result: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write an evaluation as `metrics.json`, `per_class.csv`, `confusion.csv` and `confusion.png` into `folder`.

    Returns:
        The path of each file, by its name.
    """
    scores = result["classes"]
    names = [score["name"] for score in scores]
    per_class = csv_text(tuple(scores[0]), [tuple(score.values()) for score in scores])
    matrix = [(name, *row) for name, row in zip(names, result["confusion"], strict=True)]
    files = {name: str(folder / name) for name in ("metrics.json", "per_class.csv", "confusion.csv", "confusion.png")}
    write_atomic(folder / "per_class.csv", per_class)
    write_atomic(folder / "confusion.csv", csv_text(("true \\ predicted", *names), matrix))
    with replacing(folder / "confusion.png") as temporary:
        _figure(result).savefig(temporary, dpi=120)
    write_atomic(folder / "metrics.json", json.dumps({**result, "files": files}, indent=2) + "\n")
    return files


def _figure(result: dict[str, Any]) -> Any:
    import numpy as np

    names = [score["name"] for score in result["classes"]]
    title = f"{result['split']}: {result['rows']} crops, macro F1 {result['f1_macro']:.3f}"
    return confusion_figure(np.array(result["confusion"], dtype=np.int64), names, title)


def table(result: dict[str, Any]) -> str:
    """Lay the numbers of an evaluation out as a table of plain text."""
    width = max(len("class"), *(len(score["name"]) for score in result["classes"]))
    lines = [f"{'class':<{width}}  {'rows':>6}  {'precision':>9}  {'recall':>6}  {'f1':>6}"]
    for score in result["classes"]:
        cells = [f"{'-' if v is None else f'{v:.3f}':>{w}}" for v, w in _cells(score)]
        lines.append(f"{score['name']:<{width}}  {score['rows']:>6}  {'  '.join(cells)}")
    names = ("accuracy_micro", "accuracy_macro", "f1_macro")
    lines.append("  ".join(f"{name} {result[name]:.3f}" for name in names))
    return "\n".join(lines)


def _cells(score: dict[str, Any]) -> list[tuple[float | None, int]]:
    return [(score["precision"], 9), (score["recall"], 6), (score["f1"], 6)]


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

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report a run of `validate`."""
        self._report(trainer, pl_module)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report a run of `test`."""
        self._report(trainer, pl_module)

    def _report(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        split = _STAGES.get(trainer.state.fn.value if trainer.state.fn else "")
        if split is None or not isinstance(pl_module, FaceClassifier):
            return
        confusion = cast("Confusion", pl_module.confusion[split]).compute().cpu()  # every rank takes part
        loss = float(cast("Any", pl_module.eval_loss[split]).compute())
        if not trainer.is_global_zero:
            return
        result = evaluation(confusion, pl_module.classes, split, loss)
        self.result = {**result, "files": write_evaluation(result, self.folder)}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_figure(f"{split}/confusion", _figure(result), trainer.global_step)
        if result["absent_classes"]:
            absent = ", ".join(result["absent_classes"])
            notice(f"the {split} split has no rows of {absent}: no recall for it, and no part in the macro averages")
