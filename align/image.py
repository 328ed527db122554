"""The one loader: a file or bytes in any format that Pillow opens -> uint8 RGB, upright."""

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .errors import ImageError
from .files import printable

MAX_PIXELS = 178_000_000
"""A larger picture is refused: decoded it would take more than 500 MB. Pillow's own limit lies just above."""


def image_suffixes() -> frozenset[str]:
    """List the suffixes, lower case with the dot, of the pictures that are taken from a folder."""
    Image.init()
    videos = {"MPEG"}  # Pillow knows the name, but decodes none
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in known if kind in Image.OPEN and kind not in videos)


def load_image(source: str | Path | bytes) -> NDArray[np.uint8]:
    """Read a picture as uint8 RGB, turned upright as its EXIF orientation says.

    Of an animation the first frame is read. Transparent pixels are laid on white. Pictures of 16 bits are
    reduced to their upper 8; grey floating-point ones must lie in 0 to 1 or 0 to 255.

    Args:
        source: A path, or the bytes of a file.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ImageError: The file is missing, cut short, not a picture, or larger than `MAX_PIXELS`.
    """
    name = "bytes" if isinstance(source, bytes) else printable(source)
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit below says more
            with Image.open(opened) as image:
                return _decode(image, name)
    except FileNotFoundError:
        raise ImageError(f"{name}: expected a picture (no such file)") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: expected a picture (found a folder)") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: expected at most {MAX_PIXELS:,} pixels (found more); reduce the picture") from None
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name}: expected a whole picture that Pillow can read ({_one_line(error)})") from None


def _decode(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{name}: expected at most {MAX_PIXELS:,} pixels (found {image.width} x {image.height}); reduce the picture"
        )
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        grey = _to_8_bits(np.asarray(upright), name)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(upright.convert("RGB"))


def _to_8_bits(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Reduce grey values of 16 or 32 bits, or floats, to uint8."""
    numbers = values.astype(np.float64)
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    if not np.isfinite(numbers).all() or low < 0 or high > np.iinfo(np.uint16).max:
        raise ImageError(f"{name}: expected grey values from 0 to 65535 (found {low:g} to {high:g})")
    if np.issubdtype(values.dtype, np.floating):
        numbers = numbers * 255 if high <= 1 else numbers
        if high > np.iinfo(np.uint8).max:
            raise ImageError(f"{name}: expected floating-point values from 0 to 1 or 0 to 255 (found up to {high:g})")
        return np.rint(numbers).astype(np.uint8)
    is_16_bits = values.dtype == np.uint16 or high > np.iinfo(np.uint8).max
    return (numbers // 256 if is_16_bits else numbers).astype(np.uint8)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
