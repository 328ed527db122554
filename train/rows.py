"""Which rows of a curated set each part of training uses, and the checks that come before any picture is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import EyelineError, UsageError
from curate import read_curation, read_manifest

Split = Literal["train", "val", "test", "all"]
NO_TARGET = -1


@dataclass(frozen=True)
class Rows:
    """The faces of one split, in the manifest's order.

    Attributes:
        face_ids: One a face.
        paths: The crops.
        targets: int64 [N], index into the class list, `NO_TARGET` where a face has no label.
        repeats: int64 [N], how many times an epoch shows each.
    """

    face_ids: tuple[str, ...]
    paths: tuple[Path, ...]
    targets: NDArray[np.int64]
    repeats: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.face_ids)


def read_classes(root: Path) -> list[str]:
    """Read the ordered class names of a curated set.

    Raises:
        UsageError: There is no set, or it has no labels, or fewer than two.
    """
    labels = read_curation(root).get("labels")
    where = f"{root}/curation.json: labels"
    if not labels:
        raise UsageError(f"{where}: expected the names of at least two classes (found none); curate it with labels")
    classes = [str(label) for label in labels]
    if len(set(classes)) != len(classes):
        raise UsageError(f"{where}: expected each class once (found {classes}); correct the labels and curate again")
    if len(classes) < 2:
        raise UsageError(
            f"{where}: expected at least two classes (found only {classes[0]!r}); there is nothing to tell"
        )
    return classes


def read_rows(root: Path) -> pd.DataFrame:
    """Read the kept rows of a curated set: those without a drop reason.

    Raises:
        EyelineError: No row was kept.
    """
    rows = read_manifest(root)
    kept = rows[rows["drop_reason"].isna() & rows["crop"].notna()]
    if kept.empty:
        raise EyelineError(f"{root}: expected faces that were kept (found {len(rows)} rows, all dropped)")
    return kept


def select(rows: pd.DataFrame, root: Path, split: Split, classes: Sequence[str]) -> Rows:
    """Select one split of the kept rows.

    Args:
        rows: From `read_rows`.
        root: The set's folder, which the crops' paths are relative to.
        split: `train` leaves out rows whose `repeat` is 0 and shows the others that often; every other split shows
            each row once, and `all` takes every kept row, whatever its split and repeat.
        classes: The ordered class names.

    Raises:
        EyelineError: A label is not one of `classes`, or a crop's path leaves the set.
    """
    if split != "all":
        rows = rows[rows["split"] == split]
    repeats = np.ones(len(rows), dtype=np.int64)
    if split == "train":
        repeats = rows["repeat"].fillna(1).to_numpy(dtype=np.int64)
        rows, repeats = rows[repeats >= 1], repeats[repeats >= 1]
    paths = tuple(_inside(root, crop) for crop in rows["crop"])
    return Rows(tuple(rows["face_id"]), paths, _targets(rows["label"], root, classes), repeats)


def _inside(root: Path, crop: Any) -> Path:
    path = PurePosixPath(str(crop))
    if path.is_absolute() or ".." in path.parts:
        raise EyelineError(f"{root}/manifest.parquet: crop must be a path below the set's folder (found {crop!r})")
    return root / path


def _targets(labels: "pd.Series[Any]", root: Path, classes: Sequence[str]) -> NDArray[np.int64]:
    index = {name: i for i, name in enumerate(classes)}
    known = labels.isna() | labels.isin(list(classes))
    if not known.all():
        found = sorted(set(labels[~known]))
        raise EyelineError(
            f"{root}/manifest.parquet: label must be one of {list(classes)} (found {found}); "
            "the set and its class list do not belong together"
        )
    return np.array([NO_TARGET if pd.isna(label) else index[label] for label in labels], dtype=np.int64)


def require_labels(rows: Rows, root: Path, split: Split) -> None:
    """Refuse a split in which a face has no label.

    Raises:
        EyelineError: Some face has none.
    """
    without = int((rows.targets == NO_TARGET).sum())
    if without:
        raise EyelineError(
            f"{root}/manifest.parquet: every kept {split} row must have a label "
            f"(found {without} of {len(rows)} without); label them or drop them, and curate again"
        )


def require_every_class(rows: Rows, root: Path, classes: Sequence[str]) -> None:
    """Refuse a training split in which a class has no face.

    Raises:
        EyelineError: Some class has none.
    """
    counts = np.bincount(rows.targets, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if missing:
        raise EyelineError(
            f"{root}/manifest.parquet: every class must have training rows (found none of {', '.join(missing)}); "
            "add examples, or take the class out of labels, and curate again"
        )
