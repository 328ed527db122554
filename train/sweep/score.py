"""Scores a trained model on each split of its set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from ..checkpoints import load_model, read_checkpoint, require_tasks
from ..data import FaceData
from ..metrics import Outcome, summary
from ..module import FaceModel
from ..rows import Split, read_rows, read_tasks, select
from ..tasks import Tasks

SPLITS: tuple[Split, ...] = ("train", "val", "test")
_TRAINER_KEYS = ("accelerator", "devices", "precision")
_DATA_KEYS = ("batch_size", "tta")


@dataclass(frozen=True)
class Scored:
    """What a checkpoint said of its set.

    Attributes:
        tasks: What the model tells.
        global_step: Steps that the checkpoint had taken.
        outcomes: Outputs and targets of each split.
        numbers: `parameters`, and by split the scalars of `metrics.summary` and `rows`.
    """

    tasks: Tasks
    global_step: int
    outcomes: dict[Split, Outcome]
    numbers: dict[str, Any]


def score(checkpoint: Path, config: dict[str, Any], *, as_shown: bool = False) -> Scored:
    """Run a checkpoint over the splits that its set has, each face once and without augmentation.

    The training split is scored as it is, whatever balancing shows of it how often (0 times is left out).

    Args:
        checkpoint: Of the model.
        config: What it was trained with.
        as_shown: Count each training face as often as balancing shows it.
    """
    model = load_model(checkpoint)
    root = Path(config["data"]["root"])
    rows = read_rows(root)
    parameters = sum(p.numel() for part in (model.backbone, model.head) for p in part.parameters())
    outcomes: dict[Split, Outcome] = {}
    trainer = _trainer(config)
    for split in SPLITS:
        if (rows["split"] == split).any():
            outcomes[split] = _outcome(trainer, model, _data(root, split, config), as_shown=as_shown)
    numbers: dict[str, Any] = {split: _numbers(model, outcome) for split, outcome in outcomes.items()}
    step = read_checkpoint(checkpoint).global_step
    return Scored(model.tasks, step, outcomes, {"parameters": parameters, **numbers})


def score_elsewhere(checkpoint: Path, config: dict[str, Any], root: Path) -> dict[str, Any]:
    """Score a checkpoint on the test part of another set than its own.

    Args:
        checkpoint: Of the model.
        config: What it was trained with.
        root: The other set.

    Raises:
        EyelineError: The set has no test part, or is labelled for something else.
    """
    require_tasks(read_checkpoint(checkpoint), read_tasks(root, read_rows(root)), root)
    model = load_model(checkpoint)
    return _numbers(model, _outcome(_trainer(config), model, _data(root, "test", config)))


def _trainer(config: dict[str, Any]) -> pl.Trainer:
    options = {key: value for key, value in (config.get("trainer") or {}).items() if key in _TRAINER_KEYS}
    return pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, **options)


def _data(root: Path, split: Split, config: dict[str, Any]) -> FaceData:
    options = {key: value for key, value in config["data"].items() if key in _DATA_KEYS}
    return FaceData(root=root, predict_split=split, **options)


def _outcome(trainer: pl.Trainer, model: FaceModel, data: FaceData, *, as_shown: bool = False) -> Outcome:
    parts: Any = trainer.predict(model, data)
    rows = torch.cat([rows for rows, _ in parts])
    outputs = torch.cat([outputs for _, outputs in parts])[rows.argsort()]
    chosen = select(read_rows(data.root), data.root, data.predict_split, model.tasks)
    places = torch.arange(len(chosen)).repeat_interleave(torch.from_numpy(chosen.repeats) if as_shown else 1)
    return Outcome(places, outputs.float()[places], torch.from_numpy(chosen.targets)[places])


def _numbers(model: FaceModel, outcome: Outcome) -> dict[str, Any]:
    return {"rows": len(outcome), **summary(outcome, model.tasks)}
