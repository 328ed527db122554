"""SCRFD 2.5G (Guo et al. 2022, arXiv:2105.04714), of face-alignment, run by ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..ladder import Reach
from ..models import find_model
from ..torch_backend import as_rows, import_face_alignment

STRIDE = 32
"""The sides of what the network sees are multiples of this."""


class Scrfd:
    """SCRFD in ONNX Runtime."""

    name = "scrfd"
    colour = True
    reach = Reach(window=16, sure_score=0.8, max_side=1920)

    def __init__(self, device: str, models: Path | None) -> None:
        module = import_face_alignment(self.name, device, ".detection.scrfd")
        try:
            self._detector = module.FaceDetector(device, str(find_model("scrfd_2.5g_bnkps.onnx", models)))
        except ImportError as error:
            raise UsageError(f"scrfd needs ONNX Runtime ({error}); pip install onnxruntime") from None

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`.

        The network was trained on RGB; face-alignment swaps the channels of what it gets, so it gets them swapped. It
        is shown the picture at its own size, not in the 640 x 640 of face-alignment, on a border of zeros.
        """
        return [as_rows(self._detector.detect_from_image(self._framed(rgb)[:, :, ::-1])) for rgb in pictures]

    def _framed(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = rgb.shape[:2]
        right, below = -width % STRIDE, -height % STRIDE
        self._detector.input_size = (width + right, height + below)
        framed: NDArray[np.uint8] = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(127,) * 3)
        return framed


def open(device: str, models: Path | None) -> Scrfd:  # noqa: A001  every adapter is opened by this name
    """Load the detector from its verified file."""
    return Scrfd(device, models)
