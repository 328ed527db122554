"""Two eyes -> the similarity that puts them on a template, and its inverse; refuses with a reason, never guesses."""

import numpy as np
from numpy.typing import NDArray

from .errors import EyelineError
from .face import Eyes, Face

MIN_INTEROCULAR_PER_BOX = 0.22
"""Eyes closer than this share of the box's width belong to a profile: its eye line says nothing of the roll."""

MAX_INTEROCULAR_PER_BOX = 0.85
"""Eyes wider apart than this share of the box cannot be those of the face in it."""


class AlignmentRefusedError(EyelineError):
    """Say why a face cannot be aligned by its eye line; `reason` is the short name that a record keeps."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def require_alignable(face: Face) -> Eyes:
    """Give the eyes of a face whose eye line can be trusted.

    Raises:
        AlignmentRefusedError: There are no eyes, or they are too close together or too far apart for the box.
    """
    if face.eyes is None:
        raise AlignmentRefusedError("face: expected eyes (found none); run a landmarker first", "profile")
    share = face.eyes.interocular_px / face.box.w
    if not MIN_INTEROCULAR_PER_BOX <= share <= MAX_INTEROCULAR_PER_BOX:
        raise AlignmentRefusedError(
            f"face: expected eyes {MIN_INTEROCULAR_PER_BOX} to {MAX_INTEROCULAR_PER_BOX} box widths apart "
            f"(found {share:.2f}): a profile or a false detection",
            "profile",
        )
    return face.eyes


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the rotation, scale and shift that move two points exactly onto two others.

    Args:
        source: float64 [2, 2], two points, x and y.
        target: float64 [2, 2], where they go.

    Returns:
        float64 [2, 3], source -> target.

    Raises:
        ValueError: The two source points are one.
    """
    a, b = (complex(*row) for row in source)
    c, d = (complex(*row) for row in target)
    if a == b:
        raise ValueError(f"similarity needs two different points (got {source.tolist()})")
    turn = (d - c) / (b - a)
    shift = c - turn * a
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert an affine matrix, float64 [2, 3]."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.hstack([inverse, -inverse @ matrix[:, 2:]])


def transform_points(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points, float64 [N, 2], by an affine matrix, float64 [2, 3]."""
    return points @ matrix[:, :2].T + matrix[:, 2]
