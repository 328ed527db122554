"""The stage `split`: every kept row goes to train, val or test; what must stay together does."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import dedup, leaks, near_cache, split
from ..config import GIVEN, Dataset, Split
from ..outcome import DropReason
from .rows import Record, labels_of, take_back

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def assign_splits(rows: pd.DataFrame, dataset: Dataset, out: Path) -> tuple[pd.DataFrame, Record]:
    """Write `split` of every kept row; no person, source or group of near-duplicates stands on two sides.

    Published parts are kept, whatever crosses them: that is noted. A near-duplicate of a published validation or test
    row that was published for training, or in no part, is dropped with the reason `leak`: it must not be trained on,
    and it does not belong to what was published.

    Args:
        rows: The manifest after `name_people`.
        dataset: Its `split`.
        out: The set's folder.

    Returns:
        The rows with the decisions, and the record: shares asked for and got, and notes on what was unmet.
    """
    rows = take_back(rows, DropReason.OVER_CAP, DropReason.LEAK)
    rows["split"] = None
    for column in ("fold", "repeat"):
        rows[column] = pd.array([None] * len(rows), dtype="Int32")
    spec, radius = dataset.split, dataset.dedup.set_radius_bits
    near = leaks.near_pairs(rows, _known(out, dataset) or radius, dataset.dedup.bits, mirrored=dataset.dedup.mirrored)
    published = _published(rows, spec)
    dropped, near = _drop_leaks(rows, published, near) if spec.leaks == "drop" else (0, near)
    kept = rows["drop_reason"].isna().to_numpy()
    groups = split_groups(rows, dataset, near)[kept]
    strata = strata_of(rows[kept])
    fractions, notes = {"val": spec.val, "test": spec.test}, []
    if spec.folds is None:
        sides = split.assign(groups, strata, fractions, spec.seed, published[kept])
    else:
        fold = split.assign_folds(groups, strata, spec.folds, spec.seed)
        rows.loc[kept, "fold"] = fold
        sides = _around_fold(fold, groups, strata, spec)
        fractions = {"val": spec.val * (1 - 1 / spec.folds), "test": 1 / spec.folds}
        notes = _notes_on_folds(fold, groups, spec.folds)
    rows.loc[kept, "split"] = sides
    whole = not any(side is not None for side in published)
    found = split.describe(sides, groups, strata, fractions, whole=whole)
    record: Record = {
        "by": spec.by,
        "radius": radius,
        "asked": dict(found.asked),
        "got": found.got.loc["all"].to_dict(),
        "items": found.items.to_dict("index"),
        "groups": found.groups.to_dict("index"),
        "notes": [*found.unmet, *notes],
    }
    if spec.folds is not None:
        record |= {
            "folds": spec.folds,
            "fold": spec.fold,
            "fold_items": np.bincount(fold, minlength=spec.folds).tolist(),
        }
    if not whole:
        record["published_kept"] = int(sum(side is not None for side in published[kept]))
        record["notes"] += _notes_on_published(rows, spec, dropped)
    return rows, record


def split_groups(rows: pd.DataFrame, dataset: Dataset, near: Pairs | None = None) -> NDArray[np.int64]:
    """Number the groups that must stay on one side: int64 [N], one a row.

    Rows belong together that share a source, a picture, a person (unless `split.by` is `source`), a representative,
    or a near pair of two labels. Dropped duplicates count: through them two sources can show the same moment.

    Args:
        rows: The manifest.
        dataset: Its `split` and `dedup`.
        near: What `leaks.near_pairs` finds in the rows, where that is known.
    """
    place = pd.Series(np.arange(len(rows)), index=rows["face_id"])
    representative = place.loc[rows["duplicate_of"].fillna(rows["face_id"])].to_numpy()
    if near is None:
        spec = dataset.dedup
        near = leaks.near_pairs(rows, spec.set_radius_bits, spec.bits, mirrored=spec.mirrored)
    # the faces of one photo, where the source gives their boxes: `party.jpg[0]`, `party.jpg[1]`
    photo = rows["source"].str.replace(r"\[\d+\]$", "", regex=True).where(rows["detector"].eq(GIVEN))
    keys = [rows["source_id"], photo, pd.Series(dedup.clusters(representative, near))]
    if dataset.split.by == "subject":
        keys.append(rows["subject"])
    return split.union_groups(*(key.to_numpy(object) for key in keys))


def strata_of(rows: pd.DataFrame) -> split.Labels:
    """Say which classes are spread over the sides: the label, or, where no row has one, each action unit that occurs.

    A row of several action units counts in each of their classes; one of none in a class of its own.
    """
    units = [name for name in rows.columns if name.startswith("au_") and rows[name].gt(0).any()]
    if rows["label"].notna().any() or not units:
        return labels_of(rows)
    shown = pd.DataFrame({name: rows[name].gt(0).to_numpy(np.bool_) for name in units})
    shown["(none)"] = ~shown.any(axis=1)
    return shown.loc[:, shown.any(axis=0)]


def _known(out: Path, dataset: Dataset) -> dedup.Neighbours | None:
    """Read the near pairs that `find_duplicates` kept, where it searched within this radius."""
    search = near_cache.search_of(dataset.dedup)
    if search.radius != dataset.dedup.set_radius_bits:
        return None
    return near_cache.read_neighbours(out / near_cache.NEAR_PAIRS, search)


def _published(rows: pd.DataFrame, spec: Split) -> NDArray[np.object_]:
    """Give the published part of each row, None where there is none, or where it is not kept."""
    nothing: NDArray[np.object_] = np.full(len(rows), None, object)
    if spec.published == "ignore" or spec.folds is not None:
        return nothing
    part = rows["published_split"].astype(object)
    return np.asarray(part.where(part.notna(), None), object)


def _drop_leaks(rows: pd.DataFrame, published: NDArray[np.object_], near: Pairs) -> tuple[int, Pairs]:
    """Drop rows that are near a published validation or test row and are not published there themselves.

    Returns:
        Their number, and the near pairs of the others: what was dropped ties nothing together.
    """
    held_out = np.isin(published.astype(str), ["val", "test"])
    i, j = near
    lost = np.zeros(len(rows), np.bool_)
    lost[i[~held_out[i] & held_out[j]]] = True
    lost[j[~held_out[j] & held_out[i]]] = True
    rows.loc[lost, "drop_reason"] = str(DropReason.LEAK)
    among_others = ~(lost[i] | lost[j])
    return int(lost.sum()), (i[among_others], j[among_others])


def _around_fold(fold: NDArray[np.int64], groups: NDArray[np.int64], strata: Any, spec: Split) -> NDArray[np.object_]:
    """Make the chosen fold the test part, and share out the rest to validation and training."""
    rest = fold != spec.fold
    sides: NDArray[np.object_] = np.full(len(fold), "test", object)
    sides[rest] = split.assign(groups[rest], strata[rest], {"val": spec.val}, spec.seed)
    return sides


def _notes_on_folds(fold: NDArray[np.int64], groups: NDArray[np.int64], folds: int) -> list[str]:
    sizes, count = np.bincount(fold, minlength=folds), len(np.unique(groups))
    if count < folds:
        return [
            f"{folds} folds were asked for, but there are {count} groups: {int((sizes == 0).sum())} folds are empty"
        ]
    if len(fold) and sizes.max() - sizes.min() > 0.01 * len(fold):
        largest = int(np.unique(groups, return_counts=True)[1].max())
        return [f"the folds have {int(sizes.min())} to {int(sizes.max())} items: the largest group has {largest}"]
    return []


def _notes_on_published(rows: pd.DataFrame, spec: Split, dropped: int) -> list[str]:
    """Say what crosses the published parts, which are kept as they are."""
    notes = []
    if dropped:
        notes.append(
            f"{dropped} faces were dropped from training: their near-duplicates are in the published val or test"
        )
    for kind in ("source", "subject") if spec.by == "subject" else ("source",):
        crossing = leaks.crossing(rows, kind).leaks
        if crossing:
            first = crossing[0]
            notes.append(
                f"the published parts share {len(crossing)} {kind}{'s' if len(crossing) > 1 else ''}, which are kept "
                f"where they are (the first: {first})"
            )
    return notes
