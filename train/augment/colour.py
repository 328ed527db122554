"""Colour as one matrix and one offset a picture, noise from a bank, and erased rectangles."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

WHITE = 255.0
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_BANK = 2**22
_BANK_SEED = 0
FILL_MEAN, FILL_STD = WHITE / 2, WHITE / 4


class Tint(NamedTuple):
    """What recolours each picture of a batch.

    Attributes:
        saturation: float [N], a factor; 0 turns grey.
        contrast: float [N], a factor.
        brightness: float [N], to add, on the scale 0 to 255.
    """

    saturation: Tensor
    contrast: Tensor
    brightness: Tensor


def recolour(images: Tensor, tint: Tint) -> Tensor:
    """Bring each pixel nearer to its luma, stretch about each picture's mean, then add; in one pass.

    Args:
        images: float [N, 3, H, W], RGB, 0 to 255.
        tint: Of each picture.
    """
    saturation, contrast, brightness = (part.to(images).view(-1, 1, 1) for part in tint)
    luma = images.new_tensor(LUMA).expand(1, 3, 3)
    matrices = saturation * torch.eye(3, device=images.device) + (1 - saturation) * luma
    pixels = images.flatten(2)
    mean = (matrices @ pixels.mean(2, keepdim=True)).mean(1, keepdim=True)
    offset = mean * (1 - contrast) + brightness
    return torch.baddbmm(offset, matrices * contrast, pixels).view_as(images)


def add_noise(images: Tensor, deviation: Tensor, starts: Tensor) -> Tensor:
    """Add Gaussian noise to pictures in place.

    Args:
        images: float [N, C, H, W]; changed.
        deviation: float [N], of each picture's noise.
        starts: int64 [N], where its noise starts in the bank.
    """
    noise = noise_like(images, starts)
    return images.addcmul_(noise, deviation.to(images).view(-1, 1, 1, 1))


def erase(images: Tensor, boxes: Tensor, starts: Tensor) -> Tensor:
    """Cover a rectangle of each picture with grey noise (Zhong et al. 2020, random values for each pixel).

    Args:
        images: float [N, C, H, W]; changed.
        boxes: int64 [N, 4], on the CPU: top, left, bottom, right; empty ones cover nothing.
        starts: int64 [N], on the CPU, where the noise of each starts in the bank.
    """
    where = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero().squeeze(1)
    if not len(where):
        return images
    top, left, bottom, right = boxes[where].to(images.device).view(-1, 4, 1).unbind(1)
    down, across = (torch.arange(side, device=images.device) for side in images.shape[-2:])
    inside = ((down >= top) & (down < bottom))[:, None, :, None] & ((across >= left) & (across < right))[:, None, None]
    at = where.to(images.device)
    fill = noise_like(images[:1].expand(len(where), -1, -1, -1), starts[where])
    fill = fill.mul_(FILL_STD).add_(FILL_MEAN).clamp_(0, WHITE)
    return images.index_copy_(0, at, torch.where(inside, fill, images[at]))


def noise_starts(count: int, values: int, generator: torch.Generator) -> Tensor:
    """Draw where the noise of each of `count` pictures of so many values starts in the bank, int64 [count]."""
    return torch.randint(_bank_size(values) - values, (count,), generator=generator)


def noise_like(images: Tensor, starts: Tensor) -> Tensor:
    """Take standard normal values for pictures from the bank, which is the same on every device.

    Drawing each value afresh would cost more than all other augmentation together. Two pictures of a batch have the
    same noise only where they start at the same of the bank's four million values.
    """
    values = images[0].numel()
    windows = bank(values, images.device).unfold(0, values, 1)
    return windows.index_select(0, starts.to(images.device)).view(images.shape)


def bank(values: int, device: torch.device) -> Tensor:
    """Give the standard normal values for pictures of so many each."""
    return _bank(_bank_size(values), device)


def _bank_size(values: int) -> int:
    return max(_BANK, 4 * values)


@lru_cache(maxsize=4)
def _bank(size: int, device: torch.device) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(_BANK_SEED)).to(device)
