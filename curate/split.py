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

from .assigner import NEGLIGIBLE, Assigner
from .folds import Ints, even_folds

SPLITS = ("train", "val", "test")

Values = Sequence[Any] | NDArray[Any]
Names = NDArray[np.object_]
Labels = Values | pd.DataFrame | None
"""[N], null being a class of its own; or a bool column for each class, of which an item may have several, such as
action units; none = not stratified."""

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


def union_groups(*keys: Values) -> Ints:
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


def assign(
    groups: Values, labels: Labels, fractions: Mapping[str, float], seed: int = 0, fixed: Values | None = None
) -> Names:
    """Assign each item to train, val or test, groups whole and classes in proportion.

    Each split's size ends within the largest group's size of what was asked. Within that, each class has its share in
    each split as nearly as whole groups allow, and is in every split for which it has groups. Train comes first: a
    class that would not be in train at all is brought there even where a share suffers.

    Args:
        groups: [N], such as `union_groups` gives.
        labels: See `Labels`.
        fractions: Shares of val and test, such as {"val": 0.1, "test": 0.1}; train has the rest. {"test": 1.0} makes
            a set that only serves to test.
        seed: Decides between groups that are alike.
        fixed: [N], where an item stands already, null = free. Those stay, also where they tear their group; the free
            items of such a group go where most of it is.

    Returns:
        object [N] of "train", "val" and "test". The order of the rows makes no difference.

    Raises:
        UsageError: `fractions` are no shares, the lengths differ, a group is null, or `fixed` has another name.
    """
    shares = _shares(fractions)
    found = _count(groups, labels)
    side = _side_codes(fixed if fixed is not None else np.full(len(found.group), None, object), len(found.group))
    if not len(found.group):
        return np.empty(0, object)
    home = _homes(found.group, side, len(found.sizes))
    stays = home[found.group] >= 0
    placed = np.where(side >= 0, side, home[found.group])
    held = np.stack([found.tally(stays & (placed == s)) for s in range(3)])
    free = np.flatnonzero(home < 0)
    if len(free):
        chance = np.random.default_rng(seed).permutation(len(home))[free]
        work = Assigner(found.by_group()[free], shares, chance, held)
        work.fill()
        work.even_out()
        if (work.counts[:, :-1].sum(axis=1) != work.sizes).any():
            work.polish()
        work.bring_classes()
        home[free] = work.split_of
        placed = np.where(stays, placed, home[found.group])
    assigned = np.asarray(SPLITS, object)[placed]
    _refuse_torn_groups(assigned[~stays], found.group[~stays])
    return assigned


def assign_folds(groups: Values, labels: Labels, folds: int, seed: int = 0) -> Ints:
    """Assign each item to a fold, groups whole, sizes and classes as even as whole groups allow.

    Args:
        groups: As for `assign`.
        labels: As for `assign`.
        folds: How many.
        seed: Decides between groups that are alike.

    Returns:
        int64 [N], 0 to `folds` - 1; none is empty where there are as many groups. The order of the rows makes no
        difference.

    Raises:
        UsageError: As for `assign`, or there are less than two folds.
    """
    if folds < 2:
        raise UsageError(f"split: expected 2 folds or more (got {folds})")
    found = _count(groups, labels)
    if not len(found.group):
        return np.empty(0, np.int64)
    return even_folds(found.by_group(), folds, np.random.default_rng(seed))[found.group]


def describe(
    assigned: Values, groups: Values, labels: Labels, fractions: Mapping[str, float], *, whole: bool = True
) -> SplitReport:
    """Check a split and report asked and got, by split and class, with the reason for what is unmet.

    Args:
        assigned: What `assign` gave.
        groups: What it was given.
        labels: Likewise.
        fractions: Likewise.
        whole: No group may be on two sides; false where published parts were kept.

    Raises:
        EyelineError: A group is on two sides.
        UsageError: As for `assign`.
    """
    shares = _shares(fractions)
    found = _count(groups, labels)
    if whole:
        _refuse_torn_groups(assigned, found.group)
    side = _side_codes(assigned, len(found.group))
    names = [*found.classes, "all"]
    items = pd.DataFrame([found.tally(side == s) for s in range(3)], list(SPLITS), names).T
    holds = pd.DataFrame([found.groups_holding(side == s) for s in range(3)], list(SPLITS), names).T
    got = items.div(np.maximum(items.sum(axis=1), 1), axis=0)
    asked = dict(zip(SPLITS, shares.tolist(), strict=True))
    largest = int(found.sizes.max(initial=0))
    unmet = (*_unmet_classes(holds, asked, largest), *_unmet_shares(dict(got.T["all"]), asked, largest))
    return SplitReport(asked, got, items, holds, unmet if len(found.group) else ())


