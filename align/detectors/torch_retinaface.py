"""RetinaFace on MobileNet 0.25 (Deng et al. 2020, arXiv:1905.00641), of face-alignment."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..ladder import Reach
from ..models import find_model
from ..torch_backend import as_rows, import_face_alignment


class RetinaFace:
    """RetinaFace in torch."""

    name = "retinaface"
    colour = True
    reach = Reach(window=16, sure_score=0.9, max_side=1920)

    def __init__(self, device: str, models: Path | None) -> None:
        module = import_face_alignment(self.name, device, ".detection.retinaface")
        self._detector = module.FaceDetector(device, str(find_model("retinaface_mobilenet0.25.pth", models)))

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`.

        The weights were trained on BGR, with BGR means; face-alignment passes on what it gets.
        """
        return [as_rows(self._detector.detect_from_image(rgb[:, :, ::-1])) for rgb in pictures]


def open(device: str, models: Path | None) -> RetinaFace:  # noqa: A001  every adapter is opened by this name
    """Load the detector from its verified file."""
    return RetinaFace(device, models)
