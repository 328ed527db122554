"""Pictures of what was compared with what: duplicates, groups, conflicts of label, and leaks, with their distances."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..outcome import DropReason
from .hashes import diameter_bits, distances, duplicate_bits, hash_matrix
from .sheets import DROPPED_MOST, Sheet, Tile, by_id, evenly, records, text_of, tile, unknown_tile
from .tallies import REASONS
from .text import many
from .thumbnails import Crops

_GROUPS, _GROUP_MOST = 12, 10
_CONFLICTS = 24


def duplicate_sheet(rows: pd.DataFrame, crops: Crops, *, mirrored: bool) -> Sheet | None:
    """Show duplicates beside their representatives, from the nearest to the farthest; None where there are none."""
    part = rows[rows["drop_reason"].eq(str(DropReason.DUPLICATE)).fillna(value=False)]
    part = part.assign(bits=duplicate_bits(rows, part, mirrored=mirrored))
    pictured = part[part["crop"].notna()].sort_values(["bits", "face_id"], kind="stable")
    sample = pictured.iloc[evenly(len(pictured), DROPPED_MOST)]
    drawn = _pairs(rows, sample, "representative", crops)
    order = "evenly spaced from the nearest to the farthest"
    return replace(drawn, **_of(part, DropReason.DUPLICATE), order=order) if len(part) else None


def leak_sheet(rows: pd.DataFrame, crops: Crops, *, mirrored: bool) -> Sheet | None:
    """Show rows dropped as leaks beside the nearest face of the published val and test; None where there are none."""
    part = rows[rows["drop_reason"].eq(str(DropReason.LEAK)).fillna(value=False)]
    held_out = rows["published_split"].isin(["val", "test"]) & rows["drop_reason"].isna() & rows["hash"].notna()
    held = rows[held_out]
    if part.empty or held.empty:
        return None
    pictured = part[part["crop"].notna()]
    sample = pictured.iloc[evenly(len(pictured), DROPPED_MOST)]
    nearest = []
    for number in range(len(sample)):
        bits = distances(held, sample.iloc[[number]], mirrored=mirrored)
        best = int(np.nanargmin(bits)) if np.isfinite(bits).any() else 0
        nearest.append((held["face_id"].iloc[best], bits[best]))
    names, far = [name for name, _ in nearest], [bits for _, bits in nearest]
    drawn = _pairs(rows, sample.assign(duplicate_of=names, bits=far), "in val or test", crops)
    return replace(drawn, **_of(part, DropReason.LEAK))


def _of(part: pd.DataFrame, reason: DropReason) -> dict[str, Any]:
    """Say what the pairs of a reason stand for."""
    faceless = int(part["crop"].isna().sum())
    return {"title": str(reason), "note": REASONS[reason], "total": len(part), "faceless": faceless}


def _pairs(rows: pd.DataFrame, sample: pd.DataFrame, other: str, crops: Crops) -> Sheet:
    """Show each row of `sample` beside the face in its `duplicate_of`, `bits` apart."""
    known = by_id(rows, sample["duplicate_of"])
    pairs = []
    for row in records(sample):
        best = known.get(str(row["duplicate_of"]))
        shown = tile(best, crops, other) if best else unknown_tile(row["duplicate_of"])
        pairs.append([tile(row, crops, _bits(row["bits"]) or "distance not known", why=False), shown])
    return Sheet(None, "", len(pairs), len(pairs), 0, pairs)


def _bits(distance: Any) -> str:
    return "" if pd.isna(distance) else f"{many(int(distance), 'bit')} apart"


def group_sheets(rows: pd.DataFrame, dedup: Mapping[str, Any], crops: Crops) -> tuple[list[Sheet], int]:
    """Show the widest duplicate groups, representative first and the farthest member last; also count the groups.

    Args:
        rows: A manifest.
        dedup: What dedup recorded; without its `widest_groups`, the largest groups are shown.
        crops: The set's pictures.
    """
    sizes = rows["duplicate_of"].value_counts()
    largest = sorted((str(name) for name in sizes.index), key=lambda name: (-int(sizes[name]), name))
    widths = {str(name): int(bits) for name, _, bits in dedup.get("widest_groups") or []}
    names = [name for name in widths if name in sizes.index] or largest
    names = names[:_GROUPS]
    best = by_id(rows, names)
    members = {str(name): part for name, part in rows[rows["duplicate_of"].isin(names)].groupby("duplicate_of")}
    mirrored = bool(dedup.get("mirrored"))
    sheets = []
    for name in names:
        part = members[name]
        part = part.assign(bits=duplicate_bits(rows[rows["face_id"].eq(name)], part, mirrored=mirrored))
        sheets.append(_group_sheet(part.sort_values(["bits", "face_id"], kind="stable"), best.get(name), widths, crops))
    return sheets, len(largest)


def _group_sheet(
    members: pd.DataFrame, best: Mapping[str, Any] | None, widths: Mapping[str, int], crops: Crops
) -> Sheet:
    name = str(members["duplicate_of"].iloc[0])
    width = f"{many(widths[name], 'bit')}" if name in widths else _width(members, best)
    sample = members.iloc[evenly(len(members), _GROUP_MOST - 1)]
    tiles = [tile(best, crops, "representative") if best is not None else unknown_tile(name)]
    tiles.extend(tile(row, crops, _bits(row["bits"]), why=False) for row in records(sample))
    note = f"{many(len(members) + 1, 'face')}, diameter {width}"
    items = [[item] for item in tiles]
    order = "evenly spaced from the nearest to the farthest"
    return Sheet(name, note, len(tiles), len(members) + 1, 0, items, order)


def _width(members: pd.DataFrame, best: Mapping[str, Any] | None) -> str:
    """Measure the diameter of a group that the record does not list."""
    hashes, known = hash_matrix(members["hash"])
    hashes = hashes[known]
    if best is not None and isinstance(best["hash"], bytes):
        hashes = np.concatenate([hash_matrix(pd.Series([best["hash"]], dtype=object))[0], hashes])
    diameter, least = diameter_bits(hashes)
    return f"{'at least ' if least else ''}{many(diameter, 'bit')}"


def conflict_sheet(rows: pd.DataFrame, dedup: Mapping[str, Any], crops: Crops) -> Sheet:
    """Show pairs of near-duplicates with different labels side by side, nearest first."""
    conflicts = dedup.get("conflicts") or []
    nearest = sorted(conflicts, key=lambda pair: (pair[2], str(pair[0]), str(pair[1])))[:_CONFLICTS]
    known = by_id(rows, _names(nearest))
    pairs = []
    for left, right, bits in nearest:
        pairs.append([_labelled(known.get(str(name)), name, _bits(bits), crops) for name in (left, right)])
    count = dedup.get("conflict_count")
    total = len(conflicts) if count is None else int(count)
    return Sheet(None, "", len(pairs), total, 0, pairs, "the nearest first")


def _names(pairs: Iterable[Any]) -> list[str]:
    return [str(name) for pair in pairs for name in pair[:2]]


def _labelled(row: Mapping[str, Any] | None, name: Any, bits: str, crops: Crops) -> Tile:
    """Make a tile whose label stands out."""
    if row is None:
        return unknown_tile(name)
    drawn = tile(row, crops, text_of(row["label"]) or "no label")
    return replace(drawn, lines=[bits, *drawn.lines[1:]])
