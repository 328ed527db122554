"""Crops: where a template puts the eyes, and a warp that does not alias."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .eyeline import invert, require_alignable, similarity, transform_points
from .face import Eyes, Face
from .files import write_atomic

Border = Literal["replicate", "reflect", "black"]
_BORDERS = {"replicate": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101, "black": cv2.BORDER_CONSTANT}

TEMPLATES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    # brows to chin, cheek to cheek; no hair, no shirt: for expression
    "tight": ((0.29, 0.25), (0.71, 0.25)),
    # the whole face with some of what is around it: the eyes of the 112-px template of face recognition
    # (Deng et al. 2019), (38.29, 51.70) and (73.53, 51.50), brought to one height
    "arcface": ((0.3464, 0.4652), (0.6610, 0.4652)),
}
"""Name -> where the left and right eye stand, as shares of the crop's width and height."""


@dataclass(frozen=True)
class CropSpec:
    """What a crop looks like.

    Attributes:
        template: A key of `TEMPLATES`.
        size: Width and height in pixels.
        border: What is shown where the crop leaves the picture.
    """

    template: str = "tight"
    size: int = 224
    border: Border = "replicate"

    def __post_init__(self) -> None:
        if self.template not in TEMPLATES:
            raise UsageError(f"template must be one of {', '.join(TEMPLATES)} (got {self.template!r})")
        if not isinstance(self.size, int) or not 8 <= self.size <= 4096:
            raise UsageError(f"size must be a whole number of pixels from 8 to 4096 (got {self.size!r})")
        if self.border not in _BORDERS:
            raise UsageError(f"border must be one of {', '.join(_BORDERS)} (got {self.border!r})")

    @property
    def eyes_px(self) -> NDArray[np.float64]:
        """Where the eyes stand in the crop: float64 [2, 2], left x, y, then right; pixel centres at integers."""
        return np.array(TEMPLATES[self.template]) * self.size - 0.5


@dataclass(frozen=True)
class Crop:
    """An aligned face.

    Attributes:
        image: uint8 [size, size, 3], RGB, or [size, size] where the picture was grey.
        matrix: float64 [2, 3], source pixels -> crop pixels.
        eyes: The eyes in crop pixels.
    """

    image: NDArray[np.uint8]
    matrix: NDArray[np.float64]
    eyes: Eyes


def align_face(image: NDArray[np.uint8], face: Face, spec: CropSpec | None = None) -> Crop:
    """Cut a face out so that its eyes stand where the template puts them.

    Args:
        image: uint8 [H, W, 3], RGB, or [H, W], the picture in which the face was found.
        face: A face with eyes.
        spec: Template, size and border; `CropSpec()` when left out.

    Returns:
        The crop, the matrix source -> crop, and the eyes in the crop.

    Raises:
        AlignmentRefusedError: The face has no eyes, or shows a profile.
    """
    spec = spec or CropSpec()
    eyes = require_alignable(face)
    matrix = similarity(eyes.xy, spec.eyes_px)
    cut = warp(image, matrix, (spec.size, spec.size), spec.border)
    return Crop(cut, matrix, Eyes.from_array(transform_points(matrix, eyes.xy)))


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int], border: Border = "replicate"
) -> NDArray[np.uint8]:
    """Warp a picture by a similarity without aliasing.

    Where the matrix reduces by s < 1, what the crop shows is first smoothed by a Gaussian of
    sigma = 0.5 * sqrt(1 / s^2 - 1) pixels, so that the sampling grid of the crop can carry what is left.

    Args:
        image: uint8 [H, W] or [H, W, C].
        matrix: float64 [2, 3], source -> crop, a rotation with scale and shift.
        size: Width and height of the crop.
        border: What is shown beyond the picture.

    Returns:
        uint8 [height, width] or [height, width, C].
    """
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    flags = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    sigma = 0.5 * math.sqrt(1 / scale**2 - 1) if scale < 1 else 0.0
    left, top, right, bottom = _needed(matrix, size, image.shape, reach=math.ceil(4 * sigma) + 3)
    image = np.ascontiguousarray(image[top:bottom, left:right])  # OpenCV warps nothing wider than 32,767 pixels
    if sigma:
        image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    matrix = matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    warped: NDArray[np.uint8] = cv2.warpAffine(image, matrix, size, flags=flags, borderMode=_BORDERS[border])
    return warped


def _needed(
    matrix: NDArray[np.float64], size: tuple[int, int], shape: tuple[int, ...], reach: int
) -> tuple[int, int, int, int]:
    """Bound the part of the picture that a crop needs: left, top, right, bottom, at least one pixel each way."""
    width, height = size
    corners = np.array([(-1, -1), (width, -1), (-1, height), (width, height)], dtype=np.float64)
    xy = transform_points(invert(matrix), corners)
    low = np.floor(xy.min(axis=0)).astype(int) - reach
    high = np.ceil(xy.max(axis=0)).astype(int) + reach + 1
    left, right = np.clip((low[0], high[0]), 0, shape[1])
    top, bottom = np.clip((low[1], high[1]), 0, shape[0])
    left, top = min(int(left), shape[1] - 1), min(int(top), shape[0] - 1)
    return left, top, max(int(right), left + 1), max(int(bottom), top + 1)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write uint8 [H, W, 3], RGB, as a PNG whose bytes depend on the pixels alone, whole or not at all."""
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    write_atomic(path, encoded.tobytes())
