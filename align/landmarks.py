"""Landmarkers behind one protocol, and the passes that make their eye line exact."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from .colour import as_colour
from .crop import warp
from .detect import open_adapter
from .eyeline import invert, similarity, transform_points
from .face import Box, Eyes, Face
from .schemes import SCHEMES

LANDMARKERS = {"dlib5": "dlib5", "dlib68": "dlib68", "fan": "fan"}
"""Name of each landmarker -> its module in `align.landmarkers`."""

ROUGH_PX = 160
"""The width to which a face is brought before its points are found, whatever its size in the picture."""

FINE_PX = 240
"""The same in the last pass: on larger views eye lines get no better, below 190 pixels they get worse."""

MARGIN = 0.25
"""What is shown around the box, in box widths, so that points beyond it can be found."""

STEEP_DEG = 30.0
"""Beyond this roll the first pass is too far off for one more to mend."""

CORNERS_IN_BOX = np.array(
    [(0.7947, 0.2975), (0.6238, 0.3038), (0.2042, 0.2975), (0.3752, 0.3038), (0.4995, 0.6014)], dtype=np.float64
)
"""Where a box of dlib's HOG detector has the four eye corners and the base of the nose, as shares of its side: the mean
over the neutral photos of the Face Research Lab London Set and 40 of its Canadian sister, made symmetric."""


Through = Callable[[NDArray[np.uint8], NDArray[np.float64], int, Box], NDArray[np.float64]]
"""Picture, float64 [2, 3] that leads from a square view to it, the view's side, the face's box in the view -> float64
[2, N, 2], the points in the view and those in its mirror image."""


class Landmarker(Protocol):
    """Finds the points of one upright face of known place and size.

    One that reads few pixels of a view may also have a method `points_through`, a `Through`: it finds the points in a
    view that enlarges a grey picture bilinearly, and in its mirror image, without that either is made.

    Attributes:
        scheme: A key of `SCHEMES`.
        colour: Whether it wants RGB; else it is given luma.
    """

    scheme: str
    colour: bool

    def points(self, view: NDArray[np.uint8], box: Box) -> NDArray[np.float64]:
        """Find the points of the face in the square `box` of a view: float64 [N, 2], x and y."""
        ...


@lru_cache(maxsize=8)
def open_landmarker(name: str, device: str = "cpu", models: Path | None = None) -> Landmarker:
    """Open a landmarker by name, once a process.

    Args:
        name: A key of `LANDMARKERS`.
        device: Where a network runs, for example `cuda`.
        models: A model file, or a folder with model files, that is looked at first; see `find_model`.

    Raises:
        UsageError: There is no such landmarker, it needs a package that is not installed, or cannot run on `device`.
        ModelError: Its model file is missing or wrong.
    """
    landmarker: Landmarker = open_adapter("landmarks", "landmarkers", name, LANDMARKERS).open(
        device, models and Path(models)
    )
    return landmarker


def locate(image: NDArray[np.uint8], face: Face, landmarker: Landmarker, passes: int | None = None) -> Face:
    """Find a face's points and eyes on an enlarged, derotated view of it.

    Regression trees are trained on upright faces of one size, in boxes of one detector. So the points are found
    twice: on the detector's box, enlarged to `ROUGH_PX`; then on the box that these points imply, turned upright by
    their roll and enlarged to `FINE_PX`, where the points of the view and of its mirror image are averaged. A face that
    leans by more than `STEEP_DEG` gets another rough pass between. The middle of an eye's corners is its centre: the
    corners stay where they are when the lids move.

    Args:
        image: uint8 [H, W, 3], RGB, or [H, W], luma, the whole picture.
        face: A detector's face.
        landmarker: Gives the points.
        passes: How often the points are found; as said above when left out.

    Returns:
        The face with `eyes`, `landmarks` and `landmark_scheme`, in source pixels.
    """
    picture = as_colour(image, colour=landmarker.colour)
    scheme = SCHEMES[landmarker.scheme]
    box, roll_deg = _square(face.box), float(face.turn_deg)
    left = (passes or 2) - 1
    while left > 0:
        points = _points(picture, landmarker, (box, roll_deg, ROUGH_PX), mirrored=False)
        corners = scheme.corner_points(points)
        before, box, roll_deg = roll_deg, _implied_box(corners), _eyes(corners).roll_deg
        is_steep = passes is None and abs(math.remainder(roll_deg - before, 360)) > STEEP_DEG
        passes = passes or 3  # at most one pass more
        left += int(is_steep) - 1
    points = _points(picture, landmarker, (box, roll_deg, FINE_PX), mirrored=True)
    eyes = _eyes(scheme.corner_points(points))
    return replace(face, eyes=eyes, landmarks=points, landmark_scheme=landmarker.scheme)


def follow(image: NDArray[np.uint8], face: Face, landmarker: Landmarker) -> Face:
    """Find a face again in the next picture of a video, from where its points were; a fifth of a search's cost.

    The last pass of `locate` alone, on the box that the earlier points imply. The box moves and grows as they do.
    Points are found whether or not a face is there: the caller has to judge.

    Args:
        image: uint8 [H, W, 3], RGB, or [H, W], luma, of the size of the picture in which `face` was found.
        face: A face that `locate` or `follow` gave.
        landmarker: The one that found its points.

    Returns:
        The face with its new box, eyes and landmarks; its `score` is NaN, for no detector saw it.

    Raises:
        ValueError: The face has no landmarks.
    """
    if face.landmarks is None:
        raise ValueError("face: expected landmarks (found none); run locate first")
    scheme = SCHEMES[landmarker.scheme]
    corners = scheme.corner_points(face.landmarks)
    before, roll_deg = _implied_box(corners), _eyes(corners).roll_deg
    picture = as_colour(image, colour=landmarker.colour)
    points = _points(picture, landmarker, (before, roll_deg, FINE_PX), mirrored=True)
    found = scheme.corner_points(points)
    after = _implied_box(found)
    growth = after.w / before.w
    (from_x, from_y), (to_x, to_y) = before.center, after.center
    left, top = to_x + growth * (face.box.x - from_x), to_y + growth * (face.box.y - from_y)
    box = Box(left, top, growth * face.box.w, growth * face.box.h)
    return replace(face, box=box, score=math.nan, eyes=_eyes(found), landmarks=points)


def _eyes(corners: NDArray[np.float64]) -> Eyes:
    outer_right, inner_right, outer_left, inner_left, _ = corners.tolist()
    return Eyes(_middle(outer_left, inner_left), _middle(outer_right, inner_right))


def _middle(a: list[float], b: list[float]) -> tuple[float, float]:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _square(box: Box) -> Box:
    """Give the square of the box's area about its middle."""
    side = math.sqrt(box.area)
    x, y = box.center
    return Box(x - side / 2, y - side / 2, side, side)


