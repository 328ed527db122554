"""The DataModule: a curated set's crops, drawn by our own samplers and augmented a batch at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import DataLoader, Dataset, Sampler

from align import EyelineError, UsageError
from curate import read_curation

from .augment import Augment, AugmentSpec, Copies
from .backbones import Preprocess
from .batch import Batch, derived_seed
from .console import notice
from .mix import Mix, MixSpec
from .pack import Pack, Place, open_pack, set_rows
from .rows import (
    Rows,
    Split,
    TaskName,
    absent_classes,
    labelled,
    read_rows,
    require_every_class,
    select,
)
from .samplers import BalancedSampler, OnceSampler, RepeatSampler, row_weights
from .tasks import Tasks
from .tta import Views, tta_views

_SPLITS: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class PackedFaces(Dataset[Batch]):
    """The decoded crops of one split; a loader asks it for a whole batch of rows at once."""

    def __init__(self, rows: Rows, faces: Pack) -> None:
        self.rows = rows
        self.pack = faces
        self.places = faces.rows_of(rows.face_ids)
        self.targets = torch.from_numpy(rows.targets)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        """Give the batch of one row."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Give the batch of `indices`; a negative one is padding, beyond the last row the fixed copies follow."""
        wanted = torch.as_tensor(indices)
        valid = wanted >= 0
        entries = wanted.clamp(min=0)
        copies, rows = entries // len(self), entries % len(self)
        targets = torch.where(valid[:, None], self.targets[rows], torch.nan)
        return Batch(self.pack.gather(self.places[rows]), targets, rows, copies, valid)


def _as_is(batch: Any) -> Any:
    """Collate nothing: the dataset already gives whole batches."""
    return batch


