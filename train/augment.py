"""Augments a batch at once: one affine resampling, then colour, then loss of resolution; all from one generator."""

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Generator, Tensor

from align import UsageError

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_LADDER_STEPS = 6
_WHITE = 255.0
_BLUR_REACH = 4.0  # standard deviations


@dataclass(frozen=True)
class AugmentSpec:
    """How far each augmentation may go; 0 turns one off, and all at 0 leave pictures as they are.

    Attributes:
        flip: Probability of mirroring left and right.
        rotate_deg: Largest rotation, either way.
        shift: Largest shift, as a share of the picture's side, either way and axis.
        zoom: Largest change of size: 0.25 means a factor of 1 / 1.25 to 1.25.
        brightness: Largest change, as a share of white.
        contrast: Largest change of contrast: 0.5 means a factor of 1 / 1.5 to 1.5.
        grey: Probability of turning grey.
        low_resolution: Probability of shrinking the picture and enlarging it again.
        min_side_px: The smallest side to shrink to.
        blur: Probability of a Gaussian blur.
        blur_sigma_px: Its largest standard deviation.
    """

    flip: float = 0.5
    rotate_deg: float = 10.0
    shift: float = 0.05
    zoom: float = 0.1
    brightness: float = 0.1
    contrast: float = 0.2
    grey: float = 0.1
    low_resolution: float = 0.1
    min_side_px: int = 24
    blur: float = 0.1
    blur_sigma_px: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            top = 1.0 if field.name in ("flip", "grey", "low_resolution", "blur", "shift", "brightness") else math.inf
            if not 0 <= value <= top:
                raise UsageError(f"data.augment.{field.name} must be a number from 0 to {top:g} (got {value})")
        if self.min_side_px < 1:
            raise UsageError(f"data.augment.min_side_px must be an integer >= 1 (got {self.min_side_px})")


class Augment:
    """Draws and applies the augmentation of a batch.

    What is drawn comes from a CPU generator alone, so that it is the same on every device.
    """

    def __init__(self, spec: AugmentSpec) -> None:
        self.spec = spec

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Augment a batch.

        Args:
            images: uint8 or float [N, 3, H, W], RGB, 0 to 255.
            generator: On the CPU; advanced by the same amount for the same shape.

        Returns:
            float32 [N, 3, H, W], 0 to 255.
        """
        spec, count = self.spec, len(images)
        out = images.float()

        def signed(limit: float) -> Tensor:
            return (torch.rand(count, generator=generator) * 2 - 1) * limit

        def chosen(probability: float) -> Tensor:
            return torch.rand(count, generator=generator) < probability

        flip, turn = chosen(spec.flip), signed(math.radians(spec.rotate_deg))
        zoom, shift_x, shift_y = signed(math.log1p(spec.zoom)).exp(), signed(spec.shift), signed(spec.shift)
        out = warp(out, affine_matrices(flip, turn, zoom, torch.stack([shift_x, shift_y], 1)))
        grey, contrast, brightness = chosen(spec.grey), signed(math.log1p(spec.contrast)).exp(), signed(spec.brightness)
        out = recolour(out, grey, contrast, brightness * _WHITE)
        shrunk, sides = chosen(spec.low_resolution), self._sides(count, out.shape[-1], generator)
        blurred, sigma = chosen(spec.blur), torch.rand(count, generator=generator) * spec.blur_sigma_px
        out = lose_detail(out, torch.where(shrunk, sides, out.shape[-1]), torch.where(blurred, sigma, 0.0))
        return out.clamp(0, _WHITE)

    def _sides(self, count: int, side_px: int, generator: Generator) -> Tensor:
        """Draw sides from a geometric ladder between the smallest and the full one."""
        smallest = min(self.spec.min_side_px, side_px)
        steps = torch.randint(_LADDER_STEPS, (count,), generator=generator)
        return (smallest * (side_px / smallest) ** (steps / _LADDER_STEPS)).round().long()


def affine_matrices(flip: Tensor, turn_rad: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """Build the matrices from output to input that `affine_grid` takes.

    Args:
        flip: bool [N], mirror left and right.
        turn_rad: float [N], rotation.
        zoom: float [N], above 1 enlarges.
        shift: float [N, 2], x and y, as shares of the side.

    Returns:
        float32 [N, 2, 3], in coordinates from -1 to 1.
    """
    cos, sin = torch.cos(turn_rad) / zoom, torch.sin(turn_rad) / zoom
    mirror = torch.where(flip, -1.0, 1.0)
    rows = [torch.stack([cos * mirror, -sin, 2 * shift[:, 0]], 1), torch.stack([sin * mirror, cos, 2 * shift[:, 1]], 1)]
    return torch.stack(rows, 1)


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample float [N, C, H, W] by [N, 2, 3]; outside the picture its border is repeated."""
    grid = F.affine_grid(matrices.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def recolour(images: Tensor, grey: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Turn `grey` pictures grey, stretch about each picture's mean by `contrast`, then add `brightness`.

    Args:
        images: float [N, 3, H, W], RGB, 0 to 255.
        grey: bool [N].
        contrast: float [N], a factor.
        brightness: float [N], on the scale 0 to 255.
    """
    out = images
    where = grey.nonzero().squeeze(1).to(images.device)
    if len(where):
        luma = torch.einsum("nchw,c->nhw", images[where], images.new_tensor(_LUMA))
        out = images.index_copy(0, where, luma[:, None].expand(-1, 3, -1, -1))
    mean = out.mean(dim=(1, 2, 3))
    gain = contrast.to(images.device)
    offset = mean * (1 - gain) + brightness.to(images.device)
    return torch.addcmul(offset.view(-1, 1, 1, 1), out, gain.view(-1, 1, 1, 1))


def lose_detail(images: Tensor, sides_px: Tensor, sigma_px: Tensor) -> Tensor:
    """Shrink each picture to its side and enlarge it again, then blur it by its own standard deviation.

    Both are linear and separable: one matrix a picture, applied to its columns and to its rows.

    Args:
        images: float [N, C, S, S].
        sides_px: int64 [N], 1 to S; S leaves a picture's resolution as it is.
        sigma_px: float [N], of a Gaussian; 0 does not blur.
    """
    side = images.shape[-1]
    where = ((sides_px < side) | (sigma_px > 0)).nonzero().squeeze(1)
    if not len(where):
        return images
    matrices = torch.stack([shrink_matrix(side, small) for small in sides_px[where].tolist()])
    blurred = sigma_px[where] > 0
    matrices[blurred] = blur_matrices(side, sigma_px[where][blurred]) @ matrices[blurred]
    matrices = matrices.mT.to(images.device, images.dtype)
    where = where.to(images.device)
    rows_done = (images[where].flatten(1, 2) @ matrices).view(-1, *images.shape[1:])
    columns_done = (rows_done.mT.flatten(1, 2) @ matrices).view(-1, *images.shape[1:])
    return images.index_copy(0, where, columns_done.mT)


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
    weights = torch.where(distance.abs() <= _BLUR_REACH, torch.exp(-0.5 * distance**2), 0.0)
    return weights / weights.sum(2, keepdim=True)
