"""The values that every detector, landmarker and crop speak: frozen, validated, in source pixels.

Pixel centres stand at integers (OpenCV's convention): the picture spans -0.5 to width - 0.5.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .schemes import SCHEMES

NOSE_DEPTH = 0.38
"""How far the base of the nose stands before the eye centres, in eye distances: 24 of 63 mm on an adult's mean face."""


def _require_finite(what: str, values: tuple[float, ...]) -> None:
    if not all(map(math.isfinite, values)):
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

    def iou(self, other: "Box") -> float:
        """Intersection over union with another box, 0 to 1."""
        width = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        height = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        shared = max(width, 0.0) * max(height, 0.0)
        return shared / (self.area + other.area - shared)

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
        (left_x, left_y), (right_x, right_y) = xy.tolist()
        return cls((left_x, left_y), (right_x, right_y))

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
        score: The detector's own score; higher is surer, its scale is the detector's. NaN where the face was followed
            from an earlier picture and no detector was asked.
        detector: Name of the detector.
        scale: The factor by which the picture was resized when the detector hit.
        turn_deg: The roll that was taken out of the picture when the detector hit: 0 for an upright head, 90 for one
            that lies with its crown to the right.
        eyes: Eye centres, or None where the landmarker gave none.
        landmarks: float64 [N, 2], every point that the landmarker gave, x and y in source pixels; read-only. Two faces
            that differ in them alone are equal.
        landmark_scheme: Name of the points' order, for example `dlib5`.
    """

    box: Box
    score: float
    detector: str
    scale: float = 1.0
    turn_deg: int = 0
    eyes: Eyes | None = None
    landmarks: NDArray[np.float64] | None = field(default=None, compare=False)
    landmark_scheme: str | None = None

    def __post_init__(self) -> None:
        if self.landmarks is not None:
            points = self.landmarks.copy()
            points.setflags(write=False)
            object.__setattr__(self, "landmarks", points)

    @property
    def yaw_deg(self) -> float | None:
        """The turn of the head about its vertical, estimated from how far the nose stands aside; None without points.

        Positive where the nose points to the image's right. Under weak perspective the base of the nose, `NOSE_DEPTH`
        before the eyes, moves aside by depth * sin(yaw) while the eyes close up by cos(yaw).
        """
        nose = self._nose()
        return None if nose is None else math.degrees(math.atan(nose[0] / NOSE_DEPTH))

    @property
    def nose_drop(self) -> float | None:
        """How far the base of the nose stands below the eye line, in eye distances; None without points."""
        nose = self._nose()
        return None if nose is None else nose[1]

    def _nose(self) -> tuple[float, float] | None:
        """Give the base of the nose from the middle of the eyes, along and across their line, in eye distances."""
        if self.eyes is None or self.landmarks is None or self.landmark_scheme not in SCHEMES:
            return None
        left, right = complex(*self.eyes.left), complex(*self.eyes.right)
        if left == right:
            return None
        nose = complex(*self.landmarks[SCHEMES[self.landmark_scheme].corners[4]].tolist())
        offset = (nose - (left + right) / 2) / (right - left)
        return offset.real, offset.imag

    def record(self) -> dict[str, Any]:
        """Give what is known of the face as the columns of a table; eyes and landmarks as flat lists of x and y."""
        columns: dict[str, Any] = {
            **self.box.record(),
            "score": None if math.isnan(self.score) else self.score,
            "detector": self.detector,
            "scale": self.scale,
            "turn_deg": self.turn_deg,
            "landmark_scheme": self.landmark_scheme,
        }
        if self.landmarks is not None:
            columns["landmarks"] = self.landmarks.ravel().tolist()
        if self.eyes is not None:
            columns |= {
                "eyes": self.eyes.xy.ravel().tolist(),
                "roll_deg": self.eyes.roll_deg,
                "interocular_px": self.eyes.interocular_px,
                "yaw_deg": self.yaw_deg,
            }
        return columns
