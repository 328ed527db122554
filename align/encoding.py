"""Pictures to files: PNG whose bytes depend on the pixels alone, JPEG, WebP."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .files import write_atomic

JPEG_QUALITY = 95
WEBP_QUALITY = 95


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write uint8 [H, W, 3], RGB, or [H, W] in the format that the suffix names, whole or not at all.

    Raises:
        UsageError: The suffix is none of `.png`, `.jpg` and `.webp`.
    """
    write_atomic(path, encode(image, path.suffix))


def encode(image: NDArray[np.uint8], suffix: str) -> bytes:
    """Encode uint8 [H, W, 3], RGB, or [H, W] as `.png`, which loses nothing, `.jpg` or `.webp`."""
    if suffix == ".png":
        from .png import encode_png  # loads the compiler, which the other formats can do without

        return encode_png(image)
    parameters = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY],
    }.get(suffix)
    if parameters is None:
        raise UsageError(f"picture: expected a name that ends in .png, .jpg or .webp (got {suffix!r})")
    encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image, parameters)[1]
    return bytes(encoded.tobytes())
