"""Sharpness, brightness and contrast of an aligned crop, and the gates that drop one with a reason."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .colour import as_colour
from .crop import CropSpec, align_face
from .errors import UsageError
from .face import Face

CANONICAL_PX = 112
"""Every face is measured at this size: the sharpness of a Laplacian depends on the size of the picture."""

_CANONICAL = CropSpec("tight", CANONICAL_PX, colour="grey")


@dataclass(frozen=True)
class Quality:
    """What is measured of a crop.

    Attributes:
        sharpness: Variance of the Laplacian of the luma, reduced or enlarged to `CANONICAL_PX`
            (Pech-Pacheco et al. 2000).
        brightness: Mean luma, 0 to 255.
        contrast: Standard deviation of the luma, 0 to 127.5.
    """

    sharpness: float
    brightness: float
    contrast: float


def measure(crop: NDArray[np.uint8]) -> Quality:
    """Measure a crop, uint8 [H, W, 3] or [H, W]."""
    luma = as_colour(crop, colour=False)
    if luma.shape != (CANONICAL_PX, CANONICAL_PX):
        shrinks = max(luma.shape) > CANONICAL_PX
        flags = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        luma = cv2.resize(luma, (CANONICAL_PX, CANONICAL_PX), interpolation=flags)
    mean, deviation = cv2.meanStdDev(luma)
    roughness = float(cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1][0, 0])  # whole numbers
    return Quality(roughness**2, float(mean[0, 0]), float(deviation[0, 0]))


def canonical_crop(image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """Cut a face out as all are measured, whatever is cropped for the user: `tight`, grey, at `CANONICAL_PX`.

    So the numbers that `measure` gives, and a gate's threshold, mean the same for every template and size.

    Args:
        image: uint8 [H, W, 3], RGB, or [H, W], luma, the picture in which the face was found.
        face: A face that can be aligned.

    Returns:
        uint8 [112, 112].

    Raises:
        AlignmentRefusedError: It cannot.
    """
    return align_face(image, face, _CANONICAL).image


@dataclass(frozen=True)
class Gates:
    """Thresholds below or above which a crop is dropped; None lets everything through.

    Attributes:
        min_contrast: Grey levels; a crop with a smaller standard deviation shows nothing and is dropped as blank.
        min_interocular: Pixels between the eyes in the source.
        max_yaw_deg: Degrees by which the head turns to either side, as estimated by `Face.yaw_deg`.
        min_sharpness: As `Quality.sharpness`.
        min_brightness: Mean luma.
        max_brightness: Mean luma.
    """

    min_contrast: float | None = 2.0
    min_interocular: float | None = None
    max_yaw_deg: float | None = None
    min_sharpness: float | None = None
    min_brightness: float | None = None
    max_brightness: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and value >= 0):
                raise UsageError(f"{name} must be a number >= 0 (got {value!r})")

    def reason(self, quality: Quality, interocular_px: float | None = None, yaw_deg: float | None = None) -> str | None:
        """Say why a crop is dropped; None where it is kept.

        Args:
            quality: What was measured of the crop.
            interocular_px: Of the face in the source; None where there are no eyes.
            yaw_deg: Of the face; None where it is not known.

        Returns:
            `blank`, `too_small`, `profile`, `blurred`, `dark` or `bright`.
        """
        checks = (
            ("blank", quality.contrast, self.min_contrast, None),
            ("too_small", interocular_px, self.min_interocular, None),
            ("profile", None if yaw_deg is None else abs(yaw_deg), None, self.max_yaw_deg),
            ("blurred", quality.sharpness, self.min_sharpness, None),
            ("dark", quality.brightness, self.min_brightness, None),
            ("bright", quality.brightness, None, self.max_brightness),
        )
        for name, value, low, high in checks:
            if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
                return name
        return None