@dataclass(frozen=True)
class _Counted:
    """Items by group and class.

    Attributes:
        group: int64 [N], numbered from 0.
        item: int64 [M], with `code`: which item is of which class.
        code: int64 [M].
        classes: Names of the classes.
        sizes: int64 [G], items of each group.
    """

    group: Ints
    item: Ints
    code: Ints
    classes: list[str]
    sizes: Ints

    def by_group(self) -> Ints:
        """Count the items of each class, and all, in each group: int64 [G, C + 1]."""
        shape = (len(self.sizes), len(self.classes))
        flat = np.bincount(self.group[self.item] * shape[1] + self.code, minlength=shape[0] * shape[1])
        return np.column_stack([flat.reshape(shape), self.sizes]).astype(np.int64)

    def tally(self, items: NDArray[np.bool_]) -> Ints:
        """Count some items by class, and all of them: int64 [C + 1]."""
        codes = self.code[items[self.item]]
        return np.append(np.bincount(codes, minlength=len(self.classes)), items.sum()).astype(np.int64)

    def groups_holding(self, items: NDArray[np.bool_]) -> Ints:
        """Count the groups that some items are of, by class, and all: int64 [C + 1]."""
        chosen = items[self.item]
        pairs = np.unique(np.stack([self.group[self.item][chosen], self.code[chosen]]), axis=1)
        by_class = np.bincount(pairs[1], minlength=len(self.classes))
        return np.append(by_class, len(np.unique(self.group[items]))).astype(np.int64)


def _side_codes(names: Values, count: int) -> Ints:
    """Number sides as `SPLITS` does, -1 for null."""
    if len(names) != count:
        raise UsageError(f"split: expected a side for each of {count} items (found {len(names)})")
    sides = pd.Series(np.asarray(names, object))
    codes = sides.map({name: code for code, name in enumerate(SPLITS)})
    if (unknown := sides[codes.isna() & sides.notna()]).size:
        raise UsageError(f"split: expected one of {', '.join(SPLITS)} (found {unknown.iloc[0]!r})")
    return np.asarray(codes.fillna(-1), np.int64)


def _homes(group: Ints, side: Ints, count: int) -> Ints:
    """Say where most of a group's fixed items are, train where sides are even: int64 [G], -1 where none is fixed."""
    tally = np.zeros((count, 3), np.int64)
    np.add.at(tally, (group[side >= 0], side[side >= 0]), 1)
    return np.asarray(np.where(tally.any(axis=1), tally.argmax(axis=1), -1), np.int64)


def _shares(fractions: Mapping[str, float]) -> NDArray[np.float64]:
    """Give the shares of train, val and test, which add up to 1."""
    for name, share in fractions.items():
        if name not in SPLITS:
            raise UsageError(f"split: expected fractions of {SPLITS} (found {name!r})")
        if not 0 <= share <= 1:
            raise UsageError(f"split: the fraction of {name} must be from 0 to 1 (got {share})")
    rest = 1.0 - sum(share for name, share in fractions.items() if name != "train")
    if rest < -NEGLIGIBLE or abs(fractions.get("train", rest) - rest) > NEGLIGIBLE:
        raise UsageError(f"split: the fractions must add up to 1, train having the rest (got {dict(fractions)})")
    shares = np.array([rest, fractions.get("val", 0.0), fractions.get("test", 0.0)])
    shares[shares < NEGLIGIBLE] = 0.0
    return shares


def _count(groups: Values, labels: Labels) -> _Counted:
    """Number the groups and say of which classes each item is.

    Raises:
        UsageError: The lengths differ, or a group is null.
    """
    group, found = pd.factorize(np.asarray(groups), sort=True)
    group = group.astype(np.int64)
    if labels is not None and len(labels) != len(group):
        raise UsageError(f"split: expected a label for each of {len(group)} items (found {len(labels)})")
    if (group < 0).any():
        raise UsageError(f"split: item {int(np.argmin(group))} has no group; make groups with union_groups")
    sizes = np.bincount(group, minlength=len(found)).astype(np.int64)
    every = np.arange(len(group))
    if isinstance(labels, pd.DataFrame):
        names = sorted(map(str, labels.columns))
        item, code = np.nonzero(labels[names].to_numpy(np.bool_))
        return _Counted(group, item.astype(np.int64), code.astype(np.int64), names, sizes)
    if labels is None:
        return _Counted(group, every, np.zeros(len(group), np.int64), ["any"], sizes)
    codes, classes = pd.factorize(np.asarray(labels, object), sort=True)
    names = [*map(str, classes), *(["(none)"] if (codes < 0).any() else [])]
    return _Counted(group, every, np.where(codes < 0, len(names) - 1, codes).astype(np.int64), names, sizes)


def _refuse_torn_groups(assigned: Values, group: Ints) -> None:
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
