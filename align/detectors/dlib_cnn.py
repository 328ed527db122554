"""dlib's convolutional face detector, trained by max-margin object detection (King 2015, arXiv:1502.00046)."""

from collections.abc import Sequence
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from ..detect import require_cpu
from ..ladder import Reach
from ..models import find_model

BATCH = 8
"""Pictures that the network sees at once."""


class Cnn:
    """dlib's mmod detector; on the GPU where dlib was built with CUDA, which it then uses by itself."""

    name = "cnn"
    colour = True
    reach = Reach(window=64, sure_score=0.5, long_side=480, max_side=1280, turns=(180,))

    def __init__(self, path: Path) -> None:
        self._detector = dlib.cnn_face_detection_model_v1(str(path))

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`."""
        found = self._detector(list(pictures), 0, BATCH)
        return [np.array([_row(hit) for hit in hits], dtype=np.float64).reshape(-1, 5) for hits in found]


def _row(hit: "dlib.mmod_rectangle") -> tuple[float, ...]:
    r = hit.rect
    return r.left() - 0.5, r.top() - 0.5, r.right() + 0.5, r.bottom() + 0.5, hit.confidence


def open(device: str, models: Path | None) -> Cnn:  # noqa: A001  every adapter is opened by this name
    """Load the detector from its verified file."""
    if device != "cuda" or not dlib.DLIB_USE_CUDA:
        require_cpu("cnn (this build of dlib)", device)
    return Cnn(find_model("mmod_human_face_detector.dat", models))