def _implied_box(corners: NDArray[np.float64]) -> Box:
    """Give the box that the five points would have been found in."""
    (a, b, x), (c, d, y) = similarity(CORNERS_IN_BOX, corners).tolist()
    side = math.hypot(a, c)
    middle_x, middle_y = (a + b) / 2 + x, (c + d) / 2 + y
    return Box(middle_x - side / 2, middle_y - side / 2, side, side)


def _points(
    picture: NDArray[np.uint8], landmarker: Landmarker, where: tuple[Box, float, int], *, mirrored: bool
) -> NDArray[np.float64]:
    """Find the points on a view of the box turned upright by a roll and brought to a width, in source pixels."""
    box, roll_deg, width = where
    side = round(width * (1 + 2 * MARGIN))
    matrix = cv2.getRotationMatrix2D(box.center, roll_deg, width / box.w)
    matrix[:, 2] += [(side - 1) / 2 - place for place in box.center]
    inverse = invert(matrix)
    placed = Box((side - 1 - width) / 2, (side - 1 - width) / 2, width, width)
    through: Through | None = getattr(landmarker, "points_through", None)
    if mirrored and width >= box.w and through is not None:
        points, seen = through(picture, inverse, side, placed)
    else:
        view = warp(picture, matrix, (side, side), quick=True)
        points = landmarker.points(view, placed)
        seen = landmarker.points(cv2.flip(view, 1), placed) if mirrored else points
    if mirrored:
        seen = seen[list(SCHEMES[landmarker.scheme].mirror)]
        seen[:, 0] = side - 1 - seen[:, 0]
        points = (points + seen) / 2
    return transform_points(inverse, points)