class FaceData(pl.LightningDataModule):
    """The crops of a curated set.

    Args:
        root: The folder that `eyeline-curate run --out` wrote.
        batch_size: Crops a step and rank.
        seed: Of the order and the augmentation; null takes `seed_everything`.
        tasks: What to train for: classes, affect (valence and arousal), units (action units); null is all that the
            set has labels for.
        units: The action units to train for; null is all that the set has labels for.
        augment: Ranges of the augmentation of the training split.
        mix: Mixing of pairs of training faces.
        tta: Views of each face at test and at prediction, whose answers are averaged.
        predict_split: The faces that `predict` looks at.
        balance: How far an epoch evens out the classes by drawing with replacement: 0 shows each face as often as its
            `repeat` says, 1 every class as often as any other, 0.5 by the root of its faces.
        device: Where the decoded crops are: on the GPU where they fit, in their file, or on the device in any case.
        pack_dir: A folder for the decoded crops in place of the set's own.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is a flag of the command line
        self,
        root: Path,
        batch_size: int = 64,
        seed: int | None = None,
        tasks: list[TaskName] | None = None,
        units: list[str] | None = None,
        augment: AugmentSpec = AugmentSpec(),  # noqa: B008 - frozen
        mix: MixSpec = MixSpec(),  # noqa: B008 - frozen
        tta: Views = "none",
        predict_split: Split = "all",
        balance: float = 0.0,
        device: Place = "auto",
        pack_dir: Path | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UsageError(f"data.batch_size must be an integer >= 1 (got {batch_size})")
        if not 0 <= balance <= 1:
            raise UsageError(f"data.balance must be a number from 0 to 1 (got {balance})")
        self.root = Path(root)
        self.batch_size = batch_size
        self.seed = seed or 0
        self.tasks, self.units = tasks, units  # the command line gives them to the model
        self.augment = Augment(augment, self.seed)
        self.copies: Copies | None = None
        self.mix = Mix(mix)
        self.tta: Views = tta
        self.predict_split: Split = predict_split
        self.balance = balance
        self.device: Place = device
        self.pack_dir = pack_dir
        self.splits: dict[str, PackedFaces] = {}

    def setup(self, stage: str) -> None:
        """Read, check and decode the splits that `stage` needs: fit, validate, test or predict.

        Raises:
            EyelineError: A split that is needed is empty, lacks labels or a class, or a crop is missing.
        """
        rows = read_rows(self.root)
        if stage == "predict":  # needs no labels
            self._load({self.predict_split: self._chosen(rows, self.predict_split, None)})
            return
        tasks = self._model_tasks()
        wanted = _SPLITS[stage]
        chosen = {split: self._chosen(rows, split, tasks, optional=len(wanted) > 1) for split in wanted}
        if stage == "fit":
            require_every_class(chosen["train"], self.root, tasks)
            self._notice_of_validation(chosen["val"], tasks)
        self._load(chosen)

    def _chosen(self, rows: pd.DataFrame, split: Split, tasks: Tasks | None, *, optional: bool = False) -> Rows:
        part = select(rows, self.root, split, tasks)
        there = labelled(part) if tasks else part
        if not len(there) and not (optional and split == "val"):
            found = (
                f"{len(part)} without a label of {', '.join(tasks.kinds)}"
                if tasks and len(part)
                else "none that were kept"
            )
            raise EyelineError(f"{self.root}/manifest.parquet: expected {split} rows (found {found})")
        if tasks and len(there) < len(part):
            without = len(part) - len(there)
            notice(f"{without} of {len(part)} {split} rows have no label of {', '.join(tasks.kinds)} and are left out")
        return there

    def _notice_of_validation(self, validation: Rows, tasks: Tasks) -> None:
        if not len(validation):
            notice(f"{self.root} has no validation rows: training goes on without validation")
        elif absent := absent_classes(validation, tasks):
            notice(f"the validation split has no rows of {', '.join(absent)}: no part of the metrics sees them")

    def _load(self, chosen: dict[Split, Rows]) -> None:
        missing = {split: part for split, part in chosen.items() if split not in self.splits}
        if not missing or self.trainer is None:
            return
        faces = open_pack(self.root, set_rows(self.root), self._preprocess().size_px, self.pack_dir)
        faces = faces.placed(self.trainer.strategy.root_device, self.device)
        self.splits |= {split: PackedFaces(part, faces) for split, part in missing.items()}

    def _model_tasks(self) -> Tasks:
        """Ask the model for its tasks."""
        tasks = getattr(self.trainer.lightning_module if self.trainer else None, "tasks", None)
        if not isinstance(tasks, Tasks):
            raise EyelineError("FaceData: expected a trainer that fits a FaceModel (found no tasks)")
        return tasks

    def _preprocess(self) -> Preprocess:
        """Ask the model for its input."""
        preprocess = getattr(self.trainer.lightning_module if self.trainer else None, "preprocess", None)
        if not isinstance(preprocess, Preprocess):
            raise EyelineError("FaceData: expected a trainer that fits a FaceModel (found neither its input size)")
        return preprocess

    @property
    def alignment(self) -> dict[str, Any]:
        """How the set's faces were found and cropped: the `align` table of its configuration."""
        return dict((read_curation(self.root).get("config") or {}).get("align") or {})

    def _ranks(self) -> tuple[int, int]:
        """Give this process's rank and the number of ranks."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def shown(self) -> NDArray[np.float64]:
        """Compute how many times an epoch shows each training row on average, float64 [N].

        Raises:
            UsageError: Classes are to be evened out, and the model tells none.
        """
        rows = self.splits["train"].rows
        if not self.balance:
            return rows.repeats.astype(np.float64)
        classes = self._model_tasks().classes
        if not classes:
            raise UsageError(f"data.balance must be 0 for a model that tells no classes (got {self.balance})")
        return row_weights(rows.targets[:, : len(classes)], rows.repeats, self.balance)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Give the shuffled training split, each row `repeat` times or as its class is drawn."""
        faces, shown_as = self.splits["train"], 1 + self.augment.spec.copies
        repeats = np.tile(faces.rows.repeats, shown_as)
        sampler: Sampler[int] = RepeatSampler(repeats, self.seed, *self._ranks())
        if self.balance:
            sampler = BalancedSampler(np.tile(self.shown(), shown_as), int(repeats.sum()), self.seed, *self._ranks())
        if self.augment.spec.copies:
            generator = torch.Generator().manual_seed(derived_seed(self.seed))
            self.copies = Copies(self.augment, len(faces), self._preprocess().size_px, generator)
        return DataLoader(faces, batch_size=self.batch_size, sampler=sampler, collate_fn=_as_is)

    def _once(self, split: str) -> DataLoader[Batch]:
        faces = self.splits[split]
        sampler = OnceSampler(len(faces), *self._ranks())
        return DataLoader(faces, batch_size=self.batch_size, sampler=sampler, collate_fn=_as_is)

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """Give the validation split; an empty list where the set has none."""
        return [self._once("val")] if len(self.splits["val"]) else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Give the test split."""
        return self._once("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Give the split to predict."""
        return self._once(self.predict_split)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002 - Lightning's hook
        """Augment and mix a training batch on its device, and give a tested face its views.

        Seed, epoch, step and rank fix what is drawn.
        """
        trainer = self.trainer
        if trainer is None or trainer.state.fn is None:
            return batch
        if trainer.state.fn != TrainerFn.FITTING:
            return batch._replace(images=tta_views(batch.images, self.tta))
        if not trainer.training:  # validation
            return batch
        batch_number = trainer.fit_loop.total_batch_idx + 1  # unlike global_step it counts accumulated batches, too
        seed = derived_seed(self.seed, trainer.current_epoch, batch_number, trainer.global_rank)
        generator = torch.Generator().manual_seed(seed)
        if self.copies is None:
            images = self.augment(batch.images, generator)
        else:
            images = self.copies(batch.images, batch.rows, batch.copies)
        images, targets = self.mix(images, batch.targets, generator)
        return batch._replace(images=images, targets=targets)
