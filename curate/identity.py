"""Descriptors of faces -> people: average linkage that two faces of one frame, or two given names, keep apart.

The distance of two clusters is the root mean square of the Euclidean distances between their faces, which their sums
and squared norms give without any list of pairs. The nearest clusters merge until none are within the threshold. Chains
do not form: a stranger who resembles one picture of a person is far from the mean of them all. Single linkage, and
chinese whispers on the graph of near pairs, need one such picture.

Average linkage is reducible (a merged cluster is never nearer to a third than the nearer of its parts), also with
pairs that may not merge. So every two clusters that are each other's nearest may merge at once, in rounds, with the
result of merging one pair at a time (Murtagh 1983). Memory is a block of distances, never N x N.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

_BLOCK = 1 << 21
"""Distances held at once: 16 MB, about what a processor's cache holds."""


@dataclass(frozen=True)
class Clusters:
    """Sets of faces, each by the moments that distances need.

    Attributes:
        mean: float64 [N, D], mean descriptor.
        square: float64 [N], mean squared length of a descriptor.
        weight: float64 [N], how many faces.
    """

    mean: _Floats
    square: _Floats
    weight: _Floats

    def merged(self, number: _Ints) -> "Clusters":
        """Merge the clusters that have one number, 0 to K - 1."""
        count = int(number.max(initial=-1)) + 1
        weight = np.bincount(number, self.weight, minlength=count).astype(np.float64)
        square = np.bincount(number, self.square * self.weight, minlength=count) / weight
        mean = np.zeros((count, self.mean.shape[1]))
        np.add.at(mean, number, self.mean * self.weight[:, None])
        return Clusters(mean / weight[:, None], square, weight)

    def take(self, rows: _Ints) -> "Clusters":
        """Give some of them."""
        return Clusters(self.mean[rows], self.square[rows], self.weight[rows])

    def squared_distances(self, others: "Clusters") -> _Floats:
        """Give the mean squared distance between the faces of each of these and each of those: float64 [N, M]."""
        found = (-2 * self.mean) @ others.mean.T
        found += others.square
        found += self.square[:, None]
        return np.asarray(np.maximum(found, 0, out=found))

    def rough(self, middle: _Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give means, as seen from a middle, and squares in single precision: distances from them are off by 1e-6."""
        mean = self.mean - middle
        square = self.square - 2 * self.mean @ middle + middle @ middle
        return mean.astype(np.float32), square.astype(np.float32)


def gather(descriptors: NDArray[np.float32], number: _Ints) -> Clusters:
    """Gather faces into the clusters that they belong to from the start, such as tracks.

    Args:
        descriptors: float32 [F, D].
        number: [F], 0 to N - 1, each at least once.

    Returns:
        N clusters.
    """
    faces = descriptors.astype(np.float64)
    single = Clusters(faces, np.square(faces).sum(axis=1), np.ones(len(faces)))
    return single.merged(number)


def group_people(
    start: Clusters, threshold: float, apart: Iterable[tuple[int, int]] = (), named: NDArray[np.bool_] | None = None
) -> _Ints:
    """Group clusters into people.

    Args:
        start: N clusters, such as tracks. Of merges that are equally near the one of smaller rows comes first.
        threshold: Root mean square of the distances between two clusters' faces, up to which they merge.
        apart: Pairs of rows that are never in one group, such as two faces of one frame.
        named: bool [N]: rows of which no two are ever in one group, such as people whose names are known.

    Returns:
        int64 [N]: the smallest row of each row's group.
    """
    work = _Merging(start, threshold**2, apart, np.zeros(len(start.weight), np.bool_) if named is None else named)
    while work.merge_round():
        pass
    return work.group


class _Merging:
    """Groups on their way; a group stands under its smallest row."""

    def __init__(
        self, start: Clusters, limit: float, apart: Iterable[tuple[int, int]], named: NDArray[np.bool_]
    ) -> None:
        count = len(start.weight)
        self.group = np.arange(count)
        self._limit = limit
        self._mean, self._square, self._weight = start.mean.copy(), start.square.copy(), start.weight.copy()
        self._named = named.copy()
        self._middle = start.mean.mean(axis=0) if count else np.zeros(start.mean.shape[1])
        self._apart: dict[int, set[int]] = {}
        for i, j in apart:
            if i != j:
                self._apart.setdefault(i, set()).add(j)
                self._apart.setdefault(j, set()).add(i)
        self._alive = np.arange(count)  # groups that another one is within the limit of
        self._nearest = np.full(count, -1)
        self._distance = np.full(count, np.inf)
        self._search(self._alive)

    def merge_round(self) -> bool:
        """Merge all pairs that are each other's nearest, and look again where that changed something."""
        self._alive = self._alive[self._distance[self._alive] <= self._limit]
        if not len(self._alive):
            return False
        nearest = self._nearest[self._alive]
        mutual = (self._nearest[nearest] == self._alive) & (self._alive < nearest)
        low, high = self._alive[mutual], nearest[mutual]
        if not len(low):  # equally near ones point at one another in a ring
            first = np.lexsort((nearest, self._alive, self._distance[self._alive]))[0]
            low, high = (np.array([f(self._alive[first], nearest[first])]) for f in (min, max))
        self._merge(low, high)
        gone = np.zeros(len(self.group), np.bool_)
        gone[high] = True
        self._alive = self._alive[~gone[self._alive]]
        changed = gone.copy()
        changed[low] = True
        self._search(self._alive[changed[self._alive] | changed[self._nearest[self._alive]]])
        return True

    def _merge(self, low: _Ints, high: _Ints) -> None:
        into = np.arange(len(self.group))
        into[high] = low
        self.group = into[self.group]
        a, b = self._weight[low], self._weight[high]
        self._mean[low] = (self._mean[low] * a[:, None] + self._mean[high] * b[:, None]) / (a + b)[:, None]
        self._square[low] = (self._square[low] * a + self._square[high] * b) / (a + b)
        self._weight[low] = a + b
        self._named[low] |= self._named[high]
        for to, gone in zip(low.tolist(), high.tolist(), strict=True):
            others = self._apart.pop(gone, set())
            for other in others:
                self._apart[other].discard(gone)
                self._apart[other].add(to)
            if others:
                self._apart.setdefault(to, set()).update(others)

    def _search(self, rows: _Ints) -> None:
        """Find the nearest living group of each of `rows` that it may merge with.

        Nearest by single precision, which is three times as fast; its distance is then exact.
        """
        alive, moments = self._alive, Clusters(self._mean, self._square, self._weight)
        mean, square = moments.take(alive).rough(self._middle)
        step = max(1, _BLOCK // max(len(alive), 1))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            places = np.searchsorted(alive, part)
            distances = (-2 * mean[places]) @ mean.T
            distances += square
            distances[np.arange(len(part)), places] = np.inf
            distances[np.ix_(self._named[part], self._named[alive])] = np.inf
            for line, row in enumerate(part.tolist()):
                if forbidden := self._apart.get(row):
                    distances[line, _places(alive, forbidden)] = np.inf
            best = distances.argmin(axis=1)
            allowed = np.isfinite(distances[np.arange(len(part)), best])
            self._nearest[part] = alive[best]
            a, b = moments.take(part), moments.take(alive[best])
            exact = a.square + b.square - 2 * (a.mean * b.mean).sum(axis=1)
            self._distance[part] = np.where(allowed, np.maximum(exact, 0), np.inf)


def _places(alive: _Ints, wanted: set[int]) -> _Ints:
    """Give the places of those of `wanted` that are among the sorted `alive`."""
    known = np.fromiter(wanted, np.int64)
    places = np.searchsorted(alive, known)
    places, known = places[places < len(alive)], known[places < len(alive)]
    return np.asarray(places[alive[places] == known])


def confidence(start: Clusters, group: _Ints, threshold: float) -> _Floats:
    """Say how sure each cluster's group is, as a silhouette does (Rousseeuw 1987).

    1 - a / b, and 0 where b is below a: a is the distance to the other faces of the group (the threshold where there
    are none), b the distance to the faces of the nearest other group. 1 where there is only one group.

    Args:
        start: N clusters.
        group: int64 [N], what `group_people` gave.
        threshold: What it was given.

    Returns:
        float64 [N].
    """
    number = np.unique(group, return_inverse=True)[1]
    people = start.merged(number)
    rest = people.weight[number] - start.weight
    lone = rest < 0.5
    safe = np.where(lone, 1.0, rest)
    mean = (people.mean[number] * people.weight[number][:, None] - start.mean * start.weight[:, None]) / safe[:, None]
    square = (people.square[number] * people.weight[number] - start.square * start.weight) / safe
    own = np.sqrt(np.maximum(start.square + square - 2 * (start.mean * mean).sum(axis=1), 0))
    own[lone] = threshold
    other = np.full(len(number), np.inf)
    step = max(1, _BLOCK // max(len(people.weight), 1))
    for begin in range(0, len(number), step):
        part = np.arange(begin, min(begin + step, len(number)))
        distances = start.take(part).squared_distances(people)
        distances[np.arange(len(part)), number[part]] = np.inf
        other[part] = np.sqrt(distances.min(axis=1))
    return np.asarray(np.clip(1 - own / np.maximum(other, 1e-12), 0, 1))


def name_person(smallest_id: str, taken: set[str]) -> str:
    """Name a person by a digest of the smallest face_id; a name that is taken is digested once more."""
    text = smallest_id
    while True:
        text = blake2b(text.encode(), digest_size=4).hexdigest()
        if (name := f"person-{text}") not in taken:
            return name


def pairwise_scores(found: Sequence[object], true: Sequence[object]) -> tuple[float, float]:
    """Compare two groupings by their pairs.

    Args:
        found: [N], a name for each face.
        true: [N], who it is.

    Returns:
        Precision: the share of true pairs among those found (1 where none is found); and recall: the share of the true
        pairs that are found.
    """
    a, b = (np.unique(np.asarray(names, str), return_inverse=True)[1] for names in (found, true))
    both = np.unique(a * (b.max(initial=0) + 1) + b, return_counts=True)[1]

    def pairs(counts: NDArray[np.int64]) -> int:
        return int((counts * (counts - 1) // 2).sum())

    hits, of_found, of_true = pairs(both), pairs(np.bincount(a)), pairs(np.bincount(b))
    return hits / of_found if of_found else 1.0, hits / of_true if of_true else 1.0
