"""The learnt filters of a convolution as one picture."""

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.float32]
_GAP_PX = 1
_WHOLE = (1, 3)
"""Channels that one tile can show together."""


def filter_grid(weight: Tensor, most: int, *, is_bgr: bool = False) -> tuple[Picture, list[int]]:
    """Lay the filters of a convolution out.

    Filters over three channels become RGB tiles, and those over one channel single tiles, in rows of about as many as
    there are rows. Others become one row a filter, with its 2-d slices side by side, one an input channel. Each filter
    is scaled by its greatest magnitude, so that 0 is the middle of the scale in all of them.

    Args:
        weight: float [out, in, h, w]; of a convolution in groups, `in` is the channels of a group.
        most: Show at most so many filters, those of the greatest norm, and at most so many of their slices.
        is_bgr: Whether the three channels are blue, green and red.

    Returns:
        float32 [H, W, 3] of 0 to 1, or [H, W] of -1 to 1; NaN between the tiles. And the numbers of the filters shown.
    """
    filters = weight.detach().float().cpu()
    norms = filters.flatten(1).norm(dim=1)
    chosen = sorted(int(i) for i in norms.sort(descending=True, stable=True).indices[:most])
    filters = filters[chosen]
    scaled = filters / filters.flatten(1).abs().amax(1).clamp(min=1e-30)[:, None, None, None]
    channels = scaled.shape[1]
    if channels not in _WHOLE:
        return _tiles(scaled[:, :most].numpy()[..., None])[..., 0], chosen
    if channels > 1:
        scaled = ((scaled.flip(1) if is_bgr else scaled) + 1) / 2
    tiles = scaled.permute(0, 2, 3, 1).numpy()
    across = math.ceil(math.sqrt(len(tiles)))
    padded = np.full((math.ceil(len(tiles) / across) * across, *tiles.shape[1:]), np.nan, dtype=np.float32)
    padded[: len(tiles)] = tiles
    picture = _tiles(padded.reshape(-1, across, *tiles.shape[1:]))
    return (picture if channels > 1 else picture[..., 0]), chosen


def _tiles(tiles: NDArray[np.float32]) -> Picture:
    """Put tiles [rows, columns, h, w, channels] into one picture with gaps of NaN between them."""
    rows, columns, height, width, channels = tiles.shape
    canvas = np.full(
        (rows * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, channels), np.nan, np.float32
    )
    for i, j in np.ndindex(rows, columns):
        y, x = i * (height + _GAP_PX), j * (width + _GAP_PX)
        canvas[y : y + height, x : x + width] = tiles[i, j]
    return canvas
