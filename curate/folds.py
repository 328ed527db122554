"""Folds for cross-validation: groups whole, sizes and classes as even as they allow, none empty.

Groups are dealt, those with the largest parts of classes first, to the fold that lacks their classes most; then single
groups move and pairs change places as long as that brings the folds nearer to one another. scikit-learn's
StratifiedGroupKFold deals once, and looks at classes alone.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]

_MOST_SWAPPED = 3000  # groups up to which all pairs are weighed; more groups are dealt evenly without
_STEPS = 500
_TRIES = 8  # orders in which groups are dealt; the best outcome counts
_GAIN = 1e-12  # of the squared distance: what gains less gains by rounding


def even_folds(counts: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """Assign groups to folds.

    Args:
        counts: int64 [G, C + 1], items of each class in each group, and in the last column the group's size.
        folds: How many.
        rng: Decides between groups that are alike.

    Returns:
        int64 [G], 0 to `folds` - 1. A fold is empty only where there are fewer groups than folds.
    """
    parts = counts / np.maximum(counts.sum(axis=0), 1)  # of each class, and of the whole
    chance = rng.permutation(len(counts))
    tries = []
    for turn in range(_TRIES if len(counts) <= _MOST_SWAPPED else 1):
        first = parts.max(axis=1) * (rng.uniform(0.5, 1, len(parts)) if turn else 1.0)
        order = np.lexsort((chance, -first))
        work = Sharing(parts, np.full(len(parts), -1), np.tile(parts.sum(axis=0) / folds, (folds, 1)))
        for group in order.tolist():
            work.deal(group)
        work.improve()
        tries.append(work)
    return min(tries, key=lambda work: float(np.square(work.missing).sum())).fold_of


def unevenness(counts: Ints, fold_of: Ints, folds: int) -> float:
    """Measure how far folds are from equal: the squared distances of each class's parts, and of the sizes, summed."""
    parts = counts / np.maximum(counts.sum(axis=0), 1)
    held = np.stack([parts[fold_of == fold].sum(axis=0) for fold in range(folds)])
    return float(np.square(parts.sum(axis=0) / folds - held).sum())


class Sharing:
    """Which group is in which fold, and what part of each class each fold is still missing.

    Args:
        parts: float64 [G, C], what part of each class each group is.
        fold_of: int64 [G], -1 where a group has none yet.
        missing: float64 [folds, C], of what is wanted.
    """

    def __init__(self, parts: _Floats, fold_of: Ints, missing: _Floats) -> None:
        self.parts = parts
        self.folds = len(missing)
        self.fold_of = fold_of
        self.missing = missing

    def improve(self) -> None:
        """Move and swap groups while that brings the folds nearer to what is wanted."""
        for _ in range(_STEPS):
            if not self.move_one() and not self.swap_two():
                return

    def deal(self, group: int) -> None:
        """Give a group to the fold that lacks its classes most: to an empty one while there is one, it lacks all."""
        self._put(group, int(np.argmax(self.missing @ self.parts[group])))

    def move_one(self) -> bool:
        """Move the group that gains most by it; no fold loses its last one."""
        own = self.missing[self.fold_of]
        square = np.square(self.parts).sum(axis=1)
        gain = 2 * (self.parts @ self.missing.T - (self.parts * own).sum(axis=1)[:, None] - square[:, None])
        gain[np.arange(len(gain)), self.fold_of] = 0
        gain[np.bincount(self.fold_of, minlength=self.folds)[self.fold_of] < 2] = 0
        group, fold = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[group, fold] <= _GAIN:
            return False
        self._put(int(group), int(fold))
        return True

    def swap_two(self) -> bool:
        """Let the two groups change places that gain most by it."""
        if len(self.parts) > _MOST_SWAPPED:
            return False
        best = (_GAIN, -1, -1)
        for a in range(self.folds):
            for b in range(a + 1, self.folds):
                best = max(best, self._best_swap(a, b), key=lambda found: found[0])
        _, first, second = best
        if first < 0:
            return False
        a, b = int(self.fold_of[first]), int(self.fold_of[second])
        self._put(first, b)
        self._put(second, a)
        return True

    def _best_swap(self, a: int, b: int) -> tuple[float, int, int]:
        """Give the best swap between two folds: its gain and both groups."""
        left, right = np.flatnonzero(self.fold_of == a), np.flatnonzero(self.fold_of == b)
        if not len(left) or not len(right):
            return 0.0, -1, -1
        p, q, slope = self.parts[left], self.parts[right], self.missing[b] - self.missing[a]
        of_left = p @ slope - np.square(p).sum(axis=1)
        of_right = -(q @ slope) - np.square(q).sum(axis=1)
        gain = 2 * (of_left[:, None] + of_right[None, :] + 2 * (p @ q.T))
        i, j = np.unravel_index(int(gain.argmax()), gain.shape)
        return float(gain[i, j]), int(left[i]), int(right[j])

    def _put(self, group: int, fold: int) -> None:
        if self.fold_of[group] >= 0:
            self.missing[self.fold_of[group]] += self.parts[group]
        self.missing[fold] -= self.parts[group]
        self.fold_of[group] = fold
