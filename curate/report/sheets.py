"""Contact sheets of a curated set: evenly spaced samples of its crops as small inlined pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..outcome import DropReason
from .tallies import REASONS, class_order, positions_by_label
from .thumbnails import Crops

HASH_BYTES = 32
_KEPT_PICTURES, _CLASS_MOST, _CLASS_LEAST = 432, 48, 6
_DROPPED_MOST = 24
_GROUPS, _GROUP_MOST = 12, 10
_CONFLICTS = 24
_PAIRWISE = 4096  # members compared with each other for a group's diameter


@dataclass(frozen=True)
class Tile:
    """One face of a sheet: its picture as a data URI, None where there is no file to show, and its caption."""

    picture: str | None
    alt: str
    source: str
    lines: Sequence[str]
    badge: str = ""


@dataclass(frozen=True)
class Sheet:
    """A sample of a section's faces: `shown` items of `total`, `faceless` of which never had a picture."""

    title: str | None
    note: str
    shown: int
    total: int
    faceless: int
    tiles: Sequence[Sequence[Tile]]  # one item each: a face, or faces to compare


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
    sheets = [_sheet(label, "", kept.iloc[places[label]], most, crops) for label in listed]
    return sheets, len(order) - len(listed)


def _sheet(title: str | None, note: str, part: pd.DataFrame, most: int, crops: Crops) -> Sheet:
    pictured = part[part["crop"].notna()]
    sample = pictured.iloc[evenly(len(pictured), most)]
    tiles = [[tile(row, crops)] for row in records(sample)]
    return Sheet(title, note, len(tiles), len(part), len(part) - len(pictured), tiles)


def dropped_sheets(rows: pd.DataFrame, crops: Crops) -> list[Sheet]:
    """Sample the dropped faces of each reason; duplicates stand beside their representatives, nearest first."""
    sheets = []
    for reason in map(str, DropReason):
        part = rows[rows["drop_reason"].eq(reason).fillna(value=False)]
        if part.empty:
            continue
        if reason == DropReason.DUPLICATE:
            sheets.append(_duplicate_sheet(rows, part, crops))
        else:
            sheets.append(_sheet(reason, REASONS[reason], part, _DROPPED_MOST, crops))
    return sheets


def _duplicate_sheet(rows: pd.DataFrame, part: pd.DataFrame, crops: Crops) -> Sheet:
    part = part.assign(bits=duplicate_bits(rows, part))
    pictured = part[part["crop"].notna()].sort_values(["bits", "face_id"], kind="stable")
    sample = pictured.iloc[evenly(len(pictured), _DROPPED_MOST)]
    known = by_id(rows, sample["duplicate_of"])
    pairs = []
    for row in records(sample):
        best = known.get(str(row["duplicate_of"]))
        shown = tile(best, crops, "representative") if best else _unknown(row["duplicate_of"])
        pairs.append([tile(row, crops, _bits(row["bits"]) or "duplicate"), shown])
    return Sheet(
        DropReason.DUPLICATE, REASONS[DropReason.DUPLICATE], len(pairs), len(part), len(part) - len(pictured), pairs
    )


