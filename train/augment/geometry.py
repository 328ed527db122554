"""Where each pixel of an augmented picture comes from: one matrix a picture, one resampling for all of them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor

_CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


class Moves(NamedTuple):
    """What moves each picture of a batch.

    Attributes:
        flip: bool [N], mirror left and right.
        turn_rad: float [N], rotation.
        zoom: float [N], above 1 enlarges.
        shift: float [N, 2], x and y, as shares of the side.
        shear_rad: float [N], slant of the columns.
    """

    flip: Tensor
    turn_rad: Tensor
    zoom: Tensor
    shift: Tensor
    shear_rad: Tensor


def affine_matrices(moves: Moves) -> Tensor:
    """Build the matrices from output to input, float32 [N, 3, 3], in coordinates from -1 to 1."""
    cos, sin = (by_numpy(wave, moves.turn_rad) / moves.zoom for wave in (np.cos, np.sin))
    mirror = torch.where(moves.flip, -1.0, 1.0)
    slant = by_numpy(np.tan, moves.shear_rad)
    matrices = torch.zeros(len(cos), 3, 3)
    matrices[:, 0, 0], matrices[:, 0, 1] = cos * mirror, cos * slant - sin
    matrices[:, 1, 0], matrices[:, 1, 1] = sin * mirror, sin * slant + cos
    matrices[:, :2, 2] = 2 * moves.shift
    matrices[:, 2, 2] = 1
    return matrices


def by_numpy(function: Callable[..., Any], values: Tensor) -> Tensor:
    """Apply a function of numpy's to the few numbers of a draw.

    Torch's own exponentials, roots and sines share even a hundred numbers among its threads and wait for all of them:
    on a machine that others use, too, each may cost more than to augment the whole batch.
    """
    return torch.from_numpy(function(values.numpy()))


def perspective_matrices(corners: Tensor) -> Tensor:
    """Build the homographies that take the square from -1 to 1 to four corners.

    In closed form for the unit square (Heckbert 1989, section 2.2.3).

    Args:
        corners: float [N, 4, 2], x and y of top left, top right, bottom right and bottom left.

    Returns:
        float32 [N, 3, 3].
    """
    a, b, c, d = corners.double().unbind(1)
    bend = a - b + c - d
    right, left = b - c, d - c
    area = _cross(right, left)
    g, h = _cross(bend, left) / area, _cross(right, bend) / area
    columns = [b - a + g[:, None] * b, d - a + h[:, None] * d, a]
    from_unit = torch.cat([torch.stack(columns, 2), torch.stack([g, h, torch.ones_like(g)], 1)[:, None]], 1)
    to_unit = torch.tensor([[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
    whole = from_unit @ to_unit
    return (whole / whole[:, 2:, 2:]).float()


def square(count: int) -> Tensor:
    """Give the corners of the square from -1 to 1, float32 [count, 4, 2]."""
    return torch.tensor(_CORNERS).expand(count, 4, 2)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample pictures; outside a picture its border is repeated.

    Bilinear, without a filter against aliasing: no augmentation here shrinks by so much that it needs one.

    Args:
        images: float [N, C, H, W].
        matrices: float32 [N, 3, 3], from output to input, in coordinates from -1 to 1.
    """
    grid = sampling_grid(matrices.to(images.device), images.shape[-2], images.shape[-1])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def sampling_grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """Compute where each pixel comes from, float32 [N, H, W, 2], x and y from -1 to 1."""
    down, across = _centres(height, matrices.device), _centres(width, matrices.device)
    rows = matrices[:, :, 1, None] * down + matrices[:, :, 2, None]
    columns = matrices[:, :, 0, None] * across
    if bool((matrices[:, 2, :2] == 0).all()):
        grid = matrices.new_empty(len(matrices), height, width, 2)
        for axis in (0, 1):
            torch.add(rows[:, axis, :, None], columns[:, axis, None, :], out=grid[..., axis])
        return grid
    points = rows[:, :, :, None] + columns[:, :, None, :]
    return (points[:, :2] / points[:, 2:]).permute(0, 2, 3, 1)


@lru_cache(maxsize=16)
def _centres(count: int, device: torch.device) -> Tensor:
    return (torch.arange(count, device=device, dtype=torch.float32) * 2 + 1) / count - 1
