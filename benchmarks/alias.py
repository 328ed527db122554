"""What is left of detail too fine for a crop, in percent of full contrast, for each library's warp on a zone plate."""

from collections.abc import Callable

import cv2
import dlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import align
from align.eyeline import invert

SIDE = 512
REDUCTIONS = (2, 3.7, 8)
CONTRAST = 180
"""From the darkest to the lightest of the plate, in grey levels."""

GREY = 127.5
TARGET = 1.0
"""What ours may leave, in percent."""

Size = tuple[int, int]


def zone_plate(side: int) -> NDArray[np.uint8]:
    """Draw a chirp whose frequency grows from the middle to the Nyquist limit at the edge: uint8 [side, side]."""
    r = np.arange(side) - (side - 1) / 2
    square = r[:, None] ** 2 + r[None, :] ** 2
    return np.rint(GREY + CONTRAST / 2 * np.cos(np.pi * square / side)).astype(np.uint8)


def reducing(reduction: float) -> NDArray[np.float64]:
    """Give the matrix that reduces a picture, float64 [2, 3], source -> crop; pixel centres at integers."""
    scale = 1 / reduction
    return np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5]])


def residual_percent(small: NDArray[np.uint8], reduction: float) -> float:
    """Measure how far a reduced plate is from grey where it was finer than the crop's pixels can carry.

    Returns:
        The mean distance from grey in percent of the plate's contrast.
    """
    size = small.shape[0]
    r = np.abs(np.arange(size) - (size - 1) / 2) / (size / 2)
    furthest = np.maximum(r[:, None], r[None, :])
    beyond = (furthest > 1.3 / reduction) & (furthest < 0.9)
    return float(np.abs(small[beyond].astype(np.float64) - GREY).mean() / CONTRAST * 100)


Warp = Callable[[NDArray[np.uint8], NDArray[np.float64], Size], NDArray[np.uint8]]
"""The picture, the matrix source -> crop, and the crop's width and height -> the crop."""


def opencv(flags: int) -> Warp:
    """Make cv2.warpAffine with an interpolation."""

    def warp(picture: NDArray[np.uint8], matrix: NDArray[np.float64], size: Size) -> NDArray[np.uint8]:
        crop: NDArray[np.uint8] = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return crop

    return warp


def pillow(resample: Image.Resampling) -> Warp:
    """Make PIL's transform with an interpolation."""

    def warp(picture: NDArray[np.uint8], matrix: NDArray[np.float64], size: Size) -> NDArray[np.uint8]:
        back = invert(matrix)  # it takes crop -> source
        back[:, 2] += 0.5 - back[:, :2] @ (0.5, 0.5)  # it lays the middle of the first pixel at 0.5
        warped = Image.fromarray(picture).transform(size, Image.Transform.AFFINE, tuple(back.ravel()), resample)
        return np.asarray(warped)

    return warp


def by_torch(picture: NDArray[np.uint8], matrix: NDArray[np.float64], size: Size) -> NDArray[np.uint8]:
    """Warp by torch's affine_grid and grid_sample, bilinear, align_corners False."""
    height, width = picture.shape
    to_unit = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    from_unit = np.array([[size[0] / 2, 0, size[0] / 2 - 0.5], [0, size[1] / 2, size[1] / 2 - 0.5], [0, 0, 1]])
    theta = (to_unit @ np.vstack([invert(matrix), (0, 0, 1)]) @ from_unit)[None, :2]
    shape = [1, 1, size[1], size[0]]
    grid = torch.nn.functional.affine_grid(torch.from_numpy(theta).float(), shape, align_corners=False)
    batch = torch.from_numpy(picture)[None, None].float()
    warped = torch.nn.functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    return warped[0, 0].round().clamp(0, 255).byte().numpy()


def by_dlib(picture: NDArray[np.uint8], matrix: NDArray[np.float64], size: Size) -> NDArray[np.uint8]:
    """Cut a chip as dlib.get_face_chip does: bilinear, from a pyramid of halved pictures, which moves it a little."""
    points = np.array([[0, 0], [size[0] - 1, 0], [0, size[1] - 1]], dtype=np.float64)
    back = invert(matrix)
    in_source = dlib.dpoints([dlib.dpoint(*xy) for xy in points @ back[:, :2].T + back[:, 2]])
    in_chip = dlib.dpoints([dlib.dpoint(*xy) for xy in points])
    where = dlib.chip_details(in_chip, in_source, dlib.chip_dims(size[1], size[0]))
    return np.asarray(dlib.extract_image_chip(picture, where))


WARPS: dict[str, Warp] = {
    "eyeline: align.warp": align.warp,
    "cv2.warpAffine, linear": opencv(cv2.INTER_LINEAR),
    "cv2.warpAffine, cubic": opencv(cv2.INTER_CUBIC),
    "cv2.warpAffine, INTER_AREA": opencv(cv2.INTER_AREA),
    "PIL transform, bilinear": pillow(Image.Resampling.BILINEAR),
    "PIL transform, bicubic": pillow(Image.Resampling.BICUBIC),
    "torch grid_sample, bilinear": by_torch,
    "dlib.extract_image_chip": by_dlib,
}


def main() -> None:
    """Print what each warp leaves at three reductions."""
    plate = zone_plate(SIDE)
    untouched = residual_percent(plate, 1.5)
    print(f"zone plate of {SIDE} px; left of what is too fine for the crop, in percent of full contrast")
    print(f"(the plate itself has {untouched:.1f}; target for ours: at most {TARGET:g})")
    print(f"  {'reduced by':30}" + "".join(f"{reduction:8g}" for reduction in REDUCTIONS))
    for name, warp in WARPS.items():
        left = []
        for reduction in REDUCTIONS:
            size = int(SIDE / reduction)
            left.append(residual_percent(warp(plate, reducing(reduction), (size, size)), reduction))
        print(f"  {name:30}" + "".join(f"{percent:8.1f}" for percent in left))
