"""S3FD, the single-shot scale-invariant face detector (Zhang et al. 2017, arXiv:1708.05237), of face-alignment."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..ladder import Reach
from ..models import find_model
from ..torch_backend import as_batch, as_rows, import_face_alignment


class Sfd:
    """S3FD in torch; pictures of one size go through the network together."""

    name = "sfd"
    colour = True
    reach = Reach(window=16, sure_score=0.9, max_side=1280)

    def __init__(self, device: str, models: Path | None) -> None:
        module = import_face_alignment(self.name, device, ".detection.sfd")
        self._device = device
        self._detector = module.FaceDetector(device, str(find_model("s3fd-619a316812.pth", models)))

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`."""
        return [as_rows(found) for found in self._detector.detect_from_batch(as_batch(pictures, self._device))]


def open(device: str, models: Path | None) -> Sfd:  # noqa: A001  every adapter is opened by this name
    """Load the detector from its verified file."""
    return Sfd(device, models)
