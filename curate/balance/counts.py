"""How many rows of a class are kept and how often an epoch shows them: from counts to counts."""

import numpy as np
from numpy.typing import NDArray

from align import UsageError

from ..config import Balance

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def limit(cap: int | str | None, counts: Ints) -> int:
    """Give the most rows that a class may keep.

    Args:
        cap: A number; "median", rounded down where it falls between two whole numbers; "smallest"; or no cap.
        counts: [C], the rows of each class.

    Raises:
        UsageError: It is something else, or below 1.
    """
    if cap is None or not len(counts):
        return int(counts.max(initial=0))
    if cap == "median":
        return int(np.median(counts))
    if cap == "smallest":
        return int(counts.min())
    if not isinstance(cap, int | np.integer) or isinstance(cap, bool) or cap < 1:
        raise UsageError(f'balance: cap must be a whole number >= 1, "median" or "smallest" (got {cap!r})')
    return int(cap)


def targets(kept: Ints, spec: Balance, max_repeat: int | None = None) -> Floats:
    """Say how often an epoch is to show each class; the largest class shows each of its rows once.

    With n rows of a class and m of the largest one:

    - `equal`: m.
    - `sqrt`: sqrt(n m), so that classes stand as the square roots of their counts do (Mahajan et al. 2018, Exploring
      the Limits of Weakly Supervised Pretraining).
    - `effective`: n E(m) / E(n) with E(n) = (1 - beta^n) / (1 - beta), the effective number of rows: each row weighs
      the inverse of its class's (Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples).

    Args:
        kept: [C], the rows of each class that stay.
        spec: Its `oversample` and `beta`; without oversampling a class is shown as it is.
        max_repeat: How often a row may be shown at the most.

    Returns:
        float64 [C], no less than `kept`.
    """
    most = kept.max(initial=0)
    if spec.oversample in (True, "equal"):
        wanted = np.full(len(kept), float(most))
    elif spec.oversample == "sqrt":
        wanted = np.sqrt(kept * float(most))
    elif spec.oversample == "effective":
        wanted = kept * (_effective(np.array([most]), spec.beta) / np.maximum(_effective(kept, spec.beta), 1))
    else:
        wanted = kept.astype(np.float64)
    wanted = np.where(kept > 0, np.maximum(wanted, kept), 0)
    return wanted if max_repeat is None else np.minimum(wanted, kept * float(max_repeat))


def whole(wanted: Floats) -> Ints:
    """Round so that the sum is that of the wanted numbers, rounded: the largest remainders are rounded up.

    Args:
        wanted: [C], not negative; of equal remainders the first is rounded up.

    Returns:
        int64 [C], each less than 1 away.
    """
    down = np.floor(wanted + 1e-9).astype(np.int64)  # 2.9999999996 is 3
    remainder = wanted - down
    missing = int(np.floor(wanted.sum() + 0.5)) - int(down.sum())
    down[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return down


def deal(group: Ints, shown: Ints, order: Ints) -> NDArray[np.int32]:
    """Share out the showings of each group among its rows, none more than once oftener than another.

    Args:
        group: [N], a number from 0; -1 for a row that is shown once, whatever the rest.
        shown: [G], showings; at least as many as the group has rows.
        order: The rows that are kept: earlier ones get the showings that are left over.

    Returns:
        int32 [N], 0 for rows that are not in `order`.
    """
    repeat = np.zeros(len(group), np.int32)
    repeat[order] = 1
    ordered = order[group[order] >= 0]
    ordered = ordered[np.argsort(group[ordered], kind="stable")]
    own = group[ordered]
    sizes = np.bincount(own, minlength=len(shown))
    place = np.arange(len(own)) - (np.cumsum(sizes) - sizes)[own]
    times, over = np.divmod(shown, np.maximum(sizes, 1))
    repeat[ordered] = times[own] + (place < over[own])
    return repeat


def _effective(counts: Ints, beta: float) -> Floats:
    """Compute (1 - beta^n) / (1 - beta), to full precision also for a beta near 1."""
    if beta == 0:
        return np.minimum(counts, 1).astype(np.float64)
    return np.asarray(-np.expm1(counts * np.log(beta)) / (1 - beta), np.float64)
