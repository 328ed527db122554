"""Pictures in the colours that a model wants."""

import cv2
import numpy as np
from numpy.typing import NDArray


def as_colour(image: NDArray[np.uint8], *, colour: bool) -> NDArray[np.uint8]:
    """Give uint8 [H, W, 3], RGB, where `colour`, else [H, W], luma; a picture that is so already is not copied."""
    wanted: NDArray[np.uint8] = image
    if colour and image.ndim == 2:
        wanted = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    elif not colour and image.ndim == 3:
        wanted = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return wanted
