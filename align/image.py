"""The one loader: a file or bytes in any format that Pillow opens -> uint8 RGB, upright."""

import io
import re
import stat
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from .errors import ImageError
from .files import printable

MAX_PIXELS = 178_000_000
"""A larger picture is refused: decoded it would take more than 500 MB. Pillow's own limit lies just above."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BAND_PX = 4_000_000  # grey values of 16 bits and more are reduced in bands of about so many pixels
_NOT_PICTURES = {"MPEG", "BUFR", "GRIB", "HDF5"}  # Pillow knows their names, but decodes none


def image_suffixes() -> frozenset[str]:
    """List the suffixes, lower case with the dot, of the pictures that are taken from a folder."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in known if kind in Image.OPEN and kind not in _NOT_PICTURES)


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
    name = "bytes" if isinstance(source, bytes) else shown(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a damaged file makes Pillow say ends as an error or as a picture
            with Image.open(_source(source, name)) as image:
                return _decode(image, name)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: expected at most {MAX_PIXELS:,} pixels (found more); reduce the picture") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: expected a picture (found no format that Pillow knows)") from None
    except Exception as error:  # noqa: BLE001  on damaged files Pillow's readers raise struct.error, KeyError and others
        raise ImageError(f"{name}: expected a whole picture that Pillow can read ({_reason(error)})") from None


def shown(path: str | Path) -> str:
    r"""Write a path for a sentence of one line: as `printable` does, control characters as \\xNN too."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: ascii(found[0])[1:-1], printable(path))


def _source(source: str | Path | bytes, name: str) -> Path | io.BytesIO:
    """Give what Pillow opens, after the checks whose sentences it would not find."""
    if isinstance(source, bytes):
        size = len(source)
    else:
        try:
            found = Path(source).stat()
        except FileNotFoundError:
            raise ImageError(f"{name}: expected a picture (no such file)") from None
        if stat.S_ISDIR(found.st_mode):
            raise ImageError(f"{name}: expected a picture (found a folder)")
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its other end
            raise ImageError(f"{name}: expected a picture (found a pipe or a device)")
        size = found.st_size
    if size == 0:
        raise ImageError(f"{name}: expected a picture (found no bytes in it)")
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source)


def _decode(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{name}: expected at most {MAX_PIXELS:,} pixels (found {image.width} x {image.height}); reduce the picture"
        )
    image.load()
    # Not ImageOps.exif_transpose: it writes the EXIF block anew, which fails on blocks that can be read.
    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    upright = image if turn is None else image.transpose(turn)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        grey = _to_8_bits(np.asarray(upright), name)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if upright.mode == "LAB":
        return np.array(_lab_to_rgb(upright))
    if upright.has_transparency_data:
        rgba = upright if upright.mode == "RGBA" else upright.convert("RGBA")
        upright = Image.new("RGB", rgba.size, "white")
        upright.paste(rgba, mask=rgba)
    return _as_array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def _as_array(image: Image.Image) -> NDArray[np.uint8]:
    """Copy an RGB picture in bands: at once it would stand in memory three times."""
    array = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _BAND_PX // image.width)
    for top in range(0, image.height, rows):
        below = min(top + rows, image.height)
        array[top:below] = np.asarray(image.crop((0, top, image.width, below)))
    return array


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
    return transform.apply(image)


def _to_8_bits(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Reduce grey values of 16 or 32 bits, or floats, to uint8, in bands so that memory stays bounded."""
    rows = max(1, _BAND_PX // values.shape[1])
    bands = [values[top : top + rows] for top in range(0, len(values), rows)]
    if not all(np.isfinite(band).all() for band in bands):
        raise ImageError(f"{name}: expected grey values that are finite numbers (found NaN or infinity)")
    low, high = min(float(band.min()) for band in bands), max(float(band.max()) for band in bands)
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise ImageError(f"{name}: expected grey values from 0 to 65535 (found {low:g} to {high:g})")
    if np.issubdtype(values.dtype, np.floating):
        if high > np.iinfo(np.uint8).max:
            raise ImageError(f"{name}: expected floating-point values from 0 to 1 or 0 to 255 (found up to {high:g})")
        factor = 255.0 if high <= 1 else 1.0
    else:
        is_16_bits = values.dtype.itemsize == 2 or high > np.iinfo(np.uint8).max
        factor = 1 / 256 if is_16_bits else 1.0
    reduced = np.empty(values.shape, np.uint8)
    for index, band in enumerate(bands):
        scaled = band.astype(np.float64) * factor
        whole = np.rint(scaled) if np.issubdtype(values.dtype, np.floating) else np.floor(scaled)
        reduced[index * rows : index * rows + len(band)] = whole
    return reduced


def _reason(error: Exception) -> str:
    """Say in one line what went wrong, the same at every run."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(shown(text).split())) or type(error).__name__
