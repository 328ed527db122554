"""FAN, the face alignment network (Bulat and Tzimiropoulos 2017, arXiv:1703.07332), in two dimensions, 68 points."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..face import Box
from ..hub import serve_to_torch_hub
from ..torch_backend import import_face_alignment

WEIGHTS = "2DFAN4-11f355bf06.pth.tar"
_ENLARGE = 2


class Fan:
    """FAN of face-alignment, which truncates points to whole pixels; so the view is enlarged for it."""

    scheme = "ibug68"
    colour = True

    def __init__(self, device: str, models: Path | None) -> None:
        package = import_face_alignment("fan", device)
        with serve_to_torch_hub([WEIGHTS], models):
            self._network = package.FaceAlignment(
                package.LandmarksType.TWO_D,
                device=device,
                flip_input=False,  # the mirror image is shown to every landmarker
                face_detector="folder",  # loads no detector: the boxes are ours
                compile=False,  # compiling needs a C++ compiler and 25 s
            )

    def points(self, view: NDArray[np.uint8], box: Box) -> NDArray[np.float64]:
        """Find the points of the face in `box`; see `Landmarker.points`."""
        larger = cv2.resize(view, None, fx=_ENLARGE, fy=_ENLARGE)
        shift = (_ENLARGE - 1) / 2  # pixel centres stand at whole numbers
        edges = [_ENLARGE * edge + shift for edge in box.xyxy]
        found = self._network.get_landmarks_from_image(larger, detected_faces=[edges])
        points: NDArray[np.float64] = (np.asarray(found[0], dtype=np.float64) - shift) / _ENLARGE
        return points


def open(device: str, models: Path | None) -> Fan:  # noqa: A001  every adapter is opened by this name
    """Load the network from its verified file."""
    return Fan(device, models)
