"""Embedders behind one protocol: an aligned face -> a descriptor that tells people apart."""

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .crop import warp
from .detect import open_adapter
from .errors import UsageError
from .eyeline import invert, similarity
from .schemes import SCHEMES

EMBEDDERS = {"dlib_resnet": "dlib_resnet"}
"""Name of each embedder -> its module in `align.embedders`."""

CHIP_PX = 150
"""Width and height of a chip."""

CHIP_PADDING = 0.25
"""What is shown around the face, as a share of its side, on each side: 0.25 is what dlib's network was trained with."""

CORNERS_IN_CHIP = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ],
    dtype=np.float64,
)
"""Where a chip without padding has the four eye corners and the base of the nose: the mean face of dlib's 5 points, in
get_face_chip_details of its interpolation.h, which the network's training pictures were cut by."""


class Embedder(Protocol):
    """Describes aligned faces by numbers: two of one person are near by Euclidean distance.

    Attributes:
        name: A key of `EMBEDDERS`.
        model_file: The file of its weights, a key of `MODELS`.
        features: Length of a descriptor.
    """

    name: str
    model_file: str
    features: int

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe uint8 [N, 150, 150, 3], RGB, cut by `cut_chip`: float32 [N, features]."""
        ...


@lru_cache(maxsize=2)
def open_embedder(name: str = "dlib_resnet", device: str = "cpu", models: Path | None = None) -> Embedder:
    """Open an embedder by name, once a process.

    Args:
        name: A key of `EMBEDDERS`.
        device: Where the network runs, for example `cuda`.
        models: A model file, or a folder with model files, that is looked at first; see `find_model`.

    Raises:
        UsageError: There is no such embedder, or no such device here.
        ModelError: Its model file is missing or wrong.
    """
    embedder: Embedder = open_adapter("embedder", "embedders", name, EMBEDDERS).open(device, models and Path(models))
    return embedder


def cut_chip(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.float64],
    scheme: str,
    matrix: NDArray[np.float64] | None = None,
) -> NDArray[np.uint8]:
    """Cut the chip of a face that dlib's network describes, by its eye corners and the base of its nose.

    Args:
        image: uint8 [H, W, 3], RGB: the picture in which the landmarks were found, or a crop of it.
        landmarks: float64 [N, 2], in pixels of the picture.
        scheme: The points' order, a key of `SCHEMES`.
        matrix: float64 [2, 3], picture -> `image`, where `image` is a crop. What the crop does not hold is filled from
            its border.

    Returns:
        uint8 [150, 150, 3].

    Raises:
        UsageError: There is no such scheme, or the points are not as many as it has, or all lie in one place.
    """
    if scheme not in SCHEMES or landmarks.shape != (len(SCHEMES[scheme].mirror), 2):
        raise UsageError(
            f"landmarks: expected the points of one of {sorted(SCHEMES)} (got {scheme}, {list(landmarks.shape)})"
        )
    corners = (CORNERS_IN_CHIP + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * CHIP_PX - 0.5
    try:
        to_chip = similarity(SCHEMES[scheme].corner_points(landmarks), corners)
    except ValueError as error:
        raise UsageError(f"landmarks: expected a face ({error})") from None
    if matrix is not None:
        back = invert(matrix)
        to_chip = np.hstack([to_chip[:, :2] @ back[:, :2], to_chip[:, :2] @ back[:, 2:] + to_chip[:, 2:]])
    return warp(image, to_chip, (CHIP_PX, CHIP_PX))