def duplicate_bits(rows: pd.DataFrame, part: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Give the Hamming distance of each row of `part` to its representative in `rows`; NaN where it is not known."""
    firsts = rows.drop_duplicates("face_id")
    places = pd.Index(firsts["face_id"]).get_indexer(pd.Index(part["duplicate_of"]))
    own, own_known = hash_matrix(part["hash"])
    theirs, theirs_known = hash_matrix(firsts["hash"].iloc[places])
    bits = hamming(own, theirs).astype(np.float64)
    bits[(places < 0) | ~own_known | ~theirs_known] = np.nan
    return bits


def hash_matrix(column: "pd.Series[Any]") -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Pack hashes of 32 bytes as uint64 [N, 4], zeros where there is none, and tell which there are."""
    known = np.array([isinstance(value, bytes) and len(value) == HASH_BYTES for value in column], dtype=bool)
    joined = b"".join(value if there else bytes(HASH_BYTES) for value, there in zip(column, known, strict=True))
    return np.frombuffer(joined, dtype=np.uint64).reshape(-1, HASH_BYTES // 8), known


def hamming(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Count the bits in which hashes differ, over the last axis, with broadcasting."""
    bits: npt.NDArray[np.int64] = np.bitwise_count(left ^ right).sum(axis=-1, dtype=np.int64)
    return bits


def by_id(rows: pd.DataFrame, ids: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Look up rows by face_id; the first where an id stands twice."""
    found = rows[rows["face_id"].isin(list(ids))].drop_duplicates("face_id")
    return {str(row["face_id"]): row for row in records(found)}


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Give each row as a dict by column name."""
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def tile(row: Mapping[str, Any], crops: Crops, badge: str = "") -> Tile:
    """Make the tile of one row: where it is from, when, how it scored, and its label."""
    crop, source, reason = (_text(row[key]) for key in ("crop", "source", "drop_reason"))
    label = _text(row["label"])
    when = "" if pd.isna(row["time_s"]) else f"{row['time_s']:.2f} s"
    score = "" if pd.isna(row["score"]) else f"score {row['score']:.2f}"
    sharp = "" if pd.isna(row["sharpness"]) else f"sharpness {row['sharpness']:.0f}"
    alt = f"{reason or 'kept'}: face {_text(row['face_id'])}" + (f", {label}" if label else "") + f", from {source}"
    lines = [" · ".join(filter(None, (label, when))), score, sharp, reason]
    return Tile(crops.thumbnail(crop) if crop else None, alt, source, [line for line in lines if line], badge)


def _bits(distance: Any) -> str:
    return "" if pd.isna(distance) else f"{int(distance)} bits apart"


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _unknown(face_id: Any) -> Tile:
    return Tile(None, "not in the manifest", _text(face_id), ["not in the manifest"])


def group_sheets(rows: pd.DataFrame, crops: Crops) -> tuple[list[Sheet], int]:
    """Show the largest duplicate groups, representative first and the farthest member last; also count the groups."""
    sizes = rows["duplicate_of"].value_counts()
    names = sorted((str(name) for name in sizes.index), key=lambda name: (-int(sizes[name]), name))
    best = by_id(rows, names[:_GROUPS])
    return [_group_sheet(rows, name, best.get(name), crops) for name in names[:_GROUPS]], len(names)


def _group_sheet(rows: pd.DataFrame, name: str, best: Mapping[str, Any] | None, crops: Crops) -> Sheet:
    members = rows[rows["duplicate_of"].eq(name).fillna(value=False)]
    members = members.assign(bits=duplicate_bits(rows, members)).sort_values(["bits", "face_id"], kind="stable")
    hashes, known = hash_matrix(members["hash"])
    hashes = hashes[known]
    if best is not None and isinstance(best["hash"], bytes):
        hashes = np.concatenate([hash_matrix(pd.Series([best["hash"]], dtype=object))[0], hashes])
    diameter, least = diameter_bits(hashes)
    sample = members.iloc[evenly(len(members), _GROUP_MOST - 1)]
    tiles = [tile(best, crops, "representative") if best is not None else _unknown(name)]
    tiles.extend(tile(row, crops, _bits(row["bits"])) for row in records(sample))
    note = f"{len(members) + 1:,} faces, diameter {'at least ' if least else ''}{diameter} bits"
    return Sheet(name, note, len(tiles), len(members) + 1, 0, [[item] for item in tiles])


def diameter_bits(hashes: npt.NDArray[np.uint64]) -> tuple[int, bool]:
    """Give the largest distance between any two hashes, and whether only a sample of them was compared."""
    sampled = len(hashes) > _PAIRWISE
    chosen = hashes[evenly(len(hashes), _PAIRWISE)]
    return max((int(hamming(one, chosen).max()) for one in chosen), default=0), sampled


def conflict_sheet(
    rows: pd.DataFrame, conflicts: Sequence[Sequence[Any]], crops: Crops, count: int | None = None
) -> Sheet:
    """Show pairs of near-duplicates with different labels side by side, nearest first."""
    nearest = sorted(conflicts, key=lambda pair: (pair[2], str(pair[0]), str(pair[1])))[:_CONFLICTS]
    known = by_id(rows, [name for pair in nearest for name in pair[:2]])
    pairs = []
    for left, right, bits in nearest:
        found = [(name, known.get(str(name))) for name in (left, right)]
        pairs.append([tile(row, crops, _bits(bits)) if row else _unknown(name) for name, row in found])
    return Sheet(None, "", len(pairs), len(conflicts) if count is None else count, 0, pairs)
