"""A picture in, its faces with eyes and landmarks out."""

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .colour import as_colour, require_picture
from .detect import Detector, open_detector
from .errors import UsageError
from .face import Face
from .ladder import Search
from .landmarks import Landmarker, locate, open_landmarker

Choice = Literal["largest", "central", "all"]
"""Which faces of a picture are taken: the one with the largest box, the one nearest the middle, or all."""


def find_faces(
    image: NDArray[np.uint8],
    detector: str | Detector = "hog",
    landmarks: str | Landmarker = "dlib5",
    search: Search | None = None,
) -> list[Face]:
    """Find the faces of a picture with their eyes and landmarks.

    Args:
        image: uint8 [H, W, 3], RGB, or [H, W], luma. dlib's models see the luma alone; the others make do with it.
        detector: A key of `DETECTORS`, for example `hog`, or an opened detector.
        landmarks: A key of `LANDMARKERS`, for example `dlib5`, or an opened landmarker.
        search: How hard to look; `Search()` when left out.

    Returns:
        The faces, best first, in source pixels; [] when there is none.

    Raises:
        UsageError: There is no such detector or landmarker, or the picture is not uint8 of those shapes.
        ModelError: A model file is missing or wrong.
    """
    require_picture(image)
    detector = open_detector(detector) if isinstance(detector, str) else detector
    landmarker = open_landmarker(landmarks) if isinstance(landmarks, str) else landmarks
    seen = as_colour(image, colour=landmarker.colour)
    return [locate(seen, face, landmarker) for face in detector.detect(image, search)]


def choose_faces(faces: list[Face], choice: Choice, height: int, width: int) -> list[Face]:
    """Take the faces that are wanted of a picture of `height` x `width`; all of them stand from left to right.

    Raises:
        UsageError: `choice` is none of `Choice`.
    """
    if choice not in get_args(Choice):
        raise UsageError(f"faces must be one of {', '.join(get_args(Choice))} (got {choice!r})")
    if not faces or choice == "all":
        return sorted(faces, key=lambda face: face.box.xyxy)
    if choice == "largest":
        return [max(faces, key=lambda face: face.box.area)]
    middle = (width - 1) / 2, (height - 1) / 2
    return [min(faces, key=lambda face: math.dist(face.box.center, middle))]
