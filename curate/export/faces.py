"""The faces that are exported, and what is told of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from align import EyelineError, UsageError, printable

from ..manifest import read_curation, read_manifest
from ..report.thumbnails import Crops
from .names import safe_names
from .spec import SIDES, Export

Record = dict[str, Any]
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_FLOATS = ("valence", "arousal")


@dataclass(frozen=True)
class Faces:
    """Kept faces of a set, by split and face_id.

    Attributes:
        rows: Columns of `columns`, and `crop` (its file), `name` (a safe and distinct name), `duplicates` (face_ids of
            those that it stands for).
        columns: What is told of a face, in order.
        classes: The set's labels in their order.
        record: The set's curation.json.
    """

    rows: pd.DataFrame
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    record: Record

    @property
    def units(self) -> tuple[str, ...]:
        """The action units."""
        return tuple(name for name in self.columns if name.startswith("au_"))

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that are exported."""
        found = set(self.rows["split"])
        return tuple(side for side in SIDES if side in found)

    def with_rows(self, rows: pd.DataFrame) -> "Faces":
        """Give the set with other rows, such as some of its own."""
        return Faces(rows, self.columns, self.classes, self.record)

    def of_side(self, side: str) -> "Faces":
        """Give the faces of one side."""
        return self.with_rows(self.rows[self.rows["split"] == side])

    def told(self) -> Iterator[Record]:
        """Yield what is told of each face in plain values, None where nothing is known."""
        columns = [self.rows[name].to_list() for name in self.columns]
        for values in zip(*columns, strict=True):
            yield {name: None if pd.isna(v) else v for name, v in zip(self.columns, values, strict=True)}


def read_faces(asked: Export) -> Faces:
    """Read the faces that an export asks for.

    Raises:
        UsageError: The folder is no set, its last stage was not run, or it has nothing on an asked side.
        EyelineError: A crop is no file, or none of its kinds, or its path leaves the set.
    """
    rows, record = read_manifest(asked.out), read_curation(asked.out)
    if "balance" not in record:
        raise UsageError(
            f"{asked.out}: expected a set with all stages done (balance was not run, or is out of date); run "
            f"eyeline-curate balance {asked.out}"
        )
    copies = rows[rows["duplicate_of"].notna()].sort_values("face_id").groupby("duplicate_of")["face_id"].agg(list)
    kept = rows[rows["drop_reason"].isna() & rows["crop"].notna()]
    sides = asked.splits or SIDES
    kept = kept[kept["split"].isin(sides)]
    found = set(kept["split"])
    empty = [side for side in asked.splits if side not in found]
    if empty or kept.empty:
        where = ", ".join(empty) or "any side"
        raise UsageError(f"{asked.out}: expected kept faces in {where} (found none); look at: eyeline-curate status")
    if repeated := kept["face_id"].duplicated().sum():
        raise EyelineError(f"{asked.out}: expected each face_id once (found {repeated:,} again); curate the set again")
    kept = kept.assign(split=pd.Categorical(kept["split"], SIDES, ordered=True)).sort_values(["split", "face_id"])
    return _faces(kept.assign(split=kept["split"].astype(object)), record, copies, asked)


def _faces(kept: pd.DataFrame, record: Record, copies: "pd.Series[Any]", asked: Export) -> Faces:
    units = sorted((name for name in kept.columns if name.startswith("au_")), key=lambda name: (len(name), name))
    columns = ("face_id", "split", "label", *_FLOATS, *units, "subject", "source", "frame", "time_s", "repeat")
    rows = kept[list(columns)].reset_index(drop=True)
    for name in (*_FLOATS, *units):  # 0.1, not the 0.10000000149 that a float32 becomes in 64 bits
        rows[name] = rows[name].map(lambda value: np.nan if pd.isna(value) else float(str(np.float32(value))))
    rows["repeat"] = rows["repeat"].fillna(1).astype(np.int64)
    rows["crop"] = pd.Series(_crop_files(kept["crop"].astype(str).tolist(), asked.out), dtype=object)
    named = safe_names(rows["face_id"])
    rows["name"] = rows["face_id"].map(named)
    rows["duplicates"] = pd.Series([copies.get(face_id, []) for face_id in rows["face_id"]], dtype=object)
    classes = tuple(map(str, record.get("labels") or sorted(rows["label"].dropna().unique())))
    if unknown := set(rows["label"].dropna()) - set(classes):
        raise EyelineError(
            f"{asked.out}: expected labels of {list(classes)} (found {sorted(unknown)}); curate the set again"
        )
    return Faces(rows, columns, classes, record)


def _crop_files(names: list[str], out: Path) -> list[Path]:
    """Give the crops' files; every one is there, and below the set's folder."""
    missing = Crops(out).missing(names)
    if missing:
        raise EyelineError(
            f"{printable(out)}: expected the files of {len(names):,} crops (found {len(missing):,} missing, the first: "
            f"{missing[0]}); make them again: eyeline-curate run"
        )
    for name in names:
        if PurePosixPath(name).suffix.lower() not in _SUFFIXES:
            raise EyelineError(f"{printable(out)}: expected crops of {', '.join(_SUFFIXES)} (found {name!r})")
    base = out.resolve()
    return [base / name for name in names]


def read_crop(path: Path) -> bytes:
    """Read a crop's file.

    Raises:
        EyelineError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise EyelineError(
            f"{printable(path)}: expected a crop's file ({error.strerror}); make it again: eyeline-curate run"
        ) from None
