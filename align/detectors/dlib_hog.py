"""dlib's frontal face detector: HOG features and a linear classifier, 80-px window (King 2009, JMLR 10)."""

from collections.abc import Sequence
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from ..detect import require_cpu
from ..ladder import Reach


class Hog:
    """dlib's HOG detector; it carries its model compiled in."""

    name = "hog"
    colour = False
    # the classifier's window has 80 pixels; heads that lean by more than 30 degrees are mostly missed
    reach = Reach(window=96, sure_score=0.3, long_side=480, turns=(90, -90, 45, -45, 180), upright_score=1.0)

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`."""
        return [self._one(picture) for picture in pictures]

    def _one(self, luma: NDArray[np.uint8]) -> NDArray[np.float64]:
        found, scores, _ = self._detector.run(luma, 0, 0.0)
        rows = [
            (r.left() - 0.5, r.top() - 0.5, r.right() + 0.5, r.bottom() + 0.5, score)
            for r, score in zip(found, scores, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 5)


def open(device: str, models: Path | None) -> Hog:  # noqa: A001, ARG001  every adapter is opened by this name and so
    """Make the detector."""
    require_cpu("hog", device)
    return Hog()
