"""Crops: where a template puts the eyes, and a warp that does not alias."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from .colour import as_colour, require_picture
from .errors import UsageError
from .eyeline import invert, require_alignable, similarity, transform_points
from .face import Eyes, Face
from .schemes import SCHEMES, Scheme

Border = Literal["replicate", "reflect", "constant"]
_BORDERS = {"replicate": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101, "constant": cv2.BORDER_CONSTANT}

_FAR_ENLARGED = 2.0
"""Beyond this scale a picture is enlarged before it is warped."""

Colour = Literal["rgb", "grey"]
Anchor = Literal["eyes", "five"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Template:
    """Where a face stands in a crop, as shares of its width and height.

    Attributes:
        eyes: The left and the right eye, at one height.
        five: Left and right eye, tip of the nose, left and right corner of the mouth, where the template has them.
    """

    eyes: tuple[Point, Point]
    five: tuple[Point, ...] = ()


def _five_of(side: int, *points: Point) -> Template:
    """Make a template from five points in pixels of a square; its eyes are brought to one height."""
    five = tuple(((x + 0.5) / side, (y + 0.5) / side) for x, y in points)
    height = (five[0][1] + five[1][1]) / 2
    return Template(((five[0][0], height), (five[1][0], height)), five)


TEMPLATES: dict[str, Template] = {
    # brows to chin, cheek to cheek; no hair, no shirt: for expression
    "tight": Template(((0.29, 0.25), (0.71, 0.25))),
    # the whole face with some of what is around it: the 112-px template of face recognition (Deng et al. 2019)
    "arcface": _five_of(
        112, (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)
    ),
    # the head with hair and neck: where the photos of FFHQ (Karras et al. 2019) have the five points, in 512 px
    "ffhq": _five_of(
        512, (192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15)
    ),
}  # fmt: skip
"""Name -> where the face stands."""


@dataclass(frozen=True)
class CropSpec:
    """What a crop looks like.

    Attributes:
        template: A key of `TEMPLATES`.
        size: Width and height in pixels: one number, or both.
        border: What is shown where the crop leaves the picture; `constant` is black.
        colour: `rgb`, or `grey` for one channel.
        anchor: `eyes` puts the eyes exactly onto the template; `five` brings eyes, nose and mouth as near to it as a
            similarity can, as face recognition does, and needs a landmarker that gives them.
    """

    template: str = "tight"
    size: int | tuple[int, int] = 224
    border: Border = "replicate"
    colour: Colour = "rgb"
    anchor: Anchor = "eyes"

    def __post_init__(self) -> None:
        if self.template not in tuple(TEMPLATES):
            raise UsageError(f"template must be one of {', '.join(TEMPLATES)} (got {self.template!r})")
        for name, value, known in (
            ("border", self.border, get_args(Border)),
            ("colour", self.colour, get_args(Colour)),
            ("anchor", self.anchor, get_args(Anchor)),
        ):
            if value not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)} (got {value!r})")
        sides = (self.size,) * 2 if isinstance(self.size, int) else self.size
        is_pair = isinstance(sides, tuple) and len(sides) == 2
        if not is_pair or not all(isinstance(side, int) and 8 <= side <= 4096 for side in sides):
            raise UsageError(f"size must be a whole number of pixels from 8 to 4096, or two (got {self.size!r})")
        if self.anchor == "five" and not TEMPLATES[self.template].five:
            raise UsageError(f"template {self.template} has no five points; take another template, or anchor eyes")

    @property
    def width_height(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @cached_property
    def eyes_px(self) -> NDArray[np.float64]:
        """Where the eyes stand in the crop: float64 [2, 2], left x, y, then right; pixel centres at integers."""
        return self._px(TEMPLATES[self.template].eyes)

    @cached_property
    def five_px(self) -> NDArray[np.float64]:
        """Where the five points stand in the crop: float64 [5, 2]."""
        return self._px(TEMPLATES[self.template].five)

    def _px(self, points: tuple[Point, ...]) -> NDArray[np.float64]:
        places = np.array(points) * self.width_height - 0.5
        places.setflags(write=False)  # they are kept
        return places


@dataclass(frozen=True)
class Crop:
    """An aligned face.

    Attributes:
        image: uint8 [height, width, 3], RGB, or [height, width] where it is grey.
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
        AlignmentRefusedError: The face has no eyes, shows a profile, or its geometry is no face's.
        UsageError: `image` is no picture; or `spec.anchor` is `five` and the landmarks lack some of the five points.
    """
    spec = spec or CropSpec()
    require_picture(image)
    eyes = require_alignable(face)
    matrix = similarity(eyes.xy, spec.eyes_px) if spec.anchor == "eyes" else similarity(_five(face), spec.five_px)
    cut = warp(image, matrix, spec.width_height, spec.border, grey=spec.colour == "grey")
    return Crop(as_colour(cut, colour=spec.colour == "rgb"), matrix, Eyes.from_array(transform_points(matrix, eyes.xy)))


def require_five(scheme_name: str | None) -> Scheme:
    """Give the scheme of landmarks that hold the five points.

    Raises:
        UsageError: These do not.
    """
    scheme = SCHEMES.get(scheme_name or "")
    if scheme is None or not scheme.five:
        raise UsageError(
            f"anchor five needs eyes, nose and mouth (the landmarks are {scheme_name}); take landmarks dlib68 or fan, "
            "or anchor eyes"
        )
    return scheme


def _five(face: Face) -> NDArray[np.float64]:
    scheme = require_five(face.landmark_scheme if face.landmarks is not None else None)
    return scheme.five_points(np.asarray(face.landmarks))


def warp(
    image: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    size: tuple[int, int],
    border: Border = "replicate",
    *,
    quick: bool = False,
    grey: bool = False,
) -> NDArray[np.uint8]:
    """Warp a picture by a similarity without aliasing.

    Where the matrix reduces by s < 1, what the crop shows is first smoothed by a Gaussian of
    sigma = 0.5 * sqrt(1 / s^2 - 1) pixels, so that the sampling grid of the crop can carry what is left.

    Args:
        image: uint8 [H, W] or [H, W, C].
        matrix: float64 [2, 3], source -> crop, a rotation with scale and shift.
        size: Width and height of the crop.
        border: What is shown beyond the picture.
        quick: Enlarge bilinearly, which is enough for what a model looks at, and not bicubically.
        grey: Give luma; only what the crop shows is converted.

    Returns:
        uint8 [height, width] or [height, width, C].
    """
    (a, b, x), (c, d, y) = matrix.tolist()
    scale = math.sqrt(abs(a * d - b * c))
    sigma = 0.5 * math.sqrt(1 / scale**2 - 1) if scale < 1 else 0.0
    left, top, right, bottom = _needed(matrix, size, image.shape, reach=math.ceil(4 * sigma) + 3)
    image = np.ascontiguousarray(image[top:bottom, left:right])  # OpenCV warps nothing wider than 32,767 pixels
    if grey:
        image = as_colour(image, colour=False)
    if sigma:
        image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    matrix = np.array([[a, b, x + (a * left + b * top)], [c, d, y + (c * left + d * top)]])
    flags = cv2.INTER_LINEAR if scale < 1 or quick else cv2.INTER_CUBIC
    if flags == cv2.INTER_CUBIC and scale > _FAR_ENLARGED:
        (image, matrix), flags = _enlarge(image, matrix), cv2.INTER_LINEAR
    warped: NDArray[np.uint8] = cv2.warpAffine(image, matrix, size, flags=flags, borderMode=_BORDERS[border])
    return warped


def _enlarge(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], times: int = 3
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Enlarge a picture by a whole number, bicubically, and give the matrix that leads from it to the same crop.

    A bilinear warp of that is 52 dB and more from a bicubic warp of the picture itself, at a third of the cost.
    """
    enlarged: NDArray[np.uint8] = cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    (a, b, x), (c, d, y) = matrix.tolist()
    half = 0.5 / times - 0.5
    scaled = [[a / times, b / times, x + (a * half + b * half)], [c / times, d / times, y + (c * half + d * half)]]
    return enlarged, np.array(scaled)


def _needed(
    matrix: NDArray[np.float64], size: tuple[int, int], shape: tuple[int, ...], reach: int
) -> tuple[int, int, int, int]:
    """Bound the part of the picture that a crop needs: left, top, right, bottom, at least one pixel each way."""
    (a, b, x), (c, d, y) = invert(matrix).tolist()
    across, down = (-1, size[0]), (-1, size[1])
    columns = [a * u + b * v + x for u in across for v in down]
    rows = [c * u + d * v + y for u in across for v in down]
    left, right = _clipped(columns, reach, shape[1])
    top, bottom = _clipped(rows, reach, shape[0])
    return left, top, right, bottom


def _clipped(places: list[float], reach: int, size: int) -> tuple[int, int]:
    """Bound what lies around some places along one side of a picture: first pixel, and the one after the last."""
    first = min(max(math.floor(min(places)) - reach, 0), size - 1)
    return first, max(min(math.ceil(max(places)) + reach + 1, size), first + 1)
