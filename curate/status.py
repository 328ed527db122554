"""Prove that a finished set, or any folder of pictures with splits, holds no leak; and list those that it holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import printable

from . import dedup, identity
from .config import Dedup, Identify
from .folders import Pictures, Progress, hash_pictures, list_pictures
from .leaks import Check, leak_check, leaks_by
from .manifest import CURATION, MANIFEST, read_curation, read_manifest
from .outcome import count_rows
from .report.checks import check_crops, check_set
from .report.tallies import SIDES, class_rows, present_sides
from .report.thumbnails import Crops

_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """How a folder is looked at; a set says itself how it was made.

    Attributes:
        dedup: Hash and radius of near-duplicates.
        people: Detect and compare faces, too.
        threshold: Of two descriptors, see `config.Identify`.
    """

    dedup: Dedup = field(default_factory=Dedup)
    people: bool = False
    threshold: float = field(default_factory=lambda: Identify().threshold)


@dataclass(frozen=True)
class Status:
    """What was checked.

    Attributes:
        kind: `set` or `folder`.
        checks: Every check with its outcome, those that failed first.
        sides: What stands on each side: name -> count by what is counted.
    """

    kind: str
    checks: tuple[Check, ...]
    sides: Mapping[str, Mapping[str, int]]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed: leaks, counts that do not reconcile, files that are gone."""
        return tuple(check for check in self.checks if check.level == "failed")

    def record(self) -> dict[str, Any]:
        """Give everything in plain values, with every example of every check."""
        checks = [
            {"level": check.level, "topic": check.topic, "text": check.text, "details": list(check.details)}
            for check in self.checks
        ]
        sides = {side: dict(counts) for side, counts in self.sides.items()}
        return {"kind": self.kind, "failed": len(self.failed), "sides": sides, "checks": checks}


def look(path: Path, asked: Asked | None = None, progress: Progress | None = None) -> Status:
    """Check a curated set from its files, or a folder that has folders called train, val and test.

    Args:
        path: The folder.
        asked: How a folder of pictures is looked at.
        progress: Told of pictures that are done.

    Returns:
        The outcome of every check.

    Raises:
        UsageError: It is neither.
    """
    if (path / CURATION).is_file() or (path / MANIFEST).is_file():
        return of_set(path)
    return of_folder(path, asked or Asked(), progress)


def of_set(out: Path) -> Status:
    """Check a curated set: counts, crops, sides, near-duplicates, showings."""
    rows, record = read_manifest(out), read_curation(out)
    sides = present_sides(rows)
    classes = class_rows(rows, record.get("labels") or [], sides)
    checks = [*check_set(rows, record, classes), check_crops(rows, Crops(out)), *_check_counts(rows, record)]
    kept = rows[rows["drop_reason"].isna()]
    table = {}
    for side in [side for side in SIDES if side in sides] or ["(not split)"]:
        part = kept if side not in SIDES else kept[kept["split"].eq(side)]
        table[side] = {"faces": len(part), "sources": part["source_id"].nunique(), "people": part["subject"].nunique()}
    return Status("set", _worst_first(checks), table)


def of_folder(folder: Path, asked: Asked, progress: Progress | None = None) -> Status:
    """Check a folder of pictures: copies, near-duplicates, labels, and people where that is asked for."""
    spec = asked.dedup
    pictures = hash_pictures(list_pictures(folder), spec.algorithm, spec.bits, progress)
    side = pd.Series([picture.side for picture in pictures.items], dtype=object)
    table: dict[str, dict[str, int]] = {}
    for name in [name for name in SIDES if (side == name).any()]:
        labels = {p.label for p in pictures.items if p.side == name and p.label is not None}
        table[name] = {"pictures": int((side == name).sum()), "classes": len(labels)}
    radius = spec.set_radius_bits if spec.radius is None else spec.radius
    checks = [*_check_readable(pictures), *_check_copies(pictures), *_check_near(pictures, radius)]
    if asked.people:
        checks += _check_people(pictures, asked.threshold, progress)
    else:
        checks.append(Check("skipped", "People were not compared; --people does, by their faces.", topic="people"))
    return Status("folder", _worst_first(checks), table)


def _worst_first(checks: Sequence[Check]) -> tuple[Check, ...]:
    order = ["failed", "warning", "ok", "skipped"]
    return tuple(sorted(checks, key=lambda check: order.index(check.level)))


def _check_counts(rows: pd.DataFrame, record: Mapping[str, Any]) -> Iterator[Check]:
    """Check that kept rows and rows by reason are as recorded."""
    counts, recorded = count_rows(rows), record.get("rows")
    if recorded is None:
        return
    if dict(recorded) == dict(counts):
        yield Check("ok", f"Reasons reconcile: {len(rows):,} rows, of which {counts['kept']:,} are kept.", topic="rows")
    else:
        text = f"Reasons do not reconcile: the manifest has {dict(counts)}, curation.json {dict(recorded)}."
        yield Check("failed", text, topic="rows")


def _check_readable(pictures: Pictures) -> Iterator[Check]:
    total = len(pictures.items) + len(pictures.unreadable)
    if pictures.unreadable:
        text = f"{len(pictures.unreadable):,} of {total:,} files cannot be read."
        yield Check("failed", text, pictures.unreadable, "files")
    else:
        yield Check("ok", f"Each of {total:,} files is a picture that can be read.", topic="files")
    if flat := int(pictures.flat.sum()):
        yield Check(
            "skipped", f"{flat:,} pictures are nearly one grey: only exact copies of them count.", topic="files"
        )


