"""Changes of scene: two successive frames that have next to nothing in common."""

import cv2
import numpy as np
from numpy.typing import NDArray

THUMB_PX = 32

MAX_CORRELATION = 0.45
"""Of two thumbnails, at the most, where the scene changed: cuts of edited film had -0.3 to 0.2, moving heads and people
who pass before the camera 0.5 and more, five frames apart as well."""

MAX_CORRELATION_IF_SUDDEN = 0.8
"""The same where the change comes suddenly: cuts between people in one room had 0.5 to 0.77."""

SUDDEN = 5.0
"""Times the change that was usual before."""

_MEMORY = 0.1  # share of the newest change in the usual one
_STILL = 0.5  # grey levels; a still picture's noise is no measure of suddenness

MIN_CHANGE = 10.0
"""Mean change in grey levels, at the least: noise on a flat picture does not correlate either."""

_FINE_ENOUGH = 64  # rows; down to so many a picture is halved, which is fast


def thumbnail(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Average uint8 [H, W] to float32 [32, 32]; the last few rows and columns may be left out."""
    while min(luma.shape) >= 2 * _FINE_ENOUGH:
        height, width = (side // 2 for side in luma.shape)
        luma = cv2.resize(luma[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    small: NDArray[np.float32] = cv2.resize(luma, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    return small


def is_cut(before: NDArray[np.float32], after: NDArray[np.float32], usual_change: float | None = None) -> bool:
    """Tell whether the scene changed between two thumbnails.

    Args:
        before: Of a frame.
        after: Of the next one.
        usual_change: Mean change from frame to frame before, in grey levels, where it is known. Far more than usual
            is a cut even where the two scenes are alike: another person in the same room.
    """
    change = _change(before, after)
    if change <= MIN_CHANGE:
        return False
    a, b = before - before.mean(), after - after.mean()
    correlation = float((a * b).sum()) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6)
    is_sudden = usual_change is not None and change > SUDDEN * usual_change
    return correlation < (MAX_CORRELATION_IF_SUDDEN if is_sudden else MAX_CORRELATION)


def _change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Give the mean change between two thumbnails in grey levels."""
    return float(np.abs(before - after).sum() / before.size)


class SceneWatch:
    """Tell the changes of scene of a video, frame by frame.

    Attributes:
        first: Thumbnail of the first frame; None before it.
        last: Thumbnail of the last frame so far.
    """

    def __init__(self) -> None:
        self.first: NDArray[np.float32] | None = None
        self.last: NDArray[np.float32] | None = None
        self._usual: float | None = None

    def is_new(self, small: NDArray[np.float32]) -> bool:
        """Whether the next frame, of which this is the thumbnail, begins a new scene."""
        before, self.last = self.last, small
        if before is None:
            self.first = small
            return False
        change = max(_change(before, small), _STILL)
        new = change > MIN_CHANGE and is_cut(before, small, self._usual)
        if new:
            self._usual = None
        else:
            self._usual = change if self._usual is None else self._usual + _MEMORY * (change - self._usual)
        return new
