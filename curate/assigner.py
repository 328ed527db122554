"""The greedy assigner behind `split.assign`: which group goes to train, val or test."""

import numpy as np
from numpy.typing import NDArray

from .folds import Ints, Sharing

Bits = NDArray[np.bool_]

NEGLIGIBLE = 1e-9
"""Shares below this are rounding: 1 - 0.9 - 0.1."""

_TRIES = 50  # groups tried, nearest first, to bring a class into a split


class Assigner:
    """Holds which group is in which split, and how far each split is from what was asked.

    Args:
        counts: int64 [G, C + 1], items of each class in each group, and in the last column the group's size; an item
            may be of several classes.
        shares: float64 [3], of train, val and test.
        chance: int64 [G], the order among groups that are alike.
        held: int64 [3, C + 1], what each split holds already and keeps; left out, nothing.
    """

    def __init__(self, counts: Ints, shares: NDArray[np.float64], chance: Ints, held: Ints | None = None) -> None:
        self.held = np.zeros((3, counts.shape[1]), np.int64) if held is None else held
        totals = counts.sum(axis=0) + self.held.sum(axis=0)
        self.sizes = counts[:, -1]
        self.largest = int(self.sizes.max())
        self.rounding = NEGLIGIBLE * totals[-1]
        self.open = [s for s in range(3) if shares[s] > 0]
        self.counts = counts
        self.missing = _wanted(shares, totals, self.held) - self.held
        self.weight = np.append(1.0 / np.maximum(totals[:-1], 1.0) ** 2, 0.0)  # the size only limits
        self.split_of = np.full(len(counts), -1, np.int64)
        self.order = np.lexsort((chance, -(counts[:, :-1] / np.maximum(totals[:-1], 1)).max(axis=1)))
        self.place = np.argsort(self.order)

    def fill(self) -> None:
        """Give groups, those with the largest part of some class first, to the split that lacks their classes most.

        It minimises the squared distance from the shares. A split that is full is passed over, so that none is over
        its share by more than one group.
        """
        for group in self.order:
            room = [s for s in self.open if self.missing[s, -1] > self.rounding] or self.open
            lack = self.missing[room] @ (self.weight * self.counts[group])
            self._put(group, room[int(np.argmax(lack))])

    def even_out(self) -> None:
        """Move groups to a split that is short by more than the largest group; each move lessens the total distance."""
        while (short := self.missing[self.open, -1].max()) > self.largest + self.rounding:
            to = max(self.open, key=lambda s: self.missing[s, -1])
            donors = [s for s in self.open if (self.split_of == s).any() and self.missing[s, -1] < 0]
            if not donors:  # what is held already cannot move
                return
            donor = min(donors, key=lambda s: self.missing[s, -1])
            members = [g for g in self.order if self.split_of[g] == donor]
            self._put(min(members, key=lambda g: abs(short - self.sizes[g])), to)

    def polish(self) -> None:
        """Move and swap groups while that brings the classes nearer to their shares, if sizes allow.

        Worth its time where items are of several classes: there the group that helps one class may harm another.
        """
        scale = np.maximum(self.counts.sum(axis=0) + self.held.sum(axis=0), 1).astype(np.float64)
        place = np.full(3, -1)
        place[self.open] = np.arange(len(self.open))
        work = Sharing(self.counts / scale, place[self.split_of], self.missing[self.open] / scale)
        work.improve()
        missing, split_of = self.missing.copy(), self.split_of.copy()
        for group in np.flatnonzero(work.fold_of != place[self.split_of]).tolist():
            self._put(group, self.open[int(work.fold_of[group])])
        if np.abs(self.missing[self.open, -1]).max() > self.largest + self.rounding:
            self.missing, self.split_of = missing, split_of

    def bring_classes(self) -> None:
        """Bring classes into the splits that have none of them: into train at any price, elsewhere where it is none.

        A class that is validated or tested but never trained on is of no use, so a class of one group is in train.
        """
        holds = self.counts[:, :-1] > 0
        rarest_first = np.argsort(holds.sum(axis=0), kind="stable")
        for to in self.open:
            for label in rarest_first:
                members = np.flatnonzero(holds[:, label])
                if not len(members) or self.held[to, label] or (self.split_of[members] == to).any():
                    continue
                done = self._bring(members[self._spare(members, holds)], to, holds)
                if to == 0 and not done and not self._bring(members, to, holds):
                    self._put(self._by_cost(members, to)[0][0], to)

    def _bring(self, groups: Ints, to: int, holds: Bits) -> bool:
        """Move one of `groups` to a split, and another back where that helps, if sizes allow; say whether they did."""
        for group in self._by_cost(groups, to)[0][:_TRIES]:
            donor, missing, split_of = self.split_of[group], self.missing.copy(), self.split_of.copy()
            self._put(group, to)
            present = np.flatnonzero(self.split_of == to)
            back, costs = self._by_cost(present[self._spare(present, holds)], donor)
            if len(back) and costs[0] < 0:
                self._put(back[0], donor)
            if np.abs(self.missing[[donor, to], -1]).max() <= self.largest + self.rounding:
                return True
            self.missing, self.split_of = missing, split_of
        return False

    def _put(self, group: int, to: int) -> None:
        if self.split_of[group] >= 0:
            self.missing[self.split_of[group]] += self.counts[group]
        self.missing[to] -= self.counts[group]
        self.split_of[group] = to

    def _spare(self, groups: Ints, holds: Bits) -> Bits:
        """Tell which groups leave, in their split, another group for each class they have."""
        having = np.stack([holds[self.split_of == s].sum(axis=0) for s in range(3)]) + (self.held[:, :-1] > 0)
        return np.asarray(((having[self.split_of[groups]] > 1) | ~holds[groups]).all(axis=1))

    def _by_cost(self, groups: Ints, to: int) -> tuple[Ints, NDArray[np.float64]]:
        """Sort groups by how much their move would lengthen the squared distance from the shares; give that, too."""
        change, before = self.counts[groups], self.missing[self.split_of[groups]]
        leaving = (before + change) ** 2 - before**2
        coming = (self.missing[to] - change) ** 2 - self.missing[to] ** 2
        costs = (leaving + coming) @ self.weight
        order = np.lexsort((self.place[groups], costs))
        return groups[order], costs[order]


def _wanted(shares: NDArray[np.float64], totals: Ints, held: Ints) -> NDArray[np.float64]:
    """Say how many items of each class each split is to have: its share of what the others do not hold too many of.

    A split that already holds more than its share keeps it; the others share the rest as they were to share the whole.
    """
    closed = np.zeros(3, np.bool_)
    while True:
        rest = totals - held[closed].sum(axis=0)
        part = np.where(closed, 0.0, shares)
        wanted = part[:, None] / max(part.sum(), NEGLIGIBLE) * rest
        wanted[closed] = held[closed]
        over = ~closed & (held[:, -1] > wanted[:, -1])
        if not over.any() or not (shares[~closed & ~over] > 0).any():
            return np.asarray(wanted)
        closed |= over
