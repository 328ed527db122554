"""The DataModule: a curated set's crops in memory, drawn by our own samplers and augmented a batch at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from align import EyelineError, UsageError

from .augment import Augment, AugmentSpec
from .backbones import Preprocess
from .console import notice
from .pack import pack
from .rows import Rows, Split, read_classes, read_rows, require_every_class, require_labels, select
from .samplers import OnceSampler, RepeatSampler


class Batch(NamedTuple):
    """A batch of crops.

    Attributes:
        images: uint8 [N, 3, H, W], RGB; float, 0 to 255, once augmented.
        targets: int64 [N], the class, -1 where a face has no label.
        rows: int64 [N], the place in the split.
        valid: bool [N], False for the padding that evens out ranks: it counts in no loss and no metric.
    """

    images: Tensor
    targets: Tensor
    rows: Tensor
    valid: Tensor


class PackedFaces(Dataset[Batch]):
    """The decoded crops of one split; a loader asks it for a whole batch of rows at once."""

    def __init__(self, rows: Rows, size_px: int) -> None:
        self.rows = rows
        self.images = pack(rows.paths, size_px)
        self.targets = torch.from_numpy(rows.targets)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        """Give the batch of one row."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Give the batch of `indices`; a negative one is padding."""
        wanted = torch.as_tensor(indices)
        valid = wanted >= 0
        rows = wanted.clamp(min=0)
        return Batch(self.images[rows], self.targets[rows], rows, valid)


def _as_is(batch: Any) -> Any:
    """Collate nothing: the dataset already gives whole batches."""
    return batch


class FaceData(pl.LightningDataModule):
    """The crops of a curated set.

    Args:
        root: The folder that `eyeline-curate run --out` wrote.
        batch_size: Crops a step and rank.
        seed: Of the order and the augmentation; null takes `seed_everything`.
        predict_split: The faces that `predict` looks at.
        augment: Ranges of the augmentation of the training split.
    """

    def __init__(
        self,
        root: Path,
        batch_size: int = 64,
        seed: int | None = None,
        predict_split: Split = "all",
        augment: AugmentSpec = AugmentSpec(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UsageError(f"data.batch_size must be an integer >= 1 (got {batch_size})")
        self.root = Path(root)
        self.batch_size = batch_size
        self.seed = seed or 0
        self.predict_split: Split = predict_split
        self.augment = Augment(augment)
        self.splits: dict[str, PackedFaces] = {}

    def setup(self, stage: str) -> None:
        """Read, check and decode the splits that `stage` needs: fit, validate, test or predict.

        Raises:
            EyelineError: A split that is needed is empty, lacks labels or a class, or a crop is missing.
        """
        if stage == "predict":
            self._load([self.predict_split])
            return
        classes = read_classes(self.root)
        if stage == "fit":
            self._load(["train", "val"], classes)
            if not len(self.splits["val"]):
                notice(f"{self.root} has no validation rows: training goes on without validation")
        else:
            self._load(["val" if stage == "validate" else "test"], classes)

    def _load(self, splits: Sequence[Split], classes: Sequence[str] = ()) -> None:
        rows = read_rows(self.root)
        size_px = self._size_px()
        if not classes:  # to predict, a set needs no labels
            rows = rows.assign(label=None)
        chosen = {split: select(rows, self.root, split, classes) for split in splits}
        for split, part in chosen.items():
            self._check(split, part, classes, optional=split == "val" and len(splits) > 1)
        for split, part in chosen.items():
            if split not in self.splits:
                self.splits[split] = PackedFaces(part, size_px)

    def _check(self, split: Split, part: Rows, classes: Sequence[str], *, optional: bool) -> None:
        if not len(part) and not optional:
            raise EyelineError(f"{self.root}/manifest.parquet: expected {split} rows (found none that were kept)")
        if classes:
            require_labels(part, self.root, split)
        if classes and split == "train":
            require_every_class(part, self.root, classes)

    def _size_px(self) -> int:
        """Ask the model for its input size."""
        preprocess = getattr(self.trainer.lightning_module if self.trainer else None, "preprocess", None)
        if not isinstance(preprocess, Preprocess):
            raise EyelineError("FaceData: expected a trainer that fits a FaceClassifier (found neither its input size)")
        return preprocess.size_px

    def _place(self) -> tuple[int, int]:
        """Give this process's rank and the number of ranks."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Give the shuffled training split, each row `repeat` times."""
        faces = self.splits["train"]
        sampler = RepeatSampler(faces.rows.repeats, self.seed, *self._place())
        return DataLoader(faces, batch_size=self.batch_size, sampler=sampler, collate_fn=_as_is)

    def _once(self, split: str) -> DataLoader[Batch]:
        faces = self.splits[split]
        sampler = OnceSampler(len(faces), *self._place())
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
        """Augment a training batch on its device; seed, epoch, step and rank fix what is drawn."""
        if self.trainer is None or not self.trainer.training:
            return batch
        step = (self.seed, self.trainer.current_epoch, self.trainer.global_step, self.trainer.global_rank)
        return batch._replace(images=self.augment(batch.images, step_generator(step)))


def step_generator(step: tuple[int, int, int, int]) -> torch.Generator:
    """Make the CPU generator of one step from (seed, epoch, global step, rank): a resumed run draws the same."""
    entropy = np.random.SeedSequence([abs(part) for part in step]).generate_state(1, dtype="uint64")[0]
    return torch.Generator().manual_seed(int(entropy) >> 1)
