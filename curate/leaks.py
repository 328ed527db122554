"""Find what stands on two sides of a split: people, sources, near-duplicates; for the split, report and `status`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import dedup, hashing

Level = Literal["ok", "skipped", "warning", "failed"]
Kind = Literal["source", "subject", "duplicate group"]

SHOWN = 20
"""How many examples of a check are shown; it holds them all."""

_Ints = NDArray[np.int64]
_MEASURED = ["sharpness", "brightness", "contrast"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check in one sentence, with everything that broke it."""

    level: Level
    text: str
    details: tuple[str, ...] = ()
    topic: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        """The first examples."""
        return self.details[:SHOWN]

    @property
    def more(self) -> int:
        """How many are not shown."""
        return len(self.details) - len(self.shown)


@dataclass(frozen=True)
class Leak:
    """One person, source or group that stands on two sides, and how many of its rows stand where."""

    name: str
    counts: Mapping[str, int]

    def __str__(self) -> str:
        """Write it as `name: 10 in train, 1 in val`."""
        return f"{self.name}: " + ", ".join(f"{count:,} in {side}" for side, count in self.counts.items())


@dataclass(frozen=True)
class Crossing:
    """What was looked for, among how many, and what was found."""

    kind: str
    total: int
    leaks: tuple[Leak, ...]


def crossing(rows: pd.DataFrame, kind: Kind) -> Crossing:
    """Find the sources, subjects or duplicate groups that have rows on two sides; every row with a side counts.

    Args:
        rows: A manifest.
        kind: What to look for.
    """
    sided = rows[rows["split"].notna()]
    keys: dict[str, tuple[pd.Series[Any], pd.Series[Any]]] = {
        "source": (sided["source_id"].fillna(sided["source"]), sided["source"]),
        "subject": (sided["subject"], sided["subject"]),
        "duplicate group": (sided["duplicate_of"].fillna(sided["face_id"]),) * 2,
    }
    key, name = keys[kind]
    return Crossing(kind, int(key.nunique()), tuple(leaks_by(key, name, sided["split"])))


def leaks_by(key: "pd.Series[Any]", name: "pd.Series[Any]", side: "pd.Series[Any]") -> list[Leak]:
    """Give the keys that have rows on two sides, in order, each by the name of its first row.

    Args:
        key: What must not cross; null = nothing to look for.
        name: How each is called.
        side: Where each row stands.
    """
    sides = side.groupby(key).nunique()
    torn = key.isin(sides.index[sides > 1])
    table = pd.DataFrame({"key": key[torn], "side": side[torn], "name": name[torn]})
    return [
        Leak(str(part["name"].iloc[0]), {str(s): int(n) for s, n in part["side"].value_counts().sort_index().items()})
        for _, part in table.groupby("key", sort=True)
    ]


def near_pairs(
    rows: pd.DataFrame, radius: int | dedup.Neighbours, bits: int, *, mirrored: bool = False
) -> tuple[_Ints, _Ints]:
    """Find the near-duplicates among kept rows that have a hash: their positions in the rows, int64 [P] each.

    Args:
        rows: A manifest.
        radius: In bits; or what was found with a radius before, see `dedup.near_pairs`.
        bits: Of the hash, 64 or 256.
        mirrored: Also look for mirrored copies; each row then needs the hash of its mirror image.

    Raises:
        TooManyPairsError: There are more than `dedup.MAX_PAIRS`.
    """
    has = rows["hash"].notna() & (rows["mirrored_hash"].notna() | (not mirrored))
    place = np.flatnonzero((has & rows["drop_reason"].isna()).to_numpy(np.bool_))
    h = hashing.from_bytes(rows["hash"].iloc[place].tolist(), bits=bits)
    other = hashing.from_bytes(rows["mirrored_hash"].iloc[place].tolist(), bits=bits) if mirrored else None
    i, j, _ = dedup.near_pairs(h, radius, mirrored=other)
    return place[i].astype(np.int64), place[j].astype(np.int64)


def check_leaks(rows: pd.DataFrame, record: Mapping[str, Any]) -> list[Check]:
    """Check that no source, subject, duplicate group, near-duplicate or copy has rows on two sides.

    Where the set was split by source, subjects may stand on two sides, and are not looked at.

    Args:
        rows: A manifest.
        record: The set's record, whose `split` says by what and within which radius it was split.
    """
    if not rows["split"].notna().any():
        return [Check("skipped", "The set is not split: there is no leak to look for.", topic="split")]
    by = (record.get("split") or {}).get("by", "subject")
    checks = [_check_crossing(crossing(rows, "source"))]
    if by == "source":
        checks.append(Check("skipped", "Split by source: subjects may stand on two sides.", topic="split"))
    else:
        checks.append(_check_crossing(crossing(rows, "subject")))
    return [*checks, _check_crossing(crossing(rows, "duplicate group")), *_check_pictures(rows, record)]


