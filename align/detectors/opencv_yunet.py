"""YuNet, a small convolutional detector (Wu, Peng and Yu 2023, doi 10.1007/s11633-023-1423-y), run by OpenCV."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..detect import require_cpu
from ..ladder import Reach
from ..models import find_model

MIN_SCORE = 0.6
"""Surer than a coin, by the detector's own measure; its authors' demo uses 0.9 and 0.6."""

NMS_IOU = 0.3


class YuNet:
    """YuNet; its own key points are not used: they miss most of a small face's roll."""

    name = "yunet"
    colour = True
    reach = Reach(window=32, sure_score=0.85, turns=(90, -90, 45, -45, 180))

    def __init__(self, path: Path) -> None:
        self._detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), MIN_SCORE, NMS_IOU)

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`."""
        return [self._one(picture) for picture in pictures]

    def _one(self, rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        self._detector.setInputSize((rgb.shape[1], rgb.shape[0]))
        found = self._detector.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
        if found is None:
            return np.empty((0, 5))
        rows = found.astype(np.float64)
        return np.column_stack([rows[:, :2] - 0.5, rows[:, :2] + rows[:, 2:4] - 0.5, rows[:, 14]])


def open(device: str, models: Path | None) -> YuNet:  # noqa: A001  every adapter is opened by this name
    """Load the detector from its verified file."""
    require_cpu("yunet", device)
    return YuNet(find_model("face_detection_yunet_2023mar.onnx", models))
