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

from .tasks import AFFECT, Tasks

Split = Literal["train", "val", "test", "all"]
TaskName = Literal["classes", "affect", "units"]


@dataclass(frozen=True)
class Rows:
    """The faces of one split, in the manifest's order.

    Attributes:
        face_ids: One a face.
        paths: The crops.
        targets: float32 [N, outputs], in the columns of `Tasks`: a class is 1 in its column and 0 in the others; NaN
            where a face has no label.
        repeats: int64 [N], how many times an epoch shows each.
        subjects: The person of each, or None.
        sources: The file that each came from.
    """

    face_ids: tuple[str, ...]
    paths: tuple[Path, ...]
    targets: NDArray[np.float32]
    repeats: NDArray[np.int64]
    subjects: tuple[str | None, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.face_ids)

    def take(self, places: NDArray[np.int64]) -> "Rows":
        """Take some of the faces."""

        def chosen(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[i] for i in places)

        columns = (chosen(self.face_ids), chosen(self.paths), self.targets[places], self.repeats[places])
        return Rows(*columns, chosen(self.subjects), chosen(self.sources))


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


def read_tasks(
    root: Path, rows: pd.DataFrame, wanted: Sequence[TaskName] | None = None, units: Sequence[str] | None = None
) -> Tasks:
    """Find out what a curated set is labelled for.

    Args:
        root: The set's folder.
        rows: Its kept rows.
        wanted: The tasks to train for; None takes all that the set has labels for.
        units: The action units to train for; None takes all that have labels.

    Raises:
        UsageError: The set has no labels of a task that is wanted, or of any task, or of fewer than two classes.
    """
    labelled = [name for name in rows.columns if name.startswith("au_") and rows[name].notna().any()]
    found: dict[TaskName, Any] = {
        "classes": _classes(root, rows),
        "affect": all(rows[name].notna().any() for name in AFFECT),
        "units": sorted(labelled, key=lambda name: int(name.removeprefix("au_"))),
    }
    taken = wanted or ["classes", "affect", "units"]
    if len(found["classes"]) == 1 and "classes" in taken and (wanted or not (found["affect"] or found["units"])):
        raise UsageError(
            f"{root}/curation.json: labels: expected at least two classes (found only {found['classes'][0]!r}); "
            "there is nothing to tell"
        )
    for name in wanted or ():
        if not found[name]:
            raise UsageError(f"--data.tasks: expected labels of {name} in {root} (found none); leave {name} out")
    if units and "units" not in taken:
        raise UsageError(f"--data.units: expected units among --data.tasks (got {taken}); add them, or leave it out")
    for unit in units or ():
        if unit not in found["units"]:
            raise UsageError(f"--data.units: expected action units of {root}, {found['units']} (got {unit!r})")
    classes = found["classes"] if "classes" in taken and len(found["classes"]) > 1 else []
    affect = "affect" in taken and found["affect"]
    action_units = [name for name in found["units"] if "units" in taken and (units is None or name in units)]
    if not (classes or affect or action_units):
        raise UsageError(
            f"{root}: expected labels of classes, valence and arousal, or action units (found none); "
            "curate it with labels"
        )
    return Tasks(classes, affect, action_units)


def _classes(root: Path, rows: pd.DataFrame) -> list[str]:
    """Read the ordered class names; none where no face has a label."""
    classes = [str(label) for label in read_curation(root).get("labels") or ()]
    if len(set(classes)) != len(classes):
        raise UsageError(
            f"{root}/curation.json: labels: expected each class once (found {classes}); correct the labels and "
            "curate again"
        )
    return classes if rows["label"].notna().any() else []


def select(rows: pd.DataFrame, root: Path, split: Split, tasks: Tasks | None) -> Rows:
    """Select one split of the kept rows.

    Args:
        rows: From `read_rows`.
        root: The set's folder, which the crops' paths are relative to.
        split: `train` leaves out rows whose `repeat` is 0 and shows the others that often; every other split shows
            each row once, and `all` takes every kept row, whatever its split and repeat.
        tasks: The columns of the targets; None reads no labels and gives [N, 0].

    Raises:
        EyelineError: A label is not one of the classes or out of its range, or a crop's path leaves the set.
    """
    if split != "all":
        rows = rows[rows["split"] == split]
    repeats = np.ones(len(rows), dtype=np.int64)
    if split == "train":
        repeats = rows["repeat"].fillna(1).to_numpy(dtype=np.int64)
        rows, repeats = rows[repeats >= 1], repeats[repeats >= 1]
    targets = np.empty((len(rows), 0), dtype=np.float32) if tasks is None else _targets(rows, root, tasks)
    return Rows(
        tuple(rows["face_id"]),
        tuple(_inside(root, crop) for crop in rows["crop"]),
        targets,
        repeats,
        tuple(None if pd.isna(subject) else str(subject) for subject in rows["subject"]),
        tuple(rows["source"].astype(str)),
    )


