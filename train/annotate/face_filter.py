"""The first network of a cascade before the one that annotates: what it rejects is marked, and not answered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from align import Box, Eyes, Face, UsageError, align_face, encode, load_image
from curate import NO_DETECTOR, Align, Cut, Frame

from ..cascade import face_class, require_classes, require_finite
from ..checkpoints import load_model, read_checkpoint, resolve
from .alignment import alignment_of
from .answerer import Answerer


@dataclass(frozen=True)
class FaceFilter:
    """A network that tells faces from other things.

    Attributes:
        path: Of its checkpoint.
        answerer: Asks it.
        column: Of a face, in its answers.
        threshold: Least probability of a face that passes.
        spec: How its training faces were cropped; None takes the crops of the network that annotates.
    """

    path: Path
    answerer: Answerer
    column: int
    threshold: float
    spec: Align | None = None

    def crop(self, cut: Cut, frame: Frame) -> NDArray[np.uint8]:
        """Crop a face as the network knows faces; pictures that are crops already stay as they are."""
        assert cut.image is not None  # noqa: S101 - only such are shown to a network
        if self.spec is None or "eyes" not in cut.columns:
            return cut.image
        box = Box(*(cut.columns[name] for name in ("box_x", "box_y", "box_w", "box_h")))
        eyes = Eyes.from_array(np.reshape(cut.columns["eyes"], (2, 2)))
        face = Face(box, math.nan, cut.columns["detector"], turn_deg=cut.columns["turn_deg"], eyes=eyes)
        return as_stored(align_face(frame.rgb(), face, self.spec.crop_spec()).image, self.spec)

    def passes(self, crops: Sequence[NDArray[np.uint8]]) -> list[bool]:
        """Tell which crops, uint8 [H, W, 3], show a face.

        Raises:
            EyelineError: The network's answers are no numbers.
        """
        answers = self.answerer(crops)
        require_finite(torch.from_numpy(answers), self.path)
        return [bool(share >= self.threshold) for share in answers[:, self.column]]


def open_filter(paths: tuple[Path, Path], label: str | None, threshold: float, like: Answerer) -> FaceFilter:
    """Open the first network of a cascade.

    Args:
        paths: Of its checkpoint, and of the one that annotates.
        label: The class that passes; None is `face` of a network of two classes.
        threshold: Least probability of it that passes.
        like: Asks the network that annotates; this one runs as it does.

    Raises:
        UsageError: Both are one file, no class is a face, or the threshold is no probability.
        EyelineError: The file is no checkpoint of a network that tells classes.
    """
    if not 0 <= threshold <= 1:
        raise UsageError(f"--face_threshold must be a probability from 0 to 1 (got {threshold})")
    face, annotating = resolve(str(paths[0]), Path(), "--face"), paths[1]
    if face.samefile(annotating):
        raise UsageError(f"--face and --ckpt: expected two checkpoints (got {face} for both); leave --face out")
    checkpoint = require_classes(read_checkpoint(face), "--face")
    name = face_class(checkpoint, label)
    kept = checkpoint.alignment
    spec = alignment_of(kept, {}, checkpoint.path) if kept and kept.get("detector") != NO_DETECTOR else None
    answerer = like.with_model(load_model(checkpoint.path))
    return FaceFilter(face, answerer, checkpoint.tasks.classes.index(name), threshold, spec)


def as_stored(image: NDArray[np.uint8], spec: Align) -> NDArray[np.uint8]:
    """Give a crop as the set's files have it: those of `jpg` and `webp` lost a little."""
    return image if spec.format == "png" else load_image(encode(image, f".{spec.format}"))
