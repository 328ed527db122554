"""What must hold in a curated set, checked again from its files: counts reconcile, and no group is on two sides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from ..outcome import FrameCounts
from .tallies import ClassRow, frame_counts

_LISTED = 20

Level = Literal["ok", "skipped", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check in one sentence, with examples of what broke it."""

    level: Level
    text: str
    details: tuple[str, ...] = ()
    more: int = 0
    topic: str = ""


def check_set(rows: pd.DataFrame, record: Mapping[str, Any], classes: Sequence[ClassRow]) -> list[Check]:
    """Run every check that needs no picture."""
    units = list(record.get("units") or [])
    return [
        check_frames(frame_counts(record.get("frames"))),
        *_check_units(rows, record, units),
        _check_ids(rows),
        _check_representatives(rows),
        *check_leaks(rows, (record.get("split") or {}).get("by", "subject")),
        *_check_sides(rows),
        *_check_classes(record, classes),
        *_check_inputs(units),
    ]


def check_frames(frames: FrameCounts | None) -> Check:
    """Check that every decoded frame is accounted for once."""
    if frames is None:
        return Check("skipped", "Frames were not counted.", topic="frames")
    parts = frames.sampled_out + frames.near_identical + frames.with_rows
    total = f"{frames.sampled_out:,} sampled out + {frames.near_identical:,} near-identical"
    total += f" + {frames.with_rows:,} with rows"
    if frames.reconciles:
        return Check("ok", f"Frames reconcile: {frames.decoded:,} decoded = {total}.", topic="frames")
    missing = abs(frames.decoded - parts)
    fate = "unaccounted for" if parts < frames.decoded else "counted twice"
    text = f"Frames do not reconcile: {frames.decoded:,} decoded ≠ {total}; {missing:,} {fate}."
    return Check("failed", text, topic="frames")


