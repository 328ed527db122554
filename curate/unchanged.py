"""Which frames show nothing new: thumbnails of the whole frame, and of the surroundings of each face."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from align import Box

from .scenes import thumbnail

FACE_MARGIN = 0.3
"""What the grid over a face shows around its box, in box widths."""


class ChangeGate:
    """Tell whether a frame differs from the last one that was looked at.

    A signature of the whole frame alone is a poor reason to skip it: an eyelid is lost in it. So the luma around
    each face of the last frame that was looked at is compared at a finer grain as well. The comparison is with
    that frame, not with the one before, so that slow change adds up until it counts.
    """

    def __init__(self, threshold: float | None) -> None:
        self._threshold = threshold
        self._boxes: list[Box] = []
        self._last: list[NDArray[np.float32]] | None = None

    def is_unchanged(self, luma: NDArray[np.uint8], small: NDArray[np.float32]) -> bool:
        """Whether no cell's mean luma moved by more than the threshold, in grey levels.

        Args:
            luma: uint8 [H, W].
            small: Its thumbnail.
        """
        if self._threshold is None or self._last is None:
            return False
        now = _signature(luma, small, self._boxes)
        threshold = self._threshold
        return all(
            a.shape == b.shape and float(np.abs(a - b).max()) <= threshold for a, b in zip(now, self._last, strict=True)
        )

    def looked_at(self, luma: NDArray[np.uint8], small: NDArray[np.float32], boxes: Sequence[Box]) -> None:
        """Remember the frame that was looked at and the faces that were found in it."""
        if self._threshold is not None:
            self._boxes = list(boxes)
            self._last = _signature(luma, small, self._boxes)


def _signature(luma: NDArray[np.uint8], small: NDArray[np.float32], boxes: Sequence[Box]) -> list[NDArray[np.float32]]:
    return [small, *(thumbnail(_around(luma, box)) for box in boxes)]


def _around(luma: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut out a box with its margin, as far as the frame goes; at least one pixel."""
    height, width = luma.shape
    margin = FACE_MARGIN * box.w
    left, top, right, bottom = box.xyxy
    x0 = int(np.clip(left - margin, 0, width - 1))
    y0 = int(np.clip(top - margin, 0, height - 1))
    x1 = int(np.clip(right + margin, x0 + 1, width))
    y1 = int(np.clip(bottom + margin, y0 + 1, height))
    return luma[y0:y1, x0:x1]
