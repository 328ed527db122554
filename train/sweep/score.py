"""Scores a trained model on each split of its set."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from ..checkpoints import load_model
from ..data import FaceData
from ..metrics import Outcome, per_class, summary
from ..module import FaceModel
from ..rows import Split, read_rows, select

SPLITS: tuple[Split, ...] = ("train", "val", "test")
_TRAINER_KEYS = ("accelerator", "devices", "precision")
_DATA_KEYS = ("batch_size", "tta")


def score(checkpoint: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Run a checkpoint over the splits that its set has, each face once and without augmentation.

    The training split is scored as it is, whatever balancing shows of it how often (0 times is left out).

    Args:
        checkpoint: Of the model.
        config: What it was trained with.

    Returns:
        `parameters`, and by split the scalars of `metrics.summary`, `recall_macro` and `rows`.
    """
    model = load_model(checkpoint)
    root = Path(config["data"]["root"])
    rows = read_rows(root)
    result: dict[str, Any] = {
        "parameters": sum(p.numel() for part in (model.backbone, model.head) for p in part.parameters())
    }
    options = {key: value for key, value in (config.get("trainer") or {}).items() if key in _TRAINER_KEYS}
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, **options)
    for split in SPLITS:
        if (rows["split"] == split).any():
            data = FaceData(
                root=root,
                predict_split=split,
                **{key: value for key, value in config["data"].items() if key in _DATA_KEYS},
            )
            result[split] = _numbers(model, _outcome(trainer, model, data))
    return result


def _outcome(trainer: pl.Trainer, model: FaceModel, data: FaceData) -> Outcome:
    parts: Any = trainer.predict(model, data)
    rows = torch.cat([rows for rows, _ in parts])
    outputs = torch.cat([outputs for _, outputs in parts])[rows.argsort()]
    split = data.predict_split
    targets = torch.from_numpy(select(read_rows(data.root), data.root, split, model.tasks).targets)
    return Outcome(rows.sort().values, outputs.float(), targets)


def _numbers(model: FaceModel, outcome: Outcome) -> dict[str, Any]:
    numbers: dict[str, Any] = {"rows": len(outcome), **summary(outcome, model.tasks)}
    present = [row for row in per_class(outcome, model.tasks) if row.rows] if model.tasks.classes else []
    if present:
        numbers["recall_macro"] = sum(row.recall or 0.0 for row in present) / len(present)
    return numbers
