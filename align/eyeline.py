"""Two eyes -> the similarity that puts them on a template, and its inverse; refuses with a reason, never guesses."""

import numpy as np
from numpy.typing import NDArray

from .errors import EyelineError
from .face import Eyes, Face

MIN_INTEROCULAR_PER_BOX = 0.22
"""Eyes closer than this share of the box's width belong to a profile: its eye line says nothing of the roll."""

MAX_INTEROCULAR_PER_BOX = 0.85
"""Eyes wider apart than this share of the box cannot be those of the face in it."""

MAX_YAW_DEG = 55.0
"""Beyond this yaw the base of the nose stands outside the eyes, and the far eye is hidden."""


class AlignmentRefusedError(EyelineError):
    """Say why a face cannot be aligned by its eye line; `reason` is the short name that a record keeps."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def require_alignable(face: Face) -> Eyes:
    """Give the eyes of a face whose eye line can be trusted.

    Raises:
        AlignmentRefusedError: There are no eyes; they are too close together, or the nose too far to one side, as in a
            profile; or they are too far apart for the box, or above one another's nose: no face looks so.
    """
    if face.eyes is None:
        raise AlignmentRefusedError("face: expected eyes (found none); run a landmarker first", "no_eyes")
    width = face.box.h if abs(face.turn_deg) == 90 else face.box.w
    share = face.eyes.interocular_px / width
    if share > MAX_INTEROCULAR_PER_BOX:
        raise AlignmentRefusedError(
            f"face: expected eyes at most {MAX_INTEROCULAR_PER_BOX} box widths apart (found {share:.2f}): no face",
            "implausible",
        )
    drop = face.nose_drop
    if drop is not None and drop <= 0:
        raise AlignmentRefusedError(
            f"face: expected the nose below the eyes (found it {-drop:.2f} eye distances above): no face",
            "implausible",
        )
    yaw_deg = face.yaw_deg or 0.0
    if share < MIN_INTEROCULAR_PER_BOX or abs(yaw_deg) > MAX_YAW_DEG:
        raise AlignmentRefusedError(
            f"face: expected eyes at least {MIN_INTEROCULAR_PER_BOX} box widths apart and at most {MAX_YAW_DEG:g} "
            f"degrees of yaw (found {share:.2f} and {yaw_deg:.0f}): a profile",
            "profile",
        )
    return face.eyes


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the rotation, scale and shift that bring points nearest to others; two points exactly.

    The sum of squared distances is least; a mirror image is never taken (Umeyama 1991, for two dimensions). In plain
    numbers: of so few points numpy is slow.

    Args:
        source: float64 [N, 2], two points or more, x and y.
        target: float64 [N, 2], where they go.

    Returns:
        float64 [2, 3], source -> target.

    Raises:
        ValueError: The source points are one.
    """
    pairs = list(zip(source.tolist(), target.tolist(), strict=True))
    mean_x = mean_y = mean_u = mean_v = 0.0
    for (x, y), (u, v) in pairs:
        mean_x += x
        mean_y += y
        mean_u += u
        mean_v += v
    mean_x, mean_y, mean_u, mean_v = (total / len(pairs) for total in (mean_x, mean_y, mean_u, mean_v))
    along = across = spread = 0.0
    for (x, y), (u, v) in pairs:
        dx, dy, du, dv = x - mean_x, y - mean_y, u - mean_u, v - mean_v
        along += dx * du + dy * dv
        across += dx * dv - dy * du
        spread += dx * dx + dy * dy
    if not spread > 0:
        raise ValueError(f"similarity needs two different points (got {source.tolist()})")
    cos, sin = along / spread, across / spread
    shift_x, shift_y = mean_u - (cos * mean_x - sin * mean_y), mean_v - (cos * mean_y + sin * mean_x)
    return np.array([[cos, -sin, shift_x], [sin, cos, shift_y]])


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert an affine matrix, float64 [2, 3]."""
    (a, b, x), (c, d, y) = matrix.tolist()
    scale = a * d - b * c
    if scale == 0:
        raise np.linalg.LinAlgError("the matrix has no inverse")
    a, b, c, d = d / scale, -b / scale, -c / scale, a / scale
    return np.array([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)]])


def transform_points(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points, float64 [N, 2], by an affine matrix, float64 [2, 3]."""
    return points @ matrix[:, :2].T + matrix[:, 2]
