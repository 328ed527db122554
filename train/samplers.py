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