def _inside(root: Path, crop: Any) -> Path:
    path = PurePosixPath(str(crop))
    if path.is_absolute() or ".." in path.parts:
        raise EyelineError(f"{root}/manifest.parquet: crop must be a path below the set's folder (found {crop!r})")
    return root / path


def _targets(rows: pd.DataFrame, root: Path, tasks: Tasks) -> NDArray[np.float32]:
    parts = [_one_hot(rows["label"], root, tasks.classes)] if tasks.classes else []
    affect, units = AFFECT if tasks.affect else (), tasks.units
    parts += [_column(rows, root, name, "-1 to 1", lambda values: np.abs(values) <= 1) for name in affect]
    parts += [_column(rows, root, name, "0 or 1", lambda values: (values == 0) | (values == 1)) for name in units]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _one_hot(labels: "pd.Series[Any]", root: Path, classes: Sequence[str]) -> NDArray[np.float32]:
    known = labels.isna() | labels.isin(list(classes))
    if not known.all():
        found = sorted(set(labels[~known]))
        raise EyelineError(
            f"{root}/manifest.parquet: label must be one of {list(classes)} (found {found}); "
            "the set and its class list do not belong together"
        )
    columns = np.array(classes, dtype=object)
    hot: NDArray[np.float32] = (labels.to_numpy()[:, None] == columns).astype(np.float32)
    hot[labels.isna().to_numpy()] = np.nan
    return hot


def _column(rows: pd.DataFrame, root: Path, name: str, expected: str, fits: Any) -> NDArray[np.float32]:
    """Read one column of numbers as [N, 1]; a column that the set has not is unlabelled throughout."""
    if name not in rows.columns:
        return np.full((len(rows), 1), np.nan, dtype=np.float32)
    values = rows[name].to_numpy(dtype=np.float32, na_value=np.nan)
    wrong = ~np.isnan(values) & ~fits(values)
    if wrong.any():
        where = rows["face_id"].to_numpy()[wrong][0]
        mend = "give source.au_threshold" if name.startswith("au_") else "empty cells mean not labelled"
        raise EyelineError(
            f"{root}/manifest.parquet: {name} must be {expected} (found {values[wrong][0]:g} at {where} and "
            f"{int(wrong.sum()) - 1} more); {mend}, and curate again"
        )
    return values[:, None]


def labelled(rows: Rows) -> Rows:
    """Leave out the faces that have no label of any task."""
    return rows.take(np.flatnonzero(~np.isnan(rows.targets).all(axis=1)))


def require_every_class(rows: Rows, root: Path, tasks: Tasks) -> None:
    """Refuse a training split in which a class has no face, or an action unit is never or always there.

    Raises:
        EyelineError: Some class has none.
    """
    where = f"{root}/manifest.parquet"
    missing = absent_classes(rows, tasks)
    if missing:
        raise EyelineError(
            f"{where}: every class must have training rows (found none of {', '.join(missing)}); "
            "add examples, or take the class out of labels, and curate again"
        )
    units = rows.targets[:, tasks.outputs - len(tasks.units) :]
    one_sided = [
        name for i, name in enumerate(tasks.units) if not ((units[:, i] == 0).any() and (units[:, i] == 1).any())
    ]
    if one_sided:
        raise EyelineError(
            f"{where}: every action unit must have training rows with and without it (found one kind only of "
            f"{', '.join(one_sided)}); choose others with --data.units"
        )


def absent_classes(rows: Rows, tasks: Tasks) -> list[str]:
    """List the classes that no face of a split has."""
    present = np.nansum(rows.targets[:, : len(tasks.classes)], axis=0) > 0
    return [name for name, found in zip(tasks.classes, present, strict=True) if not found]
