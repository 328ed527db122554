"""The stage `balance`: how often an epoch shows each row of the training part."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import UsageError

from .. import balance, hashing
from ..config import Balance, Dataset
from ..outcome import DropReason
from .rows import Record, labels_of, take_back


def balance_training(rows: pd.DataFrame, dataset: Dataset, out: Path) -> tuple[pd.DataFrame, Record]:
    """Write `repeat`, and the reason `over_cap` where it is 0; validation and test keep their natural mix.

    Args:
        rows: The manifest after `assign_splits`.
        dataset: Its `balance`.
        out: The set's folder.

    Returns:
        The rows with the decisions, and the record: what was asked for, the classes before and after, and, by action
        units, these.

    Raises:
        UsageError: `balance.by` is `au`, and no training row has any.
    """
    rows = take_back(rows, DropReason.OVER_CAP)
    spec = dataset.balance
    repeat = pd.array([None] * len(rows), dtype="Int32")
    kept = rows["drop_reason"].isna().to_numpy()
    repeat[kept] = 1
    training = np.flatnonzero(kept & (rows["split"] == "train").to_numpy())
    some = rows.iloc[training]
    units = sorted((n for n in rows.columns if n.startswith("au_") and some[n].notna().any()), key=_number)
    by = spec.by or ("au" if units and some["label"].isna().all() else "label")
    asked: Record = {"by": by, "cap": spec.cap, "oversample": spec.oversample, "keep": spec.keep}
    if by == "au":
        counts, said = _by_units(some, units, dataset)
    else:
        counts = balance.repeats(labels_of(some), spec, keys=_keys(some), looks=_looks(some, dataset))
        said = {}
    repeat[training] = counts
    rows["repeat"] = repeat
    rows.loc[rows.index[training[counts == 0]], "drop_reason"] = str(DropReason.OVER_CAP)
    classes = balance.table(labels_of(some), counts).rename_axis("label").reset_index().to_dict("records")
    return rows, {**asked, **said, "classes": classes}


def _by_units(rows: pd.DataFrame, units: list[str], dataset: Dataset) -> tuple[NDArray[np.int32], Record]:
    """Balance by action units; give the showings, and what the record says of them."""
    if not units:
        raise UsageError(
            'balance.by = "au": expected training rows with action units (found none); label them, or balance by label'
        )
    values = rows[units].to_numpy(np.float64, na_value=np.nan)
    found = balance.balance_units(values, dataset.balance, keys=_keys(rows), looks=_looks(rows, dataset))
    table = balance.unit_table(units, values, found).round(6)
    return found.repeat, {"units": table.reset_index().to_dict("records")}


def _keys(rows: pd.DataFrame) -> NDArray[np.object_]:
    keys: NDArray[np.object_] = rows["face_id"].to_numpy(object)
    return keys


def _looks(rows: pd.DataFrame, dataset: Dataset) -> balance.Looks | None:
    """Say who, where and what the rows show; None where nothing is capped or the seed decides."""
    spec: Balance = dataset.balance
    if spec.cap is None or spec.keep == "random":
        return None
    source = "source " + rows["source_id"]
    person = ("person " + rows["subject"]).where(rows["subject"].notna(), source)
    groups = np.column_stack([pd.factorize(of.astype(object))[0] for of in (person, source, rows["track"])])
    hashed = rows["hash"].notna().to_numpy(np.bool_)
    stored: list[Any] = [value if has else bytes(32) for value, has in zip(rows["hash"], hashed, strict=True)]
    return balance.Looks(groups.astype(np.int64), hashing.from_bytes(stored, dataset.dedup.bits), hashed)


def _number(unit: str) -> tuple[int, str]:
    """Sort au_2 before au_12."""
    digits = unit.removeprefix("au_")
    return (int(digits) if digits.isdecimal() else 0, unit)
