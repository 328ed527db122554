"""What must hold in a curated set, checked again from its files; its leaks are those of `curate.leaks`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ..leaks import Check, Level, check_leaks, crossing
from ..outcome import FrameCounts
from .tallies import ClassRow, frame_counts
from .thumbnails import Crops


def check_set(rows: pd.DataFrame, record: Mapping[str, Any], classes: Sequence[ClassRow]) -> list[Check]:
    """Run every check that needs no picture."""
    units = list(record.get("units") or [])
    return [
        check_frames(frame_counts(record.get("frames"))),
        *_check_units(rows, record, units),
        _check_ids(rows),
        _check_representatives(rows),
        *check_leaks(rows, record),
        *_check_sides(rows),
        *_check_folds(rows, record),
        *_check_published(rows, record),
        *_check_showings(rows),
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
    return Check(level, text, tuple(names), topic)


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


def _check_sides(rows: pd.DataFrame) -> Iterator[Check]:
    """Check that a split set leaves no kept row without a side."""
    kept = rows[rows["drop_reason"].isna()]
    without = int(kept["split"].isna().sum())
    if without and without < len(kept):
        text = f"{without:,} kept faces have no side, in a set that is split; run eyeline-curate split again."
        yield Check("failed", text, topic="split")


def _check_folds(rows: pd.DataFrame, record: Mapping[str, Any]) -> Iterator[Check]:
    """Check that the test part is the chosen fold, and that no group is in two folds."""
    split = record.get("split") or {}
    if "folds" not in split:
        return
    kept = rows[rows["drop_reason"].isna()]
    test, chosen = kept["split"].eq("test"), kept["fold"].eq(split["fold"])
    odd = kept.loc[test.fillna(value=False) != chosen.fillna(value=False), "face_id"]
    if len(odd):
        text = f"{len(odd):,} faces of fold {split['fold']} are not in test, or in test but of another fold."
        yield _listed("failed", text, odd.astype(str).tolist(), "split")
    by_fold = rows.assign(split=rows["fold"].map(lambda fold: f"fold {fold}", na_action="ignore"))
    for kind in ("source", "subject") if split.get("by") == "subject" else ("source",):
        found = crossing(by_fold, kind)
        if found.leaks:
            text = f"Leak: {len(found.leaks):,} of {found.total:,} {kind}s stand in two folds."
            yield _listed("failed", text, [str(leak) for leak in found.leaks], "split")


def _check_published(rows: pd.DataFrame, record: Mapping[str, Any]) -> Iterator[Check]:
    """Check that published parts are as published, where they were to be kept."""
    config = ((record.get("config") or {}).get("split")) or {}
    published = rows[rows["published_split"].notna() & rows["split"].notna()]
    if published.empty:
        return
    moved = published.loc[published["split"] != published["published_split"], "face_id"]
    if moved.empty:
        yield Check("ok", f"Each of {len(published):,} faces is in its published part.", topic="split")
        return
    asked = config.get("published") == "ignore" or config.get("folds") is not None
    text = f"{len(moved):,} of {len(published):,} faces are not in their published part"
    names = moved.astype(str).tolist()
    if asked:
        yield Check("warning", f"{text}, as the configuration asks.", topic="split")
    else:
        yield _listed("failed", f"{text}; run eyeline-curate split again.", names, "split")


def _check_showings(rows: pd.DataFrame) -> Iterator[Check]:
    """Check that balancing left validation and test as they are: each kept face is shown once."""
    kept = rows[rows["drop_reason"].isna() & rows["split"].isin(["val", "test"])]
    if kept["repeat"].isna().all():
        return
    odd = kept.loc[~kept["repeat"].eq(1).fillna(value=False), "face_id"]
    if len(odd):
        text = f"{len(odd):,} faces of val and test are not shown exactly once."
        yield _listed("failed", text, odd.astype(str).tolist(), "split")
    else:
        yield Check("ok", f"Each of {len(kept):,} faces of val and test is shown once.", topic="split")


def _check_classes(record: Mapping[str, Any], classes: Sequence[ClassRow]) -> Iterator[Check]:
    """Check that no class is empty, and that what balancing recorded is what the manifest holds."""
    labelled = [row for row in classes if row.label is not None]
    empty = [str(row.label) for row in labelled if row.kept == 0]
    if empty:
        verb = "has" if len(empty) == 1 else "have"
        text = f"{len(empty):,} of {len(labelled):,} classes {verb} no kept face."
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


def check_crops(rows: pd.DataFrame, crops: Crops) -> Check:
    """Check that every crop that the manifest names is a file, and every kept row names one."""
    named = rows["crop"].dropna().astype(str).tolist()
    missing = crops.missing(named)
    if missing:
        return _listed("failed", f"{len(missing):,} of {len(named):,} crop files are missing.", missing, "crops")
    bare = int((rows["crop"].isna() & rows["drop_reason"].isna()).sum())
    if bare:
        return Check("warning", f"{bare:,} kept faces have no crop.", topic="crops")
    return Check("ok", f"Each of {len(named):,} crops is a file.", topic="crops")
