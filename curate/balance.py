"""Balance the classes of the training part by how often an epoch shows each row: 0 = capped out, 2 = twice.

Nothing is copied and nothing is deleted; the numbers stand in the manifest's `repeat`. Only rows of the training part
belong here: balanced before the split, copies of one face would be tested that were trained on, and a balanced
validation or test part would no longer have the mix of classes that a model meets.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import UsageError

Values = Sequence[Any] | NDArray[Any]
Cap = int | Literal["median", "smallest"] | None
_Ints = NDArray[np.int64]


def repeats(
    labels: Values,
    cap: Cap = None,
    *,
    oversample: bool = False,
    rng: np.random.Generator | int = 0,
    keys: Values | None = None,
) -> NDArray[np.int32]:
    """Count how often an epoch shows each row of the training part.

    Args:
        labels: [N]; null = not labelled, shown once whatever the rest.
        cap: The most rows of a class that are kept, drawn at random. "median" is the median of the class sizes, rounded
            down where it falls between two whole numbers; "smallest" is the smallest class.
        oversample: Show the kept rows of each class again until a class has as many showings as the largest class has
            kept rows, exactly; no row is shown more than once oftener than another of its class.
        rng: A generator, or the seed of one.
        keys: [N], distinct, such as face_id: which rows are drawn then depends on these, not on the order of the rows.

    Returns:
        int32 [N].

    Raises:
        UsageError: `cap` is something else or below 1, the lengths differ, or a key is null or stands twice.
    """
    code, names = pd.factorize(np.asarray(labels, object), sort=True)
    sizes = np.bincount(code[code >= 0], minlength=len(names))
    kept = np.minimum(sizes, _limit(cap, sizes))
    shown = np.full_like(kept, kept.max(initial=0)) if oversample else kept
    labelled = _drawn_order(len(code), keys, np.random.default_rng(rng))
    labelled = labelled[code[labelled] >= 0]
    by_class = labelled[np.argsort(code[labelled], kind="stable")]
    own = code[by_class]
    place = np.arange(len(own)) - (np.cumsum(sizes) - sizes)[own]  # within the class, in the order drawn
    times, over = shown[own] // kept[own], shown[own] % kept[own]
    repeat = np.ones(len(code), np.int32)
    repeat[by_class] = np.where(place < kept[own], times + (place < over), 0)
    return repeat


def table(labels: Values, repeat: Values) -> pd.DataFrame:
    """Tabulate a balance by class: rows before, rows kept, and showings in an epoch.

    Returns:
        Index: class, sorted, then "(none)" for rows without a label where there are any; int64 columns `before`,
        `kept` and `shown`.
    """
    code, names = pd.factorize(np.asarray(labels, object), sort=True)
    counts = np.asarray(repeat, np.int64)
    rows = pd.DataFrame({"code": code, "before": 1, "kept": counts > 0, "shown": counts}).astype(np.int64)
    rows["code"] = np.where(code < 0, len(names), code)
    found = rows.groupby("code").sum()
    found.index = pd.Index([*map(str, names), *(["(none)"] if (code < 0).any() else [])], name="class", dtype=object)
    return found


def _limit(cap: Cap, sizes: _Ints) -> int:
    """Give the most rows a class may keep."""
    largest = int(sizes.max(initial=0))
    if cap is None or not len(sizes):
        return largest
    if cap == "median":
        return int(np.median(sizes))
    if cap == "smallest":
        return int(sizes.min())
    if not isinstance(cap, int | np.integer) or isinstance(cap, bool) or cap < 1:
        raise UsageError(f'balance: cap must be a whole number >= 1, "median" or "smallest" (got {cap!r})')
    return int(cap)


def _drawn_order(count: int, keys: Values | None, rng: np.random.Generator) -> _Ints:
    """Shuffle all rows, beginning from the order of their keys."""
    rows = np.arange(count)
    if keys is not None:
        if len(keys) != count:
            raise UsageError(f"balance: expected a key for each of {count} rows (found {len(keys)})")
        code, distinct = pd.factorize(np.asarray(keys, object), sort=True)
        if len(distinct) != count or (code < 0).any():
            raise UsageError(f"balance: expected {count} distinct keys (found {len(distinct)}); give face_id")
        rows = np.argsort(code)
    return rng.permutation(rows)
