"""Loss of detail: a lower resolution, and blur."""

from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor

BLUR_REACH = 4.0  # standard deviations


def lose_detail(images: Tensor, sides_px: Tensor, sigma_px: Tensor) -> Tensor:
    """Shrink each picture to its side and enlarge it again, then blur it by its own standard deviation.

    Both are linear and separable: one matrix a picture, applied to its columns and to its rows.

    Args:
        images: float [N, C, S, S].
        sides_px: int64 [N], on the CPU, 1 to S; S leaves a picture's resolution as it is.
        sigma_px: float [N], on the CPU, of a Gaussian; 0 does not blur.
    """
    side = images.shape[-1]
    where = loses_detail(side, sides_px, sigma_px)
    if not len(where):
        return images
    matrices = detail_matrices(side, sides_px[where], sigma_px[where]).to(images.device, images.dtype)
    where = where.to(images.device)
    columns_done = matrices[:, None] @ images[where]
    rows_done = (columns_done.flatten(1, 2) @ matrices.mT).view_as(columns_done)
    return images.index_copy(0, where, rows_done)


def loses_detail(side_px: int, sides_px: Tensor, sigma_px: Tensor) -> Tensor:
    """Find the pictures that lose any detail, int64."""
    return ((sides_px < side_px) | (sigma_px > 0)).nonzero().squeeze(1)


def detail_matrices(side_px: int, sides_px: Tensor, sigma_px: Tensor) -> Tensor:
    """Build the matrices [N, side, side] that a picture's columns, and its rows, are multiplied by."""
    if not len(sides_px):
        return torch.zeros(0, side_px, side_px)
    matrices = torch.stack([shrink_matrix(side_px, small) for small in sides_px.tolist()])
    blurred = sigma_px > 0
    matrices[blurred] = blur_matrices(side_px, sigma_px[blurred]) @ matrices[blurred]
    return matrices


@lru_cache(maxsize=64)
def shrink_matrix(side_px: int, small_px: int) -> Tensor:
    """Build the matrix [side, side] that shrinks a column to `small_px`, antialiased, and enlarges it again."""
    columns = torch.eye(side_px)[None, None]
    if small_px >= side_px:
        return columns[0, 0]
    small = F.interpolate(columns, size=(small_px, side_px), mode="bilinear", antialias=True, align_corners=False)
    back = F.interpolate(small, size=(side_px, side_px), mode="bilinear", align_corners=False)
    return back[0, 0]


def blur_matrices(side_px: int, sigma_px: Tensor) -> Tensor:
    """Build the matrices [N, side, side] that blur a column; weights at the ends are brought to a sum of 1."""
    at = torch.arange(side_px, dtype=torch.float32)
    distance = (at[:, None] - at[None, :])[None] / sigma_px.clamp(min=1e-3).view(-1, 1, 1)
    weights = torch.where(distance.abs() <= BLUR_REACH, torch.exp(-0.5 * distance**2), 0.0)
    return weights / weights.sum(2, keepdim=True)
