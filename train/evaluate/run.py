"""Runs a checkpoint once over each split of a set, by the same steps as `validate` and `test`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback

from align import UsageError

from ..checkpoints import Checkpoint, load_model, read_checkpoint, require_tasks
from ..console import StderrProgressBar
from ..data import FaceData
from ..metrics import Outcome
from ..module import FaceModel
from ..rows import Rows, read_rows, read_tasks
from ..tasks import Tasks
from ..tta import Views

SplitName = Literal["val", "test"]
SPLITS: tuple[SplitName, ...] = ("val", "test")


@dataclass(frozen=True)
class Asked:
    """What is evaluated, and how.

    Attributes:
        checkpoint: The file.
        root: The set's folder.
        splits: Of `val` and `test`; none takes those that the set has.
        tta: Views of each face, whose answers are averaged.
        batch_size: Crops a step and device.
        accelerator: As Lightning's Trainer takes it.
        devices: Likewise.
    """

    checkpoint: Path
    root: Path
    splits: tuple[SplitName, ...] = ()
    tta: Views = "none"
    batch_size: int = 64
    accelerator: str = "auto"
    devices: str = "1"


@dataclass(frozen=True)
class Part:
    """What the model said of one split.

    Attributes:
        split: `val` or `test`.
        rows: The split's faces.
        outcome: Outputs and targets of those, in their order.
        loss: Over the whole split.
    """

    split: SplitName
    rows: Rows
    outcome: Outcome
    loss: float


@dataclass(frozen=True)
class Evaluated:
    """A checkpoint and what it said.

    Attributes:
        asked: What was to be done; `splits` holds those that were evaluated.
        checkpoint: What the file says about its model.
        parts: One a split.
        is_first: Whether this process is the first rank, the one that reports.
    """

    asked: Asked
    checkpoint: Checkpoint
    parts: tuple[Part, ...]
    is_first: bool = True

    @property
    def tasks(self) -> Tasks:
        """What the model tells."""
        return self.checkpoint.tasks


def run_checkpoint(asked: Asked) -> Evaluated:
    """Run a checkpoint over the splits of a set; nothing is written, and no face is looked at twice.

    Raises:
        UsageError: The set has none of the splits, or the device is not there.
        EyelineError: The checkpoint and the set do not belong together, or a crop is missing.
    """
    checkpoint = read_checkpoint(asked.checkpoint)
    rows = read_rows(asked.root)
    found = [name for name in SPLITS if (rows["split"] == name).any()]
    asked = replace(asked, splits=_chosen(asked, found))
    require_tasks(checkpoint, read_tasks(asked.root, rows), asked.root)
    trainer = make_trainer(asked.accelerator, asked.devices)
    model = load_model(asked.checkpoint)
    data = FaceData(root=asked.root, batch_size=asked.batch_size, tta=asked.tta)
    parts = tuple(_run(trainer, model, data, split) for split in asked.splits)
    return Evaluated(asked, checkpoint, parts, trainer.is_global_zero)


def _chosen(asked: Asked, found: Sequence[SplitName]) -> tuple[SplitName, ...]:
    """Give the splits in their usual order; refuse those that the set has not."""
    missing = [name for name in asked.splits if name not in found]
    if missing or not found:
        has = " and ".join(found) or "neither"
        raise UsageError(
            f"--splits: expected kept faces of {' and '.join(missing or SPLITS)} in {asked.root} (found {has}); "
            "choose another, or give the set splits with: eyeline-curate split"
        )
    return tuple(name for name in found if name in (asked.splits or SPLITS))


def make_trainer(accelerator: str, devices: str) -> pl.Trainer:
    """Make a trainer that runs models and leaves nothing behind.

    Args:
        accelerator: As Lightning's Trainer takes it.
        devices: Likewise; a number in words is a number.

    Raises:
        UsageError: The devices are not there.
    """
    callbacks: list[Callback] = [StderrProgressBar()] if sys.stderr.isatty() else []
    try:
        return pl.Trainer(
            accelerator=accelerator,
            devices=int(devices) if devices.isdecimal() else devices,
            logger=False,
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=bool(callbacks),
            use_distributed_sampler=False,  # ours know rank and world
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise UsageError(
            f"--accelerator {accelerator} --devices {devices}: expected devices of this machine ({said}); "
            "choose others, or --accelerator cpu"
        ) from None


def _run(trainer: pl.Trainer, model: FaceModel, data: FaceData, split: SplitName) -> Part:
    run = {"val": trainer.validate, "test": trainer.test}[split]
    run(model, datamodule=data, verbose=False)
    loss = float(trainer.callback_metrics[f"{split}/loss"])
    return Part(split, data.splits[split].rows, model.outcomes[split], loss)
