"""The boosted cascade of Haar features (Viola and Jones 2001; Lienhart and Maydt 2002) that OpenCV ships."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import cv2.data
import numpy as np
from numpy.typing import NDArray

from ..detect import require_cpu
from ..errors import ModelError
from ..ladder import Reach

CASCADE = "haarcascade_frontalface_default.xml"

SCALE_STEP = 1.1
NEIGHBOURS = 5
"""A face is believed where this many windows agree; OpenCV's default of 3 gives many false ones."""


class Haar:
    """OpenCV's frontal face cascade; the score is the weight of the last stage.

    It sees upright heads, and by the turned views lying and overhead ones; those that lean are missed.
    """

    name = "haar"
    colour = False
    reach = Reach(window=30, sure_score=5.0)

    def __init__(self) -> None:
        path = Path(cv2.data.haarcascades) / CASCADE
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise ModelError(f"{path}: expected OpenCV's face cascade (found none); install opencv-python-headless<5")

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`."""
        return [self._one(picture) for picture in pictures]

    def _one(self, luma: NDArray[np.uint8]) -> NDArray[np.float64]:
        found, _, weights = self._cascade.detectMultiScale3(luma, SCALE_STEP, NEIGHBOURS, outputRejectLevels=True)
        if len(found) == 0:
            return np.empty((0, 5))
        rows = np.asarray(found, dtype=np.float64)
        return np.column_stack([rows[:, :2] - 0.5, rows[:, :2] + rows[:, 2:] - 0.5, np.ravel(weights)])


def open(device: str, models: Path | None) -> Haar:  # noqa: A001, ARG001  every adapter is opened by this name and so
    """Load the cascade that OpenCV ships."""
    require_cpu("haar", device)
    return Haar()
