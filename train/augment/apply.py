"""Draws the augmentation of a batch from one generator, and applies it."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from ..batch import derived_seed
from .colour import WHITE, Tint, add_noise, erase, noise_starts, recolour
from .detail import lose_detail
from .geometry import Moves, affine_matrices, by_numpy, perspective_matrices, square, warp
from .on_cpu import augment_on_cpu
from .spec import AugmentSpec

_LADDER_STEPS = 6
_ERASE_RATIO = 10 / 3  # of a rectangle's sides, at most
_ERASE_LEAST = 1 / 16  # of the largest area


class Draws(NamedTuple):
    """What was drawn for each picture of a batch; all on the CPU, the first dimension is N."""

    matrices: Tensor
    saturation: Tensor
    contrast: Tensor
    brightness: Tensor
    sides_px: Tensor
    sigma_px: Tensor
    noise: Tensor
    noise_starts: Tensor
    boxes: Tensor
    fill_starts: Tensor


def augment_by_torch(images: Tensor, draws: Draws) -> Tensor:
    """Augment a batch by torch's own operations, on any device.

    Args:
        images: uint8 or float [N, 3, S, S], RGB, 0 to 255.
        draws: Of what to do.

    Returns:
        float32 [N, 3, S, S], 0 to 255.
    """
    out = warp(images.to(torch.float32, memory_format=torch.contiguous_format), draws.matrices)
    out = lose_detail(out, draws.sides_px, draws.sigma_px)
    out = recolour(out, Tint(draws.saturation, draws.contrast, draws.brightness))
    if bool(draws.noise.any()):
        out = add_noise(out, draws.noise, draws.noise_starts)
    return erase(out.clamp_(0, WHITE), draws.boxes, draws.fill_starts)


def augment_by(images: Tensor, draws: Draws) -> Tensor:
    """Augment a batch as `augment_by_torch` does, by what is fastest where the batch is."""
    if images.device.type == "cpu" and images.dtype == torch.uint8:
        return augment_on_cpu(images, draws)
    return augment_by_torch(images, draws)


class _Dice:
    """Draws numbers for each picture of a batch."""

    def __init__(self, count: int, generator: Generator) -> None:
        self.count = count
        self.generator = generator

    def uniform(self, *shape: int) -> Tensor:
        """Draw from 0 to 1."""
        return torch.rand(self.count, *shape, generator=self.generator)

    def signed(self, limit: float, *shape: int) -> Tensor:
        """Draw from -limit to limit."""
        return (self.uniform(*shape) * 2 - 1) * limit

    def chosen(self, probability: float) -> Tensor:
        """Draw true with a probability."""
        return self.uniform() < probability

    def factor(self, limit: float) -> Tensor:
        """Draw from 1 / (1 + limit) to 1 + limit, log-uniform."""
        return by_numpy(np.exp, self.signed(math.log1p(limit)))


def _all_alike(move: Moves, flip: Tensor) -> Moves:
    """Move each picture by the one that was drawn; mirrored is each by its own draw."""
    return Moves(*(part.expand(len(flip), *part.shape[1:]) for part in move))._replace(flip=flip)


class Augment:
    """Draws and applies the augmentation of a batch.

    What is drawn comes from a CPU generator alone, so that it is the same on every device.

    Args:
        spec: How far each augmentation may go.
        seed: Of what is drawn once for all faces, where `spec` wants that.
    """

    def __init__(self, spec: AugmentSpec, seed: int = 0) -> None:
        self.spec = spec
        self.one_move: Moves | None = None
        if spec.one_move:
            self.one_move = self._moves(_Dice(1, Generator().manual_seed(derived_seed(seed))))

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Augment a batch.

        Args:
            images: uint8 or float [N, 3, S, S], RGB, 0 to 255.
            generator: On the CPU; advanced by the same amount for the same shape.

        Returns:
            float32 [N, 3, S, S], 0 to 255.
        """
        return augment_by(images, self.draw(len(images), images.shape[-1], generator))

    def draw(self, count: int, side_px: int, generator: Generator) -> Draws:
        """Draw what happens to each of `count` pictures."""
        spec, dice = self.spec, _Dice(count, generator)
        moves = self._moves(dice)
        jitter = dice.signed(2 * spec.perspective, 4, 2)
        matrices = affine_matrices(moves if self.one_move is None else _all_alike(self.one_move, moves.flip))
        if spec.perspective:
            matrices = matrices @ perspective_matrices(square(count) + jitter)
        values = 3 * side_px * side_px
        return Draws(
            matrices,
            torch.where(dice.chosen(spec.grey), 0.0, dice.factor(spec.saturation)),
            dice.factor(spec.contrast),
            dice.signed(spec.brightness) * WHITE,
            torch.where(dice.chosen(spec.low_resolution), self._sides(count, side_px, generator), side_px),
            torch.where(dice.chosen(spec.blur), dice.uniform() * spec.blur_sigma_px, 0.0),
            dice.uniform() * spec.noise * WHITE,
            noise_starts(count, values, generator),
            self._boxes(dice.chosen(spec.erase), dice.uniform(4), side_px),
            noise_starts(count, values, generator),
        )

    def _moves(self, dice: "_Dice") -> Moves:
        """Draw what moves each picture."""
        spec = self.spec
        return Moves(
            dice.chosen(spec.flip),
            dice.signed(math.radians(spec.rotate_deg)),
            dice.factor(spec.zoom),
            dice.signed(spec.shift, 2),
            dice.signed(math.radians(spec.shear_deg)),
        )

    def _sides(self, count: int, side_px: int, generator: Generator) -> Tensor:
        """Draw sides from a geometric ladder between the smallest and the full one."""
        smallest = min(self.spec.min_side_px, side_px)
        steps = torch.randint(_LADDER_STEPS, (count,), generator=generator)
        return (smallest * (side_px / smallest) ** (steps / _LADDER_STEPS)).round().long()

    def _boxes(self, chosen: Tensor, uniform: Tensor, side_px: int) -> Tensor:
        """Make the rectangles to erase, int64 [N, 4], of uniform [N, 4]; all of a rectangle lies in the picture.

        Areas are uniform and ratios log-uniform, as in Zhong et al. 2020; a side is cut to the picture's.
        """
        area = self.spec.erase_area * (_ERASE_LEAST + (1 - _ERASE_LEAST) * uniform[:, :1]) * side_px**2
        stretch = by_numpy(np.exp, (uniform[:, 1:2] - 0.5) * math.log(_ERASE_RATIO))
        sides = (torch.cat([stretch, 1 / stretch], 1) * by_numpy(np.sqrt, area)).round().clamp(max=side_px)
        start = (uniform[:, 2:] * (side_px - sides + 1)).floor().clamp(max=side_px - sides)
        return torch.cat([start, start + sides], 1).long() * chosen[:, None]
