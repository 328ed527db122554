"""dlib's 5-point shape predictor: the corners of both eyes and the base of the nose (Kazemi and Sullivan 2014)."""

import dlib
import numpy as np
from numpy.typing import NDArray

from ..face import Box, Eyes
from ..models import find_model


class Dlib5:
    """The 5-point predictor; its first two points belong to the eye at the image's right."""

    scheme = "dlib5"

    def __init__(self) -> None:
        self._predictor = dlib.shape_predictor(str(find_model("shape_predictor_5_face_landmarks.dat")))

    def points(self, luma: NDArray[np.uint8], box: Box) -> NDArray[np.float64]:
        """Find the points of the upright face in `box`; see `Landmarker.points`."""
        left, top, right, bottom = (round(edge) for edge in box.xyxy)
        shape = self._predictor(luma, dlib.rectangle(left, top, right, bottom))
        return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64)

    def eyes(self, points: NDArray[np.float64]) -> Eyes:
        """Take the middle of each eye's corners."""
        return Eyes.from_array(np.stack([points[2:4].mean(axis=0), points[0:2].mean(axis=0)]))


def open() -> Dlib5:  # noqa: A001  every adapter is opened by this name
    """Load the predictor from its verified file."""
    return Dlib5()
