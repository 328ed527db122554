"""Runs the networks of a cascade over a set, each with the input that its own checkpoint says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import pytorch_lightning as pl
import torch
from torch import Tensor

from align import EyelineError, UsageError

from ..checkpoints import Checkpoint, load_model
from ..data import FaceData
from ..evaluate import make_trainer
from ..module import FaceModel
from ..rows import Split, read_rows, select
from ..tta import Views
from .answers import Said, best_threshold, emotion_probabilities, face_probabilities, require_finite
from .networks import Labels, Networks, Pair
from .truth import Truth, read_truth


@dataclass(frozen=True)
class CascadeSpec:
    """What a cascade is run on, and how.

    Attributes:
        root: The set's folder.
        split: Of it.
        threshold: Least probability of a face that passes; or the split on which each first network's is chosen.
        tta: Views of each face, whose answers are averaged.
        batch_size: Crops that a network sees at once.
        accelerator: As Lightning's Trainer takes it.
        seed: Of the resamples that the intervals come from.
    """

    root: Path
    split: Split = "test"
    threshold: float | Split = 0.5
    tta: Views = "none"
    batch_size: int = 64
    accelerator: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.threshold in (self.split, "all") or (self.split == "all" and isinstance(self.threshold, str)):
            raise UsageError(
                f"--threshold: expected another split than --split {self.split}, which is evaluated (got "
                f"{self.threshold!r}); a threshold that is chosen on the rows it is judged by looks better than it is"
            )


def parse_threshold(given: str) -> float | Split:
    """Read a threshold: a probability, or the name of the split that it is to be chosen on.

    Raises:
        UsageError: It is neither.
    """
    if given in get_args(Split):
        return cast("Split", given)
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise UsageError(f"--threshold must be a probability from 0 to 1, or a split: train or val (got {given!r})")
    return number


@dataclass(frozen=True)
class Evaluated:
    """What the networks of a cascade said of a split.

    Attributes:
        networks: Which they are.
        spec: What was asked for.
        truth: The rows, and what is right for each.
        said: What the first pair said of those rows, and the improved one where there is one.
        thresholds: Of each pair's first network.
    """

    networks: Networks
    spec: CascadeSpec
    truth: Truth
    said: tuple[Said, ...]
    thresholds: tuple[float, ...]


@dataclass
class Runner:
    """Runs checkpoints over splits of one set, each at most once a split.

    Attributes:
        spec: On what, and how.
        labels: What the classes mean.
    """

    spec: CascadeSpec
    labels: Labels
    _outputs: dict[tuple[Path, str], Tensor] = field(default_factory=dict)

    def outputs(self, checkpoint: Checkpoint, splits: Sequence[Split]) -> list[Tensor]:
        """Run a checkpoint over splits; float32 [N, outputs] of each, in the manifest's order.

        Raises:
            EyelineError: A crop is missing, or the network's outputs are no numbers.
        """
        if missing := [split for split in splits if (checkpoint.path, split) not in self._outputs]:
            model, trainer = load_model(checkpoint.path), make_trainer(self.spec.accelerator, "1")
            for split in missing:
                found = self._run(trainer, model, split)
                require_finite(found, checkpoint.path)
                self._outputs[checkpoint.path, split] = found
        return [self._outputs[checkpoint.path, split] for split in splits]

    def _run(self, trainer: pl.Trainer, model: FaceModel, split: Split) -> Tensor:
        spec = self.spec
        data = FaceData(root=spec.root, batch_size=spec.batch_size, tta=spec.tta, predict_split=split)
        parts: Any = trainer.predict(model, datamodule=data)
        rows, outputs = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return outputs[rows.argsort()]

    def said(self, pair: Pair, splits: Sequence[Split]) -> list[Said]:
        """Ask both networks of a pair about every row of splits."""
        faces, emotions = self.outputs(pair.face, splits), self.outputs(pair.emotion, splits)
        return [
            Said(
                face_probabilities(face, pair.face, self.labels),
                emotion_probabilities(emotion, pair.emotion, self.labels),
            )
            for face, emotion in zip(faces, emotions, strict=True)
        ]


def evaluate_cascade(networks: Networks, spec: CascadeSpec) -> Evaluated:
    """Run the networks over a split, and over the one that thresholds are chosen on.

    Raises:
        UsageError: The device is not there.
        EyelineError: A split lacks faces or non-faces, or a crop is missing.
    """
    chosen = {"--split": spec.split} | ({"--threshold": spec.threshold} if isinstance(spec.threshold, str) else {})
    truths = [read_truth(spec.root, split, networks.labels, flag) for flag, split in chosen.items()]
    runner, splits = Runner(spec, networks.labels), list(chosen.values())
    said, thresholds = [], []
    for pair in networks.pairs:
        here, *other = (
            found.take(truth.places) for found, truth in zip(runner.said(pair, splits), truths, strict=True)
        )
        said.append(here)
        thresholds.append(_threshold(spec, other, truths[1:]))
    return Evaluated(networks, spec, truths[0], tuple(said), tuple(thresholds))


def _threshold(spec: CascadeSpec, said: Sequence[Said], truths: Sequence[Truth]) -> float:
    if not isinstance(spec.threshold, str):
        return spec.threshold
    (other,), (truth,) = said, truths
    return best_threshold(other.take(truth.answered), truth.true[truth.answered])


def face_ids_of(root: Path, split: Split) -> tuple[list[str], list[str]]:
    """List the faces of a split and their crops, relative to the set, in the manifest's order.

    Raises:
        EyelineError: It has none.
    """
    rows = select(read_rows(root), root, split, None)
    if not len(rows):
        raise EyelineError(
            f"{root}/manifest.parquet: expected {split} rows (found none that were kept); choose another --split"
        )
    return list(rows.face_ids), [path.relative_to(root).as_posix() for path in rows.paths]
