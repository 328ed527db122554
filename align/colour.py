"""Pictures in the colours that a model wants."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import UsageError


def as_colour(image: NDArray[np.uint8], *, colour: bool) -> NDArray[np.uint8]:
    """Give uint8 [H, W, 3], RGB, where `colour`, else [H, W], luma; a picture that is so already is not copied."""
    wanted: NDArray[np.uint8] = image
    if colour and image.ndim == 2:
        wanted = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    elif not colour and image.ndim == 3:
        wanted = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return wanted


def require_picture(image: NDArray[np.uint8]) -> None:
    """Refuse what is no picture.

    Raises:
        UsageError: It is not uint8 [H, W, 3] or [H, W], or has no pixels.
    """
    shape: tuple[int, ...] = getattr(image, "shape", ())
    is_shaped = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
    if getattr(image, "dtype", None) != np.uint8 or not is_shaped or 0 in shape:
        found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(f"image must be uint8 [H, W, 3] or [H, W] with at least one pixel (got {found})")
