"""Split items into train, val and test: no group on two sides, classes in their shares, the same for any input order.

Groups are what must stay together: a person, a cluster of near-duplicates, a source; `union_groups` merges them. The
assigner is greedy and is checked afterwards; what the groups do not allow is told by `describe` with its reason.
scikit-learn's StratifiedGroupKFold knows equal folds only, and may leave one empty or a class out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from align import EyelineError, UsageError

SPLITS = ("train", "val", "test")

Values = Sequence[Any] | NDArray[Any]
Names = NDArray[np.object_]
_Ints = NDArray[np.int64]
_Bits = NDArray[np.bool_]

_NEGLIGIBLE = 1e-9  # shares below this are rounding: 1 - 0.9 - 0.1
_TRIES = 50  # groups tried, nearest first, to bring a class into a split
_REPORTED = 0.01  # a split's share is called unmet when it is off by more than this


@dataclass(frozen=True)
class SplitReport:
    """What a split was asked for and what it got.

    Attributes:
        asked: Share of the items asked for, by split.
        got: Share of the items got: a row for each class and one for `all`, a column for each split.
        items: Number of items, likewise.
        groups: Number of groups, likewise; a group with items of several classes counts in each.
        unmet: One sentence for each thing that the groups did not allow.
    """

    asked: Mapping[str, float]
    got: pd.DataFrame
    items: pd.DataFrame
    groups: pd.DataFrame
    unmet: tuple[str, ...]


def union_groups(*keys: Values) -> _Ints:
    """Merge rows that share any key, directly or through others: union-find over persons, clusters, sources.

    Args:
        keys: Each [N]; null = shares nothing. A key that is distinct on every row, such as face_id, merges nothing.

    Returns:
        int64 [N], numbered by the smallest values of the first key, then the next, so that the numbers do not depend
        on the order of the rows; groups without any key come last, as they stand.

    Raises:
        UsageError: There is no key, or they differ in length.
    """
    if len({len(key) for key in keys}) != 1:
        raise UsageError(f"groups: expected keys of one length (found lengths {[len(key) for key in keys]})")
    count = len(keys[0])
    codes = [pd.factorize(np.asarray(key, object), sort=True)[0].astype(np.int64) for key in keys]
    offsets = np.cumsum([count, *(code.max(initial=-1) + 1 for code in codes)])
    rows = np.concatenate([np.flatnonzero(code >= 0) for code in codes])
    nodes = np.concatenate([code[code >= 0] + offset for code, offset in zip(codes, offsets[:-1], strict=True)])
    edges = coo_array((np.ones(len(rows), np.int8), (rows, nodes)), shape=(offsets[-1], offsets[-1]))
    component = connected_components(edges, directed=False)[1][:count] if count else np.empty(0, np.int64)
    found, component = np.unique(component, return_inverse=True)
    smallest = np.full((len(codes), len(found)), np.iinfo(np.int64).max)
    for code, least in zip(codes, smallest, strict=True):
        np.minimum.at(least, component[code >= 0], code[code >= 0])
    first_row = np.full(len(found), count)
    np.minimum.at(first_row, component, np.arange(count))
    number = np.empty(len(found), np.int64)
    number[np.lexsort((first_row, *smallest[::-1]))] = np.arange(len(found))
    return number[component]


def assign(groups: Values, labels: Values | None, fractions: Mapping[str, float], seed: int = 0) -> Names:
    """Assign each item to train, val or test, groups whole and classes in proportion.

    Each split's size ends within the largest group's size of what was asked. Within that, each class has its share in
    each split as nearly as whole groups allow, and is in every split for which it has groups. Train comes first: a
    class that would not be in train at all is brought there even where a share suffers.

    Args:
        groups: [N], such as `union_groups` gives.
        labels: [N], null being a class of its own; none = not stratified.
        fractions: Shares of val and test, such as {"val": 0.1, "test": 0.1}; train has the rest. {"test": 1.0} makes
            a set that only serves to test.
        seed: Decides between groups that are alike.

    Returns:
        object [N] of "train", "val" and "test". The order of the rows makes no difference.

    Raises:
        UsageError: `fractions` are no shares, the lengths differ, or a group is null.
    """
    shares = _shares(fractions)
    counts, group, _ = _counts(groups, labels)
    if not len(group):
        return np.empty(0, object)
    work = _Assigner(counts, shares, np.random.default_rng(seed).permutation(len(counts)))
    work.fill()
    work.even_out()
    work.bring_classes()
    assigned = np.asarray(SPLITS, object)[work.split_of[group]]
    _refuse_torn_groups(assigned, group)
    return assigned


def describe(assigned: Values, groups: Values, labels: Values | None, fractions: Mapping[str, float]) -> SplitReport:
    """Check a split and report asked and got, by split and class, with the reason for what is unmet.

    Raises:
        EyelineError: A group is on two sides.
        UsageError: As for `assign`.
    """
    shares = _shares(fractions)
    counts, group, classes = _counts(groups, labels)
    _refuse_torn_groups(assigned, group)
    side = pd.Categorical(np.asarray(assigned, object), categories=SPLITS).codes
    split_of = np.zeros(len(counts), np.int64)
    split_of[group] = side
    items = pd.DataFrame([counts[split_of == s].sum(axis=0) for s in range(3)], list(SPLITS), classes).T
    holds = pd.DataFrame([(counts[split_of == s] > 0).sum(axis=0) for s in range(3)], list(SPLITS), classes).T
    items.loc["all"], holds.loc["all"] = items.sum(), np.bincount(split_of, minlength=3)
    got = items.div(items.sum(axis=1).clip(lower=1), axis=0)
    asked = dict(zip(SPLITS, shares.tolist(), strict=True))
    largest = int(counts.sum(axis=1).max(initial=0))
    unmet = (*_unmet_classes(holds, asked, largest), *_unmet_shares(dict(got.T["all"]), asked, largest))
    return SplitReport(asked, got, items, holds, unmet if len(group) else ())


class _Assigner:
    """Holds which group is in which split, and how far each split is from what was asked.

    Args:
        counts: int64 [G, C], items of each class in each group.
        shares: float64 [3], of train, val and test.
        chance: int64 [G], the order among groups that are alike.
    """

    def __init__(self, counts: _Ints, shares: NDArray[np.float64], chance: _Ints) -> None:
        totals = counts.sum(axis=0)
        self.sizes = counts.sum(axis=1)
        self.largest = int(self.sizes.max())
        self.rounding = _NEGLIGIBLE * self.sizes.sum()
        self.open = [s for s in range(3) if shares[s] > 0]
        self.counts = np.column_stack([counts, self.sizes])  # the last column, the whole, only limits a split's size
        self.missing = shares[:, None] * np.append(totals, totals.sum())
        self.weight = np.append(1.0 / totals**2, 0.0)
        self.split_of = np.full(len(counts), -1, np.int64)
        self.order = np.lexsort((chance, -(counts / totals).max(axis=1)))
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
            donor = min(self.open, key=lambda s: self.missing[s, -1])
            members = [g for g in self.order if self.split_of[g] == donor]
            self._put(min(members, key=lambda g: abs(short - self.sizes[g])), to)

    def bring_classes(self) -> None:
        """Bring classes into the splits that have none of them: into train at any price, elsewhere where it is none.

        A class that is validated or tested but never trained on is of no use, so a class of one group is in train.
        """
        holds = self.counts[:, :-1] > 0
        rarest_first = np.argsort(holds.sum(axis=0), kind="stable")
        for to in self.open:
            for label in rarest_first:
                members = np.flatnonzero(holds[:, label])
                if (self.split_of[members] == to).any():
                    continue
                done = self._bring(members[self._spare(members, holds)], to, holds)
                if to == 0 and not done and not self._bring(members, to, holds):
                    self._put(self._by_cost(members, to)[0][0], to)

    def _bring(self, groups: _Ints, to: int, holds: _Bits) -> bool:
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

    def _spare(self, groups: _Ints, holds: _Bits) -> _Bits:
        """Tell which groups leave, in their split, another group for each class they have."""
        having = np.stack([holds[self.split_of == s].sum(axis=0) for s in range(3)])
        return np.asarray(((having[self.split_of[groups]] > 1) | ~holds[groups]).all(axis=1))

    def _by_cost(self, groups: _Ints, to: int) -> tuple[_Ints, NDArray[np.float64]]:
        """Sort groups by how much their move would lengthen the squared distance from the shares; give that, too."""
        change, before = self.counts[groups], self.missing[self.split_of[groups]]
        leaving = (before + change) ** 2 - before**2
        coming = (self.missing[to] - change) ** 2 - self.missing[to] ** 2
        costs = (leaving + coming) @ self.weight
        order = np.lexsort((self.place[groups], costs))
        return groups[order], costs[order]


def _shares(fractions: Mapping[str, float]) -> NDArray[np.float64]:
    """Give the shares of train, val and test, which add up to 1."""
    for name, share in fractions.items():
        if name not in SPLITS:
            raise UsageError(f"split: expected fractions of {SPLITS} (found {name!r})")
        if not 0 <= share <= 1:
            raise UsageError(f"split: the fraction of {name} must be from 0 to 1 (got {share})")
    rest = 1.0 - sum(share for name, share in fractions.items() if name != "train")
    if rest < -_NEGLIGIBLE or abs(fractions.get("train", rest) - rest) > _NEGLIGIBLE:
        raise UsageError(f"split: the fractions must add up to 1, train having the rest (got {dict(fractions)})")
    shares = np.array([rest, fractions.get("val", 0.0), fractions.get("test", 0.0)])
    shares[shares < _NEGLIGIBLE] = 0.0
    return shares


def _counts(groups: Values, labels: Values | None) -> tuple[_Ints, _Ints, list[str]]:
    """Count items by group and class; give also each item's group, numbered from 0, and the names of the classes."""
    group, found = pd.factorize(np.asarray(groups), sort=True)
    if labels is not None and len(labels) != len(group):
        raise UsageError(f"split: expected a label for each of {len(group)} items (found {len(labels)})")
    if (group < 0).any():
        raise UsageError(f"split: item {int(np.argmin(group))} has no group; make groups with union_groups")
    if labels is None:
        return np.bincount(group, minlength=len(found))[:, None].astype(np.int64), group.astype(np.int64), ["any"]
    code, classes = pd.factorize(np.asarray(labels, object), sort=True)
    names = [*map(str, classes), *(["(none)"] if (code < 0).any() else [])]
    code = np.where(code < 0, len(names) - 1, code)
    counts = np.bincount(group * len(names) + code, minlength=len(found) * len(names))
    return counts.reshape(len(found), len(names)).astype(np.int64), group.astype(np.int64), names


