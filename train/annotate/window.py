"""Shows pictures in a window while they are made."""

from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from align import UsageError

from .sources import has_display

_TITLE = "eyeline-train annotate: q ends"
_END = frozenset({ord("q"), 27})  # 27: Esc


class Window:
    """A window; a context manager.

    Raises:
        UsageError: This OpenCV has no windows, or there is no display.
    """

    def __enter__(self) -> Self:
        if not has_display():
            raise UsageError("--show: expected a display (found none); leave it out, the video is written all the same")
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error:
            raise UsageError(
                "--show: expected an OpenCV with windows (found the headless one); pip install opencv-python, or leave "
                "--show out"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        cv2.destroyAllWindows()

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Show uint8 [H, W, 3], RGB; tell whether the user wants to see more."""
        cv2.imshow(_TITLE, picture[:, :, ::-1])
        return cv2.waitKey(1) & 0xFF not in _END and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1
