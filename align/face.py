"""The values that every detector, landmarker and crop speak: frozen, validated, in source pixels.

Pixel centres stand at integers (OpenCV's convention): the picture spans -0.5 to width - 0.5.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


def _require_finite(what: str, values: tuple[float, ...]) -> None:
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"{what} must be finite numbers (got {values})")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in source pixels: the left and top edge, width and height."""

    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        _require_finite("Box", (self.x, self.y, self.w, self.h))
        if self.w <= 0 or self.h <= 0:
            raise ValueError(f"Box width and height must be above 0 (got {self.w} x {self.h})")

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.w * self.h

    @property
    def center(self) -> tuple[float, float]:
        """The middle, x and y."""
        return self.x + self.w / 2, self.y + self.h / 2

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge."""
        return self.x, self.y, self.x + self.w, self.y + self.h

    def record(self) -> dict[str, float]:
        """Give the box as the columns of a table."""
        return {"box_x": self.x, "box_y": self.y, "box_w": self.w, "box_h": self.h}


@dataclass(frozen=True, slots=True)
class Eyes:
    """The two eye centres in source pixels.

    `left` is the eye at the image's left on an upright face (the subject's right eye), `right` the other;
    they keep their names by anatomy when the head is turned.
    """

    left: tuple[float, float]
    right: tuple[float, float]

    def __post_init__(self) -> None:
        _require_finite("Eyes", (*self.left, *self.right))

    @classmethod
    def from_array(cls, xy: NDArray[np.floating]) -> Self:
        """Make eyes from float [2, 2]: left x, y, then right x, y."""
        return cls((float(xy[0, 0]), float(xy[0, 1])), (float(xy[1, 0]), float(xy[1, 1])))

    @property
    def xy(self) -> NDArray[np.float64]:
        """float64 [2, 2]: left x, y, then right x, y."""
        return np.array([self.left, self.right], dtype=np.float64)

    @property
    def interocular_px(self) -> float:
        """Distance between the eye centres in pixels."""
        return math.dist(self.left, self.right)

    @property
    def roll_deg(self) -> float:
        """The angle of the eye line, -180 to 180; positive turns clockwise on the screen (y points down)."""
        return math.degrees(math.atan2(self.right[1] - self.left[1], self.right[0] - self.left[0]))


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face with its landmarks.

    Attributes:
        box: The detector's box.
        score: The detector's own score; higher is surer, its scale is the detector's.
        detector: Name of the detector.
        scale: The factor by which the picture was resized when the detector hit.
        eyes: Eye centres, or None where the landmarker gave none.
        landmarks: float64 [N, 2], every point that the landmarker gave, x and y in source pixels.
        landmark_scheme: Name of the points' order, for example `dlib5`.
    """

    box: Box
    score: float
    detector: str
    scale: float = 1.0
    eyes: Eyes | None = None
    landmarks: NDArray[np.float64] | None = None
    landmark_scheme: str | None = None

    def record(self) -> dict[str, Any]:
        """Give what is known of the face as the columns of a table; eyes and landmarks as flat lists of x and y."""
        columns: dict[str, Any] = {
            **self.box.record(),
            "score": self.score,
            "detector": self.detector,
            "landmark_scheme": self.landmark_scheme,
        }
        if self.landmarks is not None:
            columns["landmarks"] = self.landmarks.ravel().tolist()
        if self.eyes is not None:
            columns |= {
                "eyes": self.eyes.xy.ravel().tolist(),
                "roll_deg": self.eyes.roll_deg,
                "interocular_px": self.eyes.interocular_px,
            }
        return columns