def _refuse_torn_groups(assigned: Values, group: _Ints) -> None:
    sides = pd.DataFrame({"group": group, "split": np.asarray(assigned, object)}).drop_duplicates()
    torn = sides[sides["group"].duplicated(keep=False)]
    if len(torn):
        first = torn["group"].iloc[0]
        raise EyelineError(
            f"split: {torn['group'].nunique()} groups are on two sides, the first in "
            f"{sorted(torn.loc[torn['group'] == first, 'split'])}; assign the split again"
        )


def _unmet_classes(holds: pd.DataFrame, asked: Mapping[str, float], largest: int) -> Iterable[str]:
    wanted = [name for name in SPLITS if asked[name] > 0]
    for label, row in holds.drop(index="all").iterrows():
        total = int(row.sum())
        have = [name for name in SPLITS if row[name]]
        lacking = [name for name in wanted if not row[name]]
        plural = "group" if total == 1 else "groups"
        if lacking and total < len(wanted):
            yield f"class '{label}' has {total} {plural}: all of it is in {' and '.join(have)}"
        elif lacking:
            yield (
                f"class '{label}' is not in {' and '.join(lacking)}: no move of its {total} {plural} was found that "
                f"leaves every split within the largest group ({largest} items) of its share and loses no class"
            )


def _unmet_shares(got: Mapping[str, float], asked: Mapping[str, float], largest: int) -> Iterable[str]:
    for name in SPLITS:
        if abs(got[name] - asked[name]) > _REPORTED:
            yield f"{name} has {got[name]:.1%} of the items, not {asked[name]:.1%}: the largest group has {largest}"
