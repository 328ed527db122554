"""dlib's face-recognition ResNet (King 2017) -> descriptors; two of one person are mostly less than 0.6 apart."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UsageError
from ..models import find_model
from .dlib_network import FEATURES, DlibFaceResNet

BATCH = 16
"""Chips that go through the network at once. It is always as many: the kernels that torch chooses, and with them the
last bits, depend on the number of chips, but not on their order."""


class DlibEmbedder:
    """The network with its weights, on one device."""

    name = "dlib_resnet"
    model_file = DlibFaceResNet.model_file
    side_px = DlibFaceResNet.side_px
    features = FEATURES

    def __init__(self, device: str, models: Path | None) -> None:
        try:
            self._device = torch.device(device)
            self._mean = torch.tensor(DlibFaceResNet.mean_rgb, device=self._device).view(1, 3, 1, 1)
        except (RuntimeError, AssertionError) as error:  # torch's own words for a device that it does not have
            raise UsageError(
                f"embedder {self.name}: expected a device that torch has (got {device!r}: "
                f"{str(error).splitlines()[0]}); use device cpu"
            ) from None
        net = DlibFaceResNet().load(find_model(self.model_file, models))
        self._net = net.eval().to(self._device).to(memory_format=torch.channels_last)

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe aligned faces.

        Args:
            chips: uint8 [N, 150, 150, 3], RGB, as `align.cut_chip` makes them.

        Returns:
            float32 [N, 128], about 1.5 long. One chip gives the same bits in any company.

        Raises:
            UsageError: `chips` is of another shape or type.
        """
        wanted = (self.side_px, self.side_px, 3)
        if chips.dtype != np.uint8 or chips.shape[1:] != wanted:
            raise UsageError(f"chips: expected uint8 [N, 150, 150, 3] (found {chips.dtype} {list(chips.shape)})")
        found = np.empty((len(chips), FEATURES), np.float32)
        batch = np.zeros((BATCH, *wanted), np.uint8)
        with torch.inference_mode():
            for start in range(0, len(chips), BATCH):
                part = chips[start : start + BATCH]
                batch[: len(part)] = part
                x = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2).float()
                x = ((x - self._mean) / DlibFaceResNet.std).contiguous(memory_format=torch.channels_last)
                found[start : start + BATCH] = self._net(x)[: len(part)].cpu().numpy()
        return found


def open(device: str, models: Path | None) -> DlibEmbedder:  # noqa: A001  every adapter is opened by this name
    """Load the network from its verified file."""
    return DlibEmbedder(device, models)
