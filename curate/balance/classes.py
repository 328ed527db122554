"""Balance by the label: each row has one class or none."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..config import Balance
from .choice import Looks, Values, choose, drawn_order
from .counts import deal, limit, targets, whole


def repeats(
    labels: Values, spec: Balance, *, keys: Values | None = None, looks: Looks | None = None
) -> NDArray[np.int32]:
    """Count how often an epoch shows each row of the training part.

    Args:
        labels: [N]; null = not labelled, shown once whatever the rest.
        spec: Cap, oversampling and seed. Kept rows of a class that is oversampled are shown as often as the class's
            target asks (see `targets`), in whole numbers whose sum over the classes is exact; no row is shown more
            than once oftener than another of its class.
        keys: [N], distinct, such as face_id: the same rows are then chosen whatever their order.
        looks: Of the rows; decides, where `spec.keep` is "diverse", which rows of a class above the cap stay. Without
            them the seed decides.

    Returns:
        int32 [N].

    Raises:
        UsageError: The cap is none, the lengths differ, or a key is null or stands twice.
    """
    code, names = pd.factorize(np.asarray(labels, object), sort=True)
    code = code.astype(np.int64)
    sizes = np.bincount(code[code >= 0], minlength=len(names))
    kept = np.minimum(sizes, limit(spec.cap, sizes))
    shown = whole(targets(kept, spec, spec.max_repeat))
    order = drawn_order(len(code), keys, spec.seed)
    stays = np.ones(len(code), np.bool_)
    by_class = order[np.argsort(code[order], kind="stable")]
    ends = np.cumsum(sizes) + int((code < 0).sum())
    for one in np.flatnonzero(kept < sizes):
        own = by_class[ends[one] - sizes[one] : ends[one]]
        stays[own] = False
        stays[choose(own, int(kept[one]), looks if spec.keep == "diverse" else None)] = True
    return deal(code, shown, order[stays[order]])


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
