"""dlib's 5-point shape predictor: the corners of both eyes and the base of the nose (Kazemi and Sullivan 2014)."""

from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from ..detect import require_cpu
from ..face import Box
from ..models import find_model


class ShapePredictor:
    """A shape predictor of dlib's: an ensemble of regression trees, which gives whole pixels."""

    colour = False

    def __init__(self, path: Path, scheme: str) -> None:
        self.scheme = scheme
        self._predictor = dlib.shape_predictor(str(path))

    def points(self, view: NDArray[np.uint8], box: Box) -> NDArray[np.float64]:
        """Find the points of the face in `box`; see `Landmarker.points`."""
        left, top, right, bottom = (round(edge) for edge in box.xyxy)
        shape = self._predictor(view, dlib.rectangle(left, top, right, bottom))
        return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64)


def open(device: str, models: Path | None) -> ShapePredictor:  # noqa: A001  every adapter is opened by this name
    """Load the predictor from its verified file."""
    require_cpu("dlib5", device)
    return ShapePredictor(find_model("shape_predictor_5_face_landmarks.dat", models), "dlib5")
