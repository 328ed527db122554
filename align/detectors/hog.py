"""dlib's frontal face detector: HOG features and a linear classifier, 80-px window (King 2009, JMLR 10)."""

from collections.abc import Iterator

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from ..face import Box, Face

LONG_SIDE = 640
"""The long side that a picture is brought to on the first rung, enlarged at most twice."""

PADDING = 0.25
"""On the last rung, which looks for faces that fill the picture, the border added on each side, in long sides."""


class HogDetector:
    """dlib's HOG on a ladder of scales; the first rung that finds a face ends the search.

    The classifier sees no face under 80 pixels and misses those that reach the border. The rungs therefore are:
    the picture at a long side of 640 (small pictures enlarged up to twice), the same enlarged twice, and the same
    at half the size inside a replicated border. `Face.scale` tells which rung hit.
    """

    name = "hog"

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Find faces, best first; see `Detector.detect`."""
        luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        for scale, padding in _ladder(*luma.shape):
            faces = self._at_scale(luma, scale, padding)
            if faces:
                return faces
        return []

    def _at_scale(self, luma: NDArray[np.uint8], scale: float, padding: int) -> list[Face]:
        height, width = luma.shape
        size = max(1, round(width * scale)), max(1, round(height * scale))
        resized = luma
        if size != (width, height):
            resized = cv2.resize(luma, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        if padding:
            resized = cv2.copyMakeBorder(resized, padding, padding, padding, padding, cv2.BORDER_REPLICATE)
        found, scores, _ = self._detector.run(np.ascontiguousarray(resized), 0, 0.0)
        per_x, per_y = width / size[0], height / size[1]
        faces = [
            Face(
                box=Box(
                    (r.left() - padding) * per_x - 0.5,
                    (r.top() - padding) * per_y - 0.5,
                    r.width() * per_x,
                    r.height() * per_y,
                ),
                score=float(score),
                detector=self.name,
                scale=scale,
            )
            for r, score in zip(found, scores, strict=True)
        ]
        return sorted(faces, key=lambda face: (-face.score, face.box.xyxy))


def _ladder(height: int, width: int) -> Iterator[tuple[float, int]]:
    """Yield (scale, padding in scaled pixels) of each rung."""
    base = min(2.0, LONG_SIDE / max(height, width))
    yield base, 0
    yield base * 2, 0
    half = base / 2
    yield half, round(PADDING * half * max(height, width))


def open() -> HogDetector:  # noqa: A001  every adapter is opened by this name
    """Make the detector; dlib carries its model compiled in."""
    return HogDetector()
