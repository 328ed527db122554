"""Contact sheets of a curated set: evenly spaced samples of its crops as small inlined pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ..outcome import DropReason
from .tallies import REASONS, class_order, positions_by_label
from .thumbnails import Crops

_KEPT_PICTURES, _CLASS_MOST, _CLASS_LEAST = 400, 48, 6
DROPPED_MOST = 24
_SHORT = 16  # characters of a source that fit below its picture

_UNITS: Mapping[str, str] = {
    "sharpness": "sharpness {:.0f}",
    "brightness": "brightness {:.0f}",
    "contrast": "contrast {:.1f}",
    "interocular_px": "eyes {:.0f} px apart",
    "yaw_deg": "yaw {:.0f}°",
    "score": "score {:.2f}",
}
_NEAREST_FIRST: Mapping[str, tuple[str, bool]] = {
    DropReason.BLURRED: ("sharpness", False),
    DropReason.DARK: ("brightness", False),
    DropReason.BRIGHT: ("brightness", True),
    DropReason.TOO_SMALL: ("interocular_px", False),
    DropReason.PROFILE: ("yaw_deg", True),
    DropReason.BLANK: ("contrast", False),
    DropReason.IMPLAUSIBLE: ("score", False),
}
"""By which measure the dropped of a reason are ordered, those that nearly stayed first, and whether less is nearer."""


@dataclass(frozen=True)
class Tile:
    """One face of a sheet: its picture as a data URI, None where there is no file to show, and its caption."""

    picture: str | None
    alt: str
    source: str
    lines: Sequence[str]
    badge: str = ""

    @property
    def name(self) -> str:
        """The source's own name, without the folders above it unless there is room."""
        return self.source if len(self.source) <= _SHORT else self.source.rpartition("/")[2] or self.source


@dataclass(frozen=True)
class Sheet:
    """A sample of a section's faces: `shown` items of `total`, `faceless` of which never had a picture."""

    title: str | None
    note: str
    shown: int
    total: int
    faceless: int
    tiles: Sequence[Sequence[Tile]]  # one item each: a face, or faces to compare
    order: str = "evenly spaced over the set"


def evenly(count: int, most: int) -> list[int]:
    """Give at most `most` positions evenly spaced over `count`, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def kept_sheets(rows: pd.DataFrame, labels: Iterable[Any], crops: Crops) -> tuple[list[Sheet], int]:
    """Sample the kept faces of each class; also give the number of classes left out for want of room."""
    kept = rows[rows["drop_reason"].isna()]
    places = positions_by_label(kept)
    order = [label for label in class_order(kept, labels) if label in places]
    most = min(max(_KEPT_PICTURES // max(len(order), 1), _CLASS_LEAST), _CLASS_MOST)
    listed = order[: _KEPT_PICTURES // most]
    sheets = [replace(sheet_of(kept.iloc[places[label]], most, crops), title=label) for label in listed]
    return sheets, len(order) - len(listed)


def sheet_of(part: pd.DataFrame, most: int, crops: Crops, measure: str = "sharpness", *, why: bool = False) -> Sheet:
    """Sample the faces of `part` that have a picture, at most `most` of them, evenly over its order."""
    pictured = part[part["crop"].notna()]
    sample = pictured.iloc[evenly(len(pictured), most)]
    tiles = [[tile(row, crops, measure=measure, why=why)] for row in records(sample)]
    return Sheet(None, "", len(tiles), len(part), len(part) - len(pictured), tiles)


def dropped_sheets(rows: pd.DataFrame, crops: Crops) -> list[Sheet]:
    """Sample the dropped faces of each reason; where a gate dropped them, in the order of its measure.

    Reasons for which no row has a picture have no sheet; those that are shown in pairs have theirs in `duplicates`.
    """
    sheets = []
    for reason in map(str, DropReason):
        part = rows[rows["drop_reason"].eq(reason).fillna(value=False)]
        if reason in (DropReason.DUPLICATE, DropReason.LEAK) or not part["crop"].notna().any():
            continue
        measure, rising = _NEAREST_FIRST.get(reason, ("", True))
        if measure:
            order = part[measure].abs().sort_values(ascending=rising, kind="stable").index
            part = part.loc[order]
        drawn = sheet_of(part, DROPPED_MOST, crops, measure or "sharpness")
        words = "evenly spaced, those that nearly stayed first" if measure else drawn.order
        sheets.append(replace(drawn, title=reason, note=REASONS[reason], order=words))
    return sheets


def by_id(rows: pd.DataFrame, ids: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Look up rows by face_id; the first where an id stands twice."""
    found = rows[rows["face_id"].isin(list(ids))].drop_duplicates("face_id")
    return {str(row["face_id"]): row for row in records(found)}


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Give each row as a dict by column name."""
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def tile(
    row: Mapping[str, Any], crops: Crops, badge: str = "", measure: str = "sharpness", *, why: bool = True
) -> Tile:
    """Make the tile of one row: where it is from, its label and when, one measure, and `why` it was dropped."""
    crop, source, reason, label = (text_of(row[key]) for key in ("crop", "source", "drop_reason", "label"))
    when = "" if pd.isna(row["time_s"]) else f"{row['time_s']:.2f} s"
    measured = "" if pd.isna(row[measure]) else _UNITS[measure].format(row[measure])
    alt = f"{reason or 'kept'}: face {text_of(row['face_id'])}" + (f", {label}" if label else "") + f", from {source}"
    lines = [" · ".join(filter(None, (label, when))), measured, reason if why else ""]
    return Tile(crops.thumbnail(crop) if crop else None, alt, source, [line for line in lines if line], badge)


def unknown_tile(face_id: Any) -> Tile:
    """Make the tile of a face that is named but has no row."""
    return Tile(None, "not in the manifest", text_of(face_id), ["not in the manifest"])


def text_of(value: Any) -> str:
    """Write a cell; nothing where it is missing."""
    return "" if pd.isna(value) else str(value)