def _check_crossing(found: Crossing) -> Check:
    kind = found.kind
    if not found.total:
        return Check("skipped", f"No {kind} is named: leaks by {kind} were not looked for.", topic="split")
    if not found.leaks:
        return Check("ok", f"No {kind} stands on two sides (of {found.total:,}).", topic="split")
    return leak_check(kind, found.leaks)


def leak_check(kind: str, found: Sequence[object]) -> Check:
    """Make the failed check of things of one kind that stand on two sides."""
    one = len(found) == 1
    text = f"Leak: {len(found):,} {kind if one else f'{kind}s'} {'stands' if one else 'stand'} on two sides."
    return Check("failed", text, tuple(map(str, found)), "split")


def _check_pictures(rows: pd.DataFrame, record: Mapping[str, Any]) -> list[Check]:
    """Check kept rows by their hashes: near pairs on two sides, and near pairs of two labels."""
    radius, bits = _radius_and_bits(rows, record)
    if radius is None or bits is None:
        return [Check("skipped", "No radius is recorded: near-duplicates were not looked for.", topic="split")]
    config = (record.get("config") or {}).get("dedup") or {}
    try:
        i, j = near_pairs(rows, radius, bits, mirrored=bool(config.get("mirrored")))
    except dedup.TooManyPairsError as error:
        return [Check("warning", f"Near-duplicates were not looked for: {error}.", topic="split")]
    looked_at = int((rows["hash"].notna() & rows["drop_reason"].isna()).sum())
    side, ids = rows["split"].astype(object).to_numpy(object), rows["face_id"].to_numpy(object)
    across = np.array(
        [a != b and isinstance(a, str) and isinstance(b, str) for a, b in zip(side[i], side[j], strict=True)]
    )
    across = across.astype(np.bool_)
    measured = rows[_MEASURED].to_numpy(np.float64)
    same = (measured[i] == measured[j]).all(axis=1) & (rows["hash"].to_numpy()[i] == rows["hash"].to_numpy()[j])
    checks = []
    for kind, chosen in (("exact copy", across & same), ("near-duplicate pair", across & ~same)):
        pairs = [f"{ids[a]} in {side[a]}, {ids[b]} in {side[b]}" for a, b in zip(i[chosen], j[chosen], strict=True)]
        plural = "exact copies" if kind == "exact copy" else "near-duplicate pairs"
        if pairs:
            stand = f"Leak: {len(pairs):,} {kind if len(pairs) == 1 else plural} across sides"
            checks.append(Check("failed", f"{stand} ({radius} bits).", tuple(pairs), "split"))
        else:
            where = f"(of {looked_at:,} faces, within {radius} bits)"
            checks.append(Check("ok", f"There are no {plural} across sides {where}.", topic="split"))
    if not config.get("mirrored"):
        checks.append(Check("skipped", "Mirrored copies were not looked for: dedup.mirrored is off.", topic="split"))
    return [*checks, *_check_labels(rows, i, j)]


def _check_labels(rows: pd.DataFrame, i: _Ints, j: _Ints) -> list[Check]:
    """Warn of near-duplicates that have two labels."""
    label, ids = rows["label"].astype(object).to_numpy(object), rows["face_id"].to_numpy(object)
    both = np.array(
        [isinstance(a, str) and isinstance(b, str) and a != b for a, b in zip(label[i], label[j], strict=True)]
    )
    found = (
        [f"{ids[a]} is {label[a]}, {ids[b]} is {label[b]}" for a, b in zip(i[both], j[both], strict=True)]
        if len(i)
        else []
    )
    if not found:
        return []
    text = f"{len(found):,} near-duplicate pair{' has' if len(found) == 1 else 's have'} two labels."
    return [Check("warning", text, tuple(found), "dedup")]


def _radius_and_bits(rows: pd.DataFrame, record: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Read within which radius the set was split, and how many bits its hashes have."""
    split, duplicates = record.get("split") or {}, record.get("dedup") or {}
    radius = split.get("radius", duplicates.get("radius"))
    kinds = rows["hash_kind"].dropna().unique().tolist()
    bits = {"64": 64, "256": 256}
    found = next(
        (number for name, number in bits.items() if kinds and str(kinds[0]).partition("/")[0].endswith(name)), None
    )
    return (radius if isinstance(radius, int) else None), found if len(kinds) == 1 else None