def _check_copies(pictures: Pictures) -> Iterator[Check]:
    """Check that no picture stands on two sides, and tell of copies on one side and of copies with two labels."""
    table = _table(pictures)
    copied = table[table.duplicated("digest", keep=False)]
    across = leaks_by(copied["digest"], copied["name"], copied["side"])
    if across:
        sides = copied.groupby("digest")["side"].agg(set)
        found = {digest: sides[digest] for digest in sides.index}
        details = [", ".join(part["name"]) for digest, part in copied.groupby("digest") if len(found[digest]) > 1]
        told = _told([(part["side"].tolist(), part["side"].tolist()) for _, part in copied.groupby("digest")])
        check = leak_check("picture", details)
        yield Check("failed", f"{check.text[:-1]} as exact copies{told}.", tuple(sorted(details)), "copies")
    else:
        yield Check("ok", f"No picture stands on two sides (of {table['digest'].nunique():,}).", topic="copies")
    within = copied[copied.duplicated(["digest", "side"], keep=False)]
    if extra := int(within.duplicated(["digest", "side"]).sum()):
        names = sorted(", ".join(part["name"]) for _, part in within.groupby(["digest", "side"]))
        yield Check(
            "warning", f"{extra:,} pictures are exact copies of another one of their side.", tuple(names), "copies"
        )
    labels = copied.groupby("digest")["label"].nunique()
    if (odd := labels.index[labels > 1]).size:
        names = sorted(", ".join(part["name"]) for _, part in copied[copied["digest"].isin(odd)].groupby("digest"))
        yield Check("warning", f"{len(names):,} pictures have copies of another label.", tuple(names), "labels")


def _check_near(pictures: Pictures, radius: int) -> Iterator[Check]:
    """Check near-duplicates that are no copies."""
    table = _table(pictures)
    first = np.flatnonzero(~table.duplicated("digest").to_numpy() & ~pictures.flat)
    try:
        i, j, bits = dedup.near_pairs(pictures.h[first], radius, mirrored=pictures.mirrored[first])
    except dedup.TooManyPairsError as error:
        yield Check("warning", f"Near-duplicates were not looked for: {error}.", topic="near")
        return
    members = table.groupby("digest").indices
    of = [members[digest] for digest in table["digest"].iloc[first]]
    side, label, name = (table[column].to_numpy(object) for column in ("side", "label", "name"))
    across: list[str] = []
    within: list[str] = []
    conflicts: list[str] = []
    found: list[tuple[list[str], list[str]]] = []
    for a, b, distance in zip(i.tolist(), j.tolist(), bits.tolist(), strict=True):
        left, right = of[a], of[b]
        pairs = [(x, y) for x in left for y in right if side[x] != side[y]]
        x, y = pairs[0] if pairs else (left[0], right[0])
        text = f"{name[x]}, {name[y]} ({distance} bits)"
        (across if pairs else within).append(text)
        found.append((side[left].tolist(), side[right].tolist()))
        if label[x] is not None and label[y] is not None and label[x] != label[y]:
            conflicts.append(text)
    where = f"within {radius} bits, mirror images too, copies not counted"
    if across:
        check = leak_check("near-duplicate pair", across)
        yield Check("failed", f"{check.text[:-1]} ({where}){_told(found)}.", tuple(across), "near")
    else:
        yield Check("ok", f"No near-duplicates stand on two sides ({len(first):,} pictures, {where}).", topic="near")
    if within:
        yield Check(
            "warning", f"{len(within):,} near-duplicate pairs stand on one side ({where}).", tuple(within), "near"
        )
    if conflicts:
        text = f"{len(conflicts):,} near-duplicate pairs have two labels ({where})."
        yield Check("warning", text, tuple(conflicts), "labels")


def _table(pictures: Pictures) -> pd.DataFrame:
    columns = {name: [getattr(picture, name) for picture in pictures.items] for name in ("name", "side", "label")}
    return pd.DataFrame({**columns, "digest": pictures.digest}, dtype=object)


def _told(groups: Sequence[tuple[list[str], list[str]]]) -> str:
    """Say how many groups of pictures each two sides share."""
    counts = {}
    for a, b in combinations(SIDES, 2):
        both = sum((a in left and b in right) or (b in left and a in right) for left, right in groups)
        if both:
            counts[f"{both:,} in {a} and {b}"] = both
    return ": " + ", ".join(counts) if counts else ""


def _check_people(pictures: Pictures, threshold: float, progress: Progress | None) -> Iterator[Check]:
    """Check that no person stands on two sides, by the descriptors of all faces that the detector finds."""
    from .faces import describe_pictures

    faces, owner = describe_pictures([picture.path for picture in pictures.items], progress)
    if not len(faces):
        yield Check("warning", "No face was found: people were not compared.", topic="people")
        return
    start = identity.gather(faces, np.arange(len(faces)))
    beside = pd.Series(np.arange(len(faces))).groupby(owner)
    apart = (pair for _, places in beside for pair in combinations(places.tolist(), 2))
    person = pd.Series(identity.group_people(start, threshold, apart))
    where = pd.Series([pictures.items[place].name for place in owner], dtype=object)
    side = pd.Series([pictures.items[place].side for place in owner], dtype=object)
    found = [f"who is in {leak}" for leak in leaks_by(person, where, side)]
    without = len(pictures.items) - len(np.unique(owner))
    text = f"{person.nunique():,} people by {len(faces):,} faces; {without:,} pictures show none"
    if found:
        check = leak_check("person", found)
        yield Check("failed", f"{check.text[:-1].replace('persons', 'people')} ({text}).", tuple(found), "people")
    else:
        yield Check("ok", f"Nobody stands on two sides ({text}).", topic="people")


def one_line(text: str) -> str:
    """Write text so that it prints on one line, whatever file name stands in it."""
    shown = printable(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
