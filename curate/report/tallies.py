"""Counts of a curated set, as its report tables them; pure functions of the manifest and of `curation.json`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..outcome import DropReason, FrameCounts, count_rows

SIDES = ("train", "val", "test")
FRAME_KEYS = ("decoded", "sampled_out", "near_identical", "with_rows")
REASONS: Mapping[str, str] = {
    DropReason.NO_FACE: "nothing was detected",
    DropReason.CORRUPT: "the picture, or the rest of the video, cannot be decoded",
    DropReason.PROFILE: "the head is turned too far aside: no eye line to align by, or beyond the gate",
    DropReason.NO_EYES: "the landmarker gave no eyes",
    DropReason.IMPLAUSIBLE: "eyes and nose stand as in no face: a false detection",
    DropReason.BLANK: "one flat colour",
    DropReason.TOO_SMALL: "the eyes are closer than the gate allows",
    DropReason.BLURRED: "sharpness below the gate",
    DropReason.DARK: "too dark",
    DropReason.BRIGHT: "too bright",
    DropReason.REDUNDANT: "its track or scene had more faces than were asked for, and others differ more",
    DropReason.DUPLICATE: "within the radius of a better face, its representative",
    DropReason.UNLABELLED: "no label, in a set that has labels",
    DropReason.LEAK: "a training row whose near-duplicate stands in the published validation or test part",
    DropReason.OVER_CAP: "its class had more than the cap in the training part",
}


@dataclass(frozen=True)
class Step:
    """One line of a waterfall; `start` and `share` place its bar, as shares of the whole."""

    name: str
    count: int
    start: float
    share: float
    kind: str  # whole, lost or left
    note: str = ""


@dataclass(frozen=True)
class ClassRow:
    """One class: rows in all, kept rows by side, and its training part before the cap, after it, and an epoch."""

    label: str | None
    rows: int
    kept: int
    sides: Mapping[str, int]
    before_cap: int
    shown: int | None


def frame_counts(record: Mapping[str, Any] | None) -> FrameCounts | None:
    """Read the four frame counts of a set or of a unit; None where they were not recorded."""
    if not record:
        return None
    return FrameCounts(**{key: int(record.get(key, 0)) for key in FRAME_KEYS})


def waterfall(
    whole: tuple[str, int, str], losses: Iterable[tuple[str, int, str]], left: tuple[str, int, str]
) -> list[Step]:
    """Lay out bars that start full, lose a piece a line, and end with what is left; each item is name, count, note."""
    total = whole[1]
    steps = [Step(whole[0], total, 0.0, min(total, 1), "whole", whole[2])]
    remaining = total
    for name, count, note in losses:
        start = max(remaining - count, 0)
        steps.append(Step(name, count, start / max(total, 1), min(count, remaining) / max(total, 1), "lost", note))
        remaining = start
    steps.append(Step(left[0], left[1], 0.0, min(left[1] / max(total, 1), 1.0), "left", left[2]))
    return steps


def frame_steps(frames: FrameCounts) -> list[Step]:
    """Lay out what became of the decoded frames."""
    losses = [
        ("sampled out", frames.sampled_out, "skipped by 1 in N sampling"),
        ("near-identical", frames.near_identical, "nothing about the face changed since the frame before"),
    ]
    return waterfall(("decoded", frames.decoded, "frames and images"), losses, ("with rows", frames.with_rows, ""))


def row_steps(rows: pd.DataFrame) -> list[Step]:
    """Lay out what became of the rows, a line a drop reason."""
    counts = count_rows(rows)
    losses = [(reason, count, REASONS[reason]) for reason, count in counts.items() if reason != "kept"]
    whole = ("rows", len(rows), "a face each, or a frame or image without one")
    return waterfall(whole, losses, ("kept", counts["kept"], ""))


def present_sides(rows: pd.DataFrame) -> list[str]:
    """List the sides that rows stand on: train, val and test first."""
    found = {str(side) for side in rows["split"].dropna().unique()}
    return [side for side in SIDES if side in found] + sorted(found - set(SIDES))


def class_order(rows: pd.DataFrame, labels: Iterable[Any]) -> list[str | None]:
    """List the set's labels in its own order, then others that rows carry, then None where a kept row has none."""
    order = list(dict.fromkeys(str(label) for label in labels))
    extra = {str(label) for label in rows["label"].dropna().unique()} - set(order)
    unlabelled = bool((rows["label"].isna() & rows["drop_reason"].isna()).any())
    return [*order, *sorted(extra), *([None] if unlabelled else [])]


def class_rows(rows: pd.DataFrame, labels: Iterable[Any], sides: Sequence[str]) -> list[ClassRow]:
    """Count each class: kept by side, and its training part before and after balancing."""
    kept = rows["drop_reason"].isna()
    train = rows["split"].eq("train").fillna(value=False)
    over_cap = rows["drop_reason"].eq("over_cap").fillna(value=False)
    balanced = bool(rows["repeat"].notna().any())
    places = positions_by_label(rows)
    table = []
    for label in class_order(rows, labels):
        of_class = rows.iloc[places.get(label, [])].index
        in_train = train[of_class]
        chosen = rows.loc[of_class][kept[of_class]]
        shown = int(chosen.loc[in_train[chosen.index], "repeat"].sum()) if balanced else None
        by_side = {side: int(chosen["split"].eq(side).sum()) for side in sides}
        before = int((in_train & (kept[of_class] | over_cap[of_class])).sum())
        table.append(ClassRow(label, len(of_class), len(chosen), by_side, before, shown))
    return table


def positions_by_label(rows: pd.DataFrame) -> dict[str | None, list[int]]:
    """Give the positions of the rows of each label, those without one under None."""
    grouped: dict[Any, Any] = rows.groupby("label", dropna=False, sort=False).indices
    return {None if pd.isna(label) else str(label): places.tolist() for label, places in grouped.items()}
