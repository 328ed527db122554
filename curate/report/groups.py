"""Tables of a set's sources, parts of a published split and folds; every table adds up to the set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from ..outcome import DropReason, count_rows
from .tallies import SIDES, frame_counts, present_sides

_WITHOUT_A_FACE = (str(DropReason.NO_FACE), str(DropReason.CORRUPT))
_NAMED = 20  # sources without a kept face
_FOLD_CLASSES = 8


@dataclass(frozen=True)
class GroupRow:
    """One source, the sum of those not listed, or all: its rows, what became of them and where they stand."""

    name: str
    decoded: int | None
    rows: int
    faces: int
    kept: int
    drops: str
    sides: str
    kind: Literal["one", "rest", "all"] = "one"


@dataclass(frozen=True)
class GroupTable:
    """The sources with most rows, the sum of the others and of all; how many there are, and how kept faces spread."""

    rows: Sequence[GroupRow]
    total: int
    spread: str
    single: bool
    barren: Sequence[str]
    barren_count: int


def source_table(rows: pd.DataFrame, cap: int, record: Mapping[str, Any]) -> GroupTable:
    """Table the `cap` sources with most rows, ties by name; those of one row only where no source has more.

    Args:
        rows: A manifest.
        cap: How many sources to list.
        record: The set's record, for the frames decoded.
    """
    sizes = rows.groupby("source").size()
    names = sorted((str(name) for name in sizes.index), key=lambda name: (-int(sizes[name]), name))
    kept = rows["drop_reason"].isna().groupby(rows["source"]).sum()
    spread = ""
    if names:
        spread = f"kept faces in one: median {kept.median():g}, least {int(kept.min()):,}, most {int(kept.max()):,}"
    several = sum(sizes[name] > 1 for name in names)
    cap = min(cap, int(several)) if several else cap  # pictures, a row each, tell more by their sum
    listed = rows["source"].isin(names[:cap])
    parts = {str(name): part for name, part in rows[listed].groupby("source")}
    decoded = decoded_by_source(rows[listed], record.get("units") or [])
    table = [_group_row(name, parts[name], decoded.get(name)) for name in names[:cap]]
    frames = frame_counts(record.get("frames"))
    whole = _group_row("all sources", rows, frames.decoded if frames else None, "all")
    if len(names) > cap:
        known = [row.decoded for row in table]
        other = None
        if whole.decoded is not None and None not in known:
            other = whole.decoded - sum(count for count in known if count is not None)
        table.append(_group_row(f"{len(names) - cap:,} more sources", rows[~listed], other, "rest"))
    if len(names) > 1:
        table.append(whole)
    barren = [name for name in names if not kept[name]]
    single = bool(len(sizes) and sizes.max() == 1)
    return GroupTable(table, len(names), spread, single, barren[:_NAMED], len(barren))


def _group_row(
    name: str, part: pd.DataFrame, decoded: int | None, kind: Literal["one", "rest", "all"] = "one"
) -> GroupRow:
    counts = count_rows(part)
    kept = counts.pop("kept")
    drops = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items(), key=lambda item: -item[1]))
    faces = len(part) - sum(counts.get(reason, 0) for reason in _WITHOUT_A_FACE)
    return GroupRow(name, decoded, len(part), faces, kept, drops, ", ".join(present_sides(part)), kind)


def decoded_by_source(rows: pd.DataFrame, units: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Count the decoded frames of each source, where that is known.

    A picture is one frame. A video's frames are those of its work units; but a unit may hold many files and bears the
    name of the first, so its frames count only where the units of that name wrote exactly the source's rows.
    """
    frames: dict[str, int] = {}
    written: dict[str, int] = {}
    for unit in units:
        found = frame_counts(unit.get("frames"))
        if found is not None:
            source = str(unit.get("source"))
            frames[source] = frames.get(source, 0) + found.decoded
            written[source] = written.get(source, 0) + int(unit.get("rows") or 0)
    decoded = {}
    for name, part in rows.groupby("source"):
        if written.get(str(name)) == len(part):
            decoded[str(name)] = frames[str(name)]
        elif part["pts"].isna().all():
            decoded[str(name)] = len(part.drop_duplicates(["source_id", "frame"]))
    return decoded


@dataclass(frozen=True)
class SideRow:
    """One side of the split: the share asked for, and what the manifest holds."""

    name: str
    asked: float | None
    assigned: int
    share: float
    kept: int
    sources: int
    subjects: int


def side_rows(rows: pd.DataFrame, record: Mapping[str, Any], sides: Sequence[str]) -> list[SideRow]:
    """Compare the shares asked for with the rows assigned: those kept, and those the cap took out of training later."""
    assigned = rows[rows["split"].notna() & (rows["drop_reason"].isna() | rows["drop_reason"].eq("over_cap"))]
    asked = dict(record.get("asked") or {})
    if asked and "train" not in asked:
        asked["train"] = 1 - sum(asked.values())
    table = []
    for side in [*sides, *(side for side in SIDES if side in asked and side not in sides)]:
        part = assigned[assigned["split"].eq(side)]
        kept = part[part["drop_reason"].isna()]
        counts = (len(kept), kept["source_id"].nunique(), kept["subject"].nunique())
        table.append(SideRow(side, asked.get(side), len(part), len(part) / max(len(assigned), 1), *counts))
    return table


@dataclass(frozen=True)
class PublishedRow:
    """One published part: its rows are where they were published, elsewhere, dropped as leaks, or dropped before."""

    name: str
    rows: int
    same: int
    moved: int
    leaks: int
    dropped: int


def published_rows(rows: pd.DataFrame) -> list[PublishedRow]:
    """Say what became of the rows of each published part; the four outcomes add up to its rows."""
    table = []
    for name in present_sides(rows.assign(split=rows["published_split"])):
        part = rows[rows["published_split"].eq(name).fillna(value=False)]
        lost = part["drop_reason"].notna() & part["drop_reason"].ne(str(DropReason.OVER_CAP))
        leaks = int(part["drop_reason"].eq(str(DropReason.LEAK)).sum())
        same = int((part["split"].eq(name).fillna(value=False) & ~lost).sum())
        left = len(part) - int(lost.sum()) - same
        table.append(PublishedRow(name, len(part), same, left, leaks, int(lost.sum()) - leaks))
    return table


@dataclass(frozen=True)
class FoldRow:
    """One fold: its kept faces, sources and subjects, the faces of each class, and whether it is the test part."""

    number: int
    kept: int
    sources: int
    subjects: int
    by_class: Mapping[str, int]
    is_test: bool


def fold_rows(rows: pd.DataFrame, split: Mapping[str, Any], labels: Sequence[str]) -> tuple[list[FoldRow], list[str]]:
    """Count each fold; also give the classes that are counted, the first few of the set's."""
    kept = rows[rows["drop_reason"].isna() & rows["fold"].notna()]
    shown = list(labels[:_FOLD_CLASSES])
    if kept.empty:
        return [], shown
    table = []
    for number in range(int(split.get("folds") or kept["fold"].max() + 1)):
        part = kept[kept["fold"].eq(number)]
        by_class = part["label"].value_counts()
        counts = (len(part), part["source_id"].nunique(), part["subject"].nunique())
        classes = {label: int(by_class.get(label, 0)) for label in shown}
        table.append(FoldRow(number, *counts, classes, number == split.get("fold")))
    return table, shown
