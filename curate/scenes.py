"""Changes of scene: two successive frames that have next to nothing in common."""

import cv2
import numpy as np
from numpy.typing import NDArray

THUMB_PX = 32

MAX_CORRELATION = 0.45
"""Of two thumbnails, at the most, where the scene changed: cuts of edited film had -0.3 to 0.2, moving heads and people
who pass before the camera 0.5 and more, five frames apart as well."""

MIN_CHANGE = 10.0
"""Mean change in grey levels, at the least: noise on a flat picture does not correlate either."""

_FINE_ENOUGH = 64  # rows; so many are made by a shrinking of whole pixels, which is fast


def thumbnail(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average uint8 [H, W] to float32 [32, 32]; the last few rows and columns may be left out."""
    step = max(1, min(luma.shape) // _FINE_ENOUGH)
    height, width = (side // step for side in luma.shape)
    if step > 1:
        luma = cv2.resize(luma[: height * step, : width * step], (width, height), interpolation=cv2.INTER_AREA)
    small: NDArray[np.float32] = cv2.resize(luma, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    return small


def is_cut(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Tell whether the scene changed between two thumbnails."""
    a, b = before, after
    if float(np.abs(a - b).mean()) <= MIN_CHANGE:
        return False
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum()) < MAX_CORRELATION * float(np.linalg.norm(a) * np.linalg.norm(b))
