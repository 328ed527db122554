"""Mixes pairs of a batch's pictures and their targets: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019)."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from align import UsageError


@dataclass(frozen=True)
class MixSpec:
    """How often and how strongly pairs are mixed; with both alphas at 0 nothing is.

    Attributes:
        mixup_alpha: The share of a picture in mixup is drawn from Beta(alpha, alpha); 0 turns mixup off.
        cutmix_alpha: Likewise the share of its area in CutMix.
        probability: Of a picture to be mixed at all.
        switch: With both on, the probability of CutMix; the others take mixup.
    """

    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    probability: float = 1.0
    switch: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            top = 1.0 if field.name in ("probability", "switch") else 1e6
            if not 0 <= value <= top:
                raise UsageError(f"data.mix.{field.name} must be a number from 0 to {top:g} (got {value})")


class Mix:
    """Mixes each picture of a batch with another one of it, by a share of its own.

    Pictures without any label are neither mixed nor a partner. Where one of a pair lacks the label of a task, the mix
    has none of it either: NaN spreads, and the loss leaves it out. What is drawn comes from a CPU generator alone.
    """

    def __init__(self, spec: MixSpec) -> None:
        self.spec = spec

    def __call__(self, images: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: float or uint8 [N, C, H, W].
            targets: float [N, outputs], NaN where not labelled.
            generator: On the CPU.

        Returns:
            float32 [N, C, H, W] and float [N, outputs]; as they came where nothing is to be mixed.
        """
        spec = self.spec
        if not (spec.mixup_alpha or spec.cutmix_alpha) or not spec.probability:
            return images, targets
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        labelled = (~targets.isnan()).any(1).cpu().numpy()
        partner = draw_partners(labelled, rng)
        share, boxes = self._draw(len(images), images.shape[-2:], rng)
        mixed = (rng.random(len(images)) < spec.probability) & (partner != np.arange(len(images)))
        share, boxes = np.where(mixed, share, 1.0), boxes * mixed[:, None, None]
        own = share * (1 - _area(boxes) / (images.shape[-2] * images.shape[-1]))
        partner = np.where(own < 1, partner, np.arange(len(images)))  # NaN of a partner that gives nothing stays out
        others = torch.from_numpy(partner).to(images.device)
        pictures = images.float()
        weights = _weights(torch.from_numpy(share), torch.from_numpy(boxes), pictures)
        own_share = torch.from_numpy(own[:, None]).to(targets)
        return pictures[others].lerp(pictures, weights), targets[others].lerp(targets, own_share)

    def _draw(
        self, count: int, size: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw the share of each picture in its mix outside its box, [N], and the box of its partner, [N, 2, 2].

        In mixup the box is empty, in CutMix the share is 1. A box is given by start and stop of its rows and columns;
        the border cuts it off.
        """
        spec = self.spec
        cut_share = spec.switch if spec.mixup_alpha else 1.0
        cut = rng.random(count) < (cut_share if spec.cutmix_alpha else 0.0)
        share = rng.beta(spec.mixup_alpha or 1.0, spec.mixup_alpha or 1.0, count)
        cut_area = 1 - rng.beta(spec.cutmix_alpha or 1.0, spec.cutmix_alpha or 1.0, count)
        half = np.sqrt(cut_area)[:, None] / 2 * size
        centre = rng.random((count, 2)) * size
        boxes = np.stack([centre - half, centre + half], 2).round().clip(0, np.array(size)[:, None]).astype(np.int64)
        return np.where(cut, 1.0, share), boxes * cut[:, None, None]


def draw_partners(labelled: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw for each labelled row another labelled one, int64 [N]; the others, and one alone, keep themselves."""
    partner = np.arange(len(labelled))
    order = rng.permutation(partner[labelled])
    partner[order] = np.roll(order, 1)
    return partner


def _area(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    sides = boxes[:, :, 1] - boxes[:, :, 0]
    return sides[:, 0] * sides[:, 1]


def _weights(share: Tensor, boxes: Tensor, images: Tensor) -> Tensor:
    """Compute how much of each pixel is the picture's own, [N, 1, 1, 1] or [N, 1, H, W]."""
    weights = share.to(images).view(-1, 1, 1, 1)
    if not bool(boxes.any()):
        return weights
    inside, boxes = [], boxes.to(images.device)
    for axis, side in enumerate(images.shape[-2:]):
        at = torch.arange(side, device=images.device)
        inside.append((at >= boxes[:, axis, :1]) & (at < boxes[:, axis, 1:]))
    return weights * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])