def _check_units(rows: pd.DataFrame, record: Mapping[str, Any], units: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """Check that the units' frames and rows add up to the set's."""
    if not units:
        return
    total = sum((frame_counts(unit.get("frames")) or FrameCounts() for unit in units), FrameCounts())
    frames = frame_counts(record.get("frames"))
    odd = [_name(unit) for unit in units if not (frame_counts(unit.get("frames")) or FrameCounts()).reconciles]
    if odd:
        yield _listed("failed", f"The frames of {len(odd):,} work units do not reconcile.", odd, "frames")
    if frames is not None and frames != total:
        text = f"The work units decoded {total.decoded:,} frames and {total.with_rows:,} have rows; the set says "
        yield Check("failed", f"{text}{frames.decoded:,} and {frames.with_rows:,}.", topic="frames")
    in_units = sum(int(unit.get("rows") or 0) for unit in units)
    if in_units == len(rows):
        yield Check(
            "ok", f"Rows reconcile: {len(units):,} work units wrote the manifest's {len(rows):,}.", topic="rows"
        )
    else:
        text = f"Rows do not reconcile: the work units wrote {in_units:,}, the manifest holds {len(rows):,}."
        yield Check("failed", text, topic="rows")


def _name(unit: Mapping[str, Any]) -> str:
    return f"{unit.get('source')} ({unit.get('unit_id')})"


def _listed(level: Level, text: str, names: Sequence[str], topic: str) -> Check:
    return Check(level, text, tuple(names[:_LISTED]), max(len(names) - _LISTED, 0), topic)


def _check_ids(rows: pd.DataFrame) -> Check:
    """Check that no two rows share a face_id."""
    twice = rows.loc[rows["face_id"].notna() & rows["face_id"].duplicated(), "face_id"].unique()
    if len(twice):
        return _listed(
            "failed", f"{len(twice):,} face_ids stand in more than one row.", sorted(map(str, twice)), "rows"
        )
    return Check("ok", "Every face_id is unique.", topic="rows")


def _check_representatives(rows: pd.DataFrame) -> Check:
    """Check that each duplicate names a row that is not a duplicate itself."""
    duplicates = rows[rows["drop_reason"].eq("duplicate").fillna(value=False)]
    if duplicates.empty:
        return Check("skipped", "No face was dropped as a duplicate.", topic="dedup")
    others = rows.loc[~rows.index.isin(duplicates.index), "face_id"]
    lost = duplicates.loc[~duplicates["duplicate_of"].isin(others), "face_id"]
    if len(lost):
        text = f"{len(lost):,} duplicates name no representative, or one that is a duplicate itself."
        return _listed("failed", text, [str(name) for name in lost], "dedup")
    return Check(
        "ok",
        f"The representatives of {len(duplicates):,} duplicates are there, and none is a duplicate itself.",
        topic="dedup",
    )


def check_leaks(rows: pd.DataFrame, split_by: str = "subject") -> list[Check]:
    """Check that no source, subject or duplicate group has rows on two sides; every row with a side counts.

    Where the set was split by source, subjects may stand on two sides, and are not looked at.
    """
    sided = rows[rows["split"].notna()]
    if sided.empty:
        return [Check("skipped", "The set is not split: there is no leak to look for.", topic="split")]
    keys = {
        "source": (sided["source_id"].fillna(sided["source"]), sided["source"]),
        "subject": (sided["subject"], sided["subject"]),
        "duplicate group": (sided["duplicate_of"].fillna(sided["face_id"]),) * 2,
    }
    checks = [_check_leak(kind, key, name, sided["split"]) for kind, (key, name) in keys.items()]
    if split_by == "source":
        checks[1] = Check("skipped", "Split by source: subjects may stand on two sides.", topic="split")
    return checks


def _check_leak(kind: str, key: "pd.Series[Any]", name: "pd.Series[Any]", side: "pd.Series[Any]") -> Check:
    sides = side.groupby(key).nunique()
    if sides.empty:
        return Check("skipped", f"No {kind} is named: leaks by {kind} were not looked for.", topic="split")
    found = sides[sides > 1].index
    if found.empty:
        return Check("ok", f"No {kind} stands on two sides (of {len(sides):,}).", topic="split")
    details = []
    for leak in sorted(found)[:_LISTED]:
        rows = key.eq(leak).fillna(value=False)
        counts = side[rows].value_counts().sort_index()
        details.append(
            f"{name[rows].iloc[0]}: " + ", ".join(f"{count:,} in {where}" for where, count in counts.items())
        )
    verb = "stands" if len(found) == 1 else "stand"
    plural = kind if len(found) == 1 else f"{kind}s"
    text = f"Leak: {len(found):,} {plural} {verb} on two sides."
    return Check("failed", text, tuple(details), max(len(found) - _LISTED, 0), "split")


def _check_sides(rows: pd.DataFrame) -> Iterator[Check]:
    """Check that a split set leaves no kept row without a side."""
    kept = rows[rows["drop_reason"].isna()]
    without = int(kept["split"].isna().sum())
    if without and without < len(kept):
        text = f"{without:,} kept faces have no side, in a set that is split; run eyeline-curate split again."
        yield Check("failed", text, topic="split")


def _check_classes(record: Mapping[str, Any], classes: Sequence[ClassRow]) -> Iterator[Check]:
    """Check that no class is empty, and that what balancing recorded is what the manifest holds."""
    empty = [str(row.label) for row in classes if row.label is not None and row.kept == 0]
    if empty:
        verb = "has" if len(empty) == 1 else "have"
        text = f"{len(empty):,} of {len(classes):,} classes {verb} no kept face."
        yield _listed("warning", text, empty, "classes")
    recorded = {str(item.get("label")): item for item in (record.get("balance") or {}).get("classes") or []}
    stale = [
        str(row.label)
        for row in classes
        if (item := recorded.get(str(row.label))) is not None
        and (item.get("before"), item.get("shown")) != (row.before_cap, row.shown)
    ]
    if stale:
        text = "curation.json and the manifest disagree on balancing; run eyeline-curate balance again."
        yield _listed("warning", text, stale, "classes")


def _check_inputs(units: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """Check that no input failed."""
    failed = [_name(unit) for unit in units if unit.get("error")]
    if failed:
        yield Check(
            "warning", f"{len(failed):,} of {len(units):,} work units failed: see Failed inputs.", topic="inputs"
        )
    elif units:
        yield Check("ok", f"All {len(units):,} work units were read to their end.", topic="inputs")
