"""Which way up a face is, asked of a detector that sees upright faces alone."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .colour import as_colour
from .crop import warp
from .face import Face

FACE_PX = 128
"""The width to which a face is brought for the question; the referee sees faces of 80 pixels and more."""

SIDE_PX = 224
"""The square that is shown of it."""

SURE_SCORE = 1.0
"""The referee's score above which a face is taken to stand as was said, without asking further."""

TURNS = (0, 90, -90, 180)


def upright(image: NDArray[np.uint8], face: Face) -> Face:
    """Set a face's `turn_deg` to the quarter turn at which dlib's HOG detector is surest that it stands upright.

    Convolutional detectors find lying and overhead heads without saying so, and a landmarker that takes them for
    upright puts the eyes anywhere. HOG sees no head that leans by more than some 45 degrees.

    Args:
        image: uint8 [H, W, 3], RGB, or [H, W], luma, the whole picture.
        face: A face of which only the box is known.

    Returns:
        The face with `turn_deg`; as it was where HOG sees no face at any turn.
    """
    luma = as_colour(image, colour=False)
    best, best_score = face.turn_deg, _score(luma, face, face.turn_deg)
    if best_score >= SURE_SCORE:
        return face
    for turn in TURNS:
        score = _score(luma, face, turn)
        if score > best_score:
            best, best_score = turn, score
    return replace(face, turn_deg=best)


def _score(luma: NDArray[np.uint8], face: Face, turn_deg: int) -> float:
    """Give HOG's surest score for the face turned upright by `turn_deg`; minus infinity where it sees none."""
    matrix = cv2.getRotationMatrix2D(face.box.center, turn_deg, FACE_PX / math.sqrt(face.box.area))
    matrix[:, 2] += (SIDE_PX - 1) / 2 - np.asarray(face.box.center)
    _, scores, _ = _referee().run(warp(luma, matrix, (SIDE_PX, SIDE_PX), quick=True), 0, 0.0)
    return max(scores, default=-math.inf)


@lru_cache(maxsize=1)
def _referee() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()
