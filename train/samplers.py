"""Which rows an epoch shows, in which order, on which rank; the same for a given seed on any number of runs."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

PADDING = -1
"""Stands for no row: fills the last batch of a rank that has fewer rows than another."""


class RepeatSampler(Sampler[int]):
    """Show each row `repeats` times an epoch, shuffled by seed + epoch, every rank taking each `world`-th.

    Where the rank count does not divide an epoch, the first few entries are shown once more at its end, so that all
    ranks take the same number of steps.
    """

    def __init__(self, repeats: NDArray[np.int64], seed: int, rank: int = 0, world: int = 1) -> None:
        self.entries = torch.repeat_interleave(torch.arange(len(repeats)), torch.from_numpy(repeats))
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next pass shows; Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.entries) / self.world)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = self.entries[torch.randperm(len(self.entries), generator=generator)]
        padded = order.repeat(1 + self.world // max(len(order), 1))[: len(self) * self.world]
        padded = torch.cat([order, padded])[: len(self) * self.world]
        return iter(padded[self.rank :: self.world].tolist())


class BalancedSampler(Sampler[int]):
    """Draw `size` rows an epoch by weight, with replacement, every rank taking each `world`-th.

    The draw is systematic (Kitagawa 1996) over the rows in a new random order: a row that should come 2.3 times comes
    2 or 3 times, and a class keeps its share to within a row or so, which drawing each row by itself does not.
    """

    def __init__(self, weights: NDArray[np.float64], size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        self.size = size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next pass shows; Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.size / self.world)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.weights))
        ends = np.cumsum(self.weights[order])
        count = len(self) * self.world
        marks = (np.arange(count) + rng.random()) * (ends[-1] / count)
        # rounding may put the last mark on the last end
        drawn = order[np.minimum(np.searchsorted(ends, marks, side="right"), np.flatnonzero(self.weights[order])[-1])]
        return iter(rng.permutation(drawn)[self.rank :: self.world].tolist())


def row_weights(targets: NDArray[np.float32], repeats: NDArray[np.int64], power: float = 1.0) -> NDArray[np.float64]:
    """Weigh rows so that classes come more evenly than their rows do.

    Args:
        targets: float32 [N, classes], 1 in the column of the class; NaN where a row has no label.
        repeats: int64 [N], how many times an epoch would show each row.
        power: 1 gives every class the same share of an epoch, 0.5 one by the root of its rows, 0 what `repeats` says.

    Returns:
        float64 [N], for `BalancedSampler`; rows without a label have the labelled ones' mean for each repeat.
    """
    labelled = ~np.isnan(targets).any(axis=1)
    classes = targets[labelled].argmax(axis=1)
    shown = np.bincount(classes, weights=repeats[labelled], minlength=targets.shape[1])
    weights = repeats.astype(np.float64)
    weights[labelled] *= shown[classes] ** -power
    if labelled.any():
        weights[labelled] *= repeats[labelled].sum() / weights[labelled].sum()
    return weights


class OnceSampler(Sampler[int]):
    """Show each row exactly once over all ranks, in order; ranks with fewer rows end with `PADDING`."""

    def __init__(self, count: int, rank: int = 0, world: int = 1) -> None:
        self.count = count
        self.rank = rank
        self.world = world

    def __len__(self) -> int:
        return math.ceil(self.count / self.world)

    def __iter__(self) -> Iterator[int]:
        for step in range(len(self)):
            row = step * self.world + self.rank
            yield row if row < self.count else PADDING
