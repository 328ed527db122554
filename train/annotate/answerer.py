"""Face crops in, what the model says about each out; the same numbers as `eyeline-train predict` gives for a set."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray

from align import UsageError

from ..module import FaceModel
from ..pack_build import fit_crop
from ..predict import to_values
from ..tta import average, tta_views
from .options import Options


def choose_device(name: str) -> torch.device:
    """Choose where the model runs: `auto` takes a GPU where there is one.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"--device must be auto, cpu, or a device of this machine (got {name!r}); take auto") from None
    return device


class Answerer:
    """A model, ready to be asked.

    Args:
        model: In evaluation mode; it is moved to the device.
        device: Where it runs.
        options: Batch size, precision and views.
    """

    def __init__(self, model: FaceModel, device: torch.device, options: Options) -> None:
        self.model = model.to(device).eval()
        self.model.backbone.net.to(memory_format=torch.channels_last)  # as in training
        self.tasks = model.tasks
        self._device = device
        self._options = options
        self._size_px = model.preprocess.size_px

    def with_model(self, model: FaceModel) -> "Answerer":
        """Ask another model in the same way."""
        return Answerer(model, self._device, self._options)

    def __call__(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Ask the model.

        Args:
            crops: uint8 [H, W, 3], RGB, aligned as the training faces, of any size.

        Returns:
            float32 [N, outputs]: probabilities, and valence and arousal, in the columns of the model's tasks.
        """
        if not crops:
            return np.empty((0, self.tasks.outputs), np.float32)
        step = self._options.batch_size
        parts = [self._batch(crops[first : first + step]) for first in range(0, len(crops), step)]
        return np.concatenate(parts)

    @torch.inference_mode()
    def _batch(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        pictures = np.stack([fit_crop(crop, self._size_px) for crop in crops])
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self._device, non_blocking=True)
        shown = tta_views(images, self._options.tta)
        with self._arithmetic():
            outputs = self.model(shown).float()
        views = len(shown) // len(crops)
        return np.asarray(to_values(average(outputs, self.tasks, views), self.tasks).cpu())

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self._options.precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)
