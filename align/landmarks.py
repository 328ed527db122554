"""Landmarkers behind one protocol, and the passes that make their eye line exact."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from .crop import warp
from .detect import open_adapter
from .eyeline import invert, transform_points
from .face import Box, Eyes, Face

LANDMARKERS = {"dlib5": "dlib5"}
"""Name of each landmarker -> its module in `align.landmarkers`."""

FACE_PX = 224
"""The width to which a face is brought before its points are found, whatever its size in the picture."""

MARGIN = 0.25
"""What is shown around the box, in box widths, so that points beyond it can be found."""

PASSES = 2
"""Find the points, turn the face by its roll, find them again."""


class Landmarker(Protocol):
    """Finds the points of one face of known place and size."""

    scheme: str

    def points(self, luma: NDArray[np.uint8], box: Box) -> NDArray[np.float64]:
        """Find the points of the upright face in `box`: uint8 [H, W] -> float64 [N, 2], x and y."""
        ...

    def eyes(self, points: NDArray[np.float64]) -> Eyes:
        """Take the two eye centres from the points."""
        ...


@lru_cache(maxsize=8)
def open_landmarker(name: str) -> Landmarker:
    """Open a landmarker by name, once a process.

    Raises:
        UsageError: There is no such landmarker.
        ModelError: Its model file is missing or wrong.
    """
    landmarker: Landmarker = open_adapter("landmarks", "landmarkers", name, LANDMARKERS)
    return landmarker


def locate(luma: NDArray[np.uint8], face: Face, landmarker: Landmarker, passes: int = PASSES) -> Face:
    """Find a face's points and eyes on an enlarged, derotated view of it.

    Regression trees are trained on upright faces of one size: seen enlarged to `FACE_PX`, and the second time
    turned upright by the roll of the first, their eye line is right to a fraction of a degree up to 30 degrees
    of roll and down to faces of 40 pixels, where one shot on the picture itself is off by more than a degree.

    Args:
        luma: uint8 [H, W], the whole picture.
        face: A detector's face.
        landmarker: Gives the points.
        passes: How often the points are found.

    Returns:
        The face with `eyes`, `landmarks` and `landmark_scheme`, in source pixels.
    """
    roll_deg = 0.0
    points = np.empty((0, 2))
    for _ in range(passes):
        matrix, view, box = _view(luma, face.box, roll_deg)
        points = transform_points(invert(matrix), landmarker.points(view, box))
        roll_deg = landmarker.eyes(points).roll_deg
    return replace(face, eyes=landmarker.eyes(points), landmarks=points, landmark_scheme=landmarker.scheme)


def _view(luma: NDArray[np.uint8], box: Box, roll_deg: float) -> tuple[NDArray[np.float64], NDArray[np.uint8], Box]:
    """Show the box turned upright by `roll_deg` and `FACE_PX` wide: matrix source -> view, the view, the box in it."""
    scale = FACE_PX / math.sqrt(box.area)
    side = round(FACE_PX * (1 + 2 * MARGIN))
    matrix = cv2.getRotationMatrix2D(box.center, roll_deg, scale)
    matrix[:, 2] += (side - 1) / 2 - np.asarray(box.center)
    width, height = box.w * scale, box.h * scale
    placed = Box((side - 1 - width) / 2, (side - 1 - height) / 2, width, height)
    return matrix, warp(luma, matrix, (side, side)), placed
