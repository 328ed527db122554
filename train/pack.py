"""Decodes the crops of a split once into one uint8 array in memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from align import EyelineError, load_image


def read_crop(path: Path, size_px: int) -> NDArray[np.uint8]:
    """Read one crop as uint8 [size_px, size_px, 3], RGB; other sizes are resized with an antialiased bilinear filter.

    Raises:
        EyelineError: The file is missing.
        ImageError: The file is not a whole picture.
    """
    if not path.is_file():
        raise EyelineError(f"{path}: expected a crop that the manifest lists (no such file); curate the set again")
    image = load_image(path)
    if image.shape[:2] == (size_px, size_px):
        return image
    resized = Image.fromarray(image).resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def pack(paths: Sequence[Path], size_px: int) -> Tensor:
    """Decode crops into one array.

    Args:
        paths: The crops.
        size_px: Height and width to resize to.

    Returns:
        uint8 [N, 3, size_px, size_px], RGB; `3 * N * size_px ** 2` bytes of memory.

    Raises:
        EyelineError: A file is missing or not a whole picture.
    """
    packed = torch.empty((len(paths), 3, size_px, size_px), dtype=torch.uint8)
    for i, path in enumerate(paths):
        packed[i] = torch.from_numpy(read_crop(path, size_px).copy()).permute(2, 0, 1)
    return packed
