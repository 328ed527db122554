"""Where the time of a set went, from its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .text import many, seconds

_STAGES: Mapping[str, str] = {
    "ingest_s": "from videos and pictures to aligned crops",
    "dedup_s": "near-identical crops",
    "identify_s": "who is shown",
    "split_s": "train, val, test",
    "balance_s": "how often each face is shown",
}
_INGEST: Mapping[str, str] = {
    "decode": "reading frames",
    "compare": "telling whether anything about the face changed",
    "find": "finding faces and eyes",
    "write": "cropping and writing",
    "hash": "perceptual hashes",
    "other": "",
}


@dataclass(frozen=True)
class Bar:
    """One stage: how long it took, and its share of the figure's longest bar."""

    name: str
    note: str
    spent: str
    share: float


@dataclass(frozen=True)
class Timing:
    """The stages by the clock, the parts of ingest summed over its workers, and what that comes to in words."""

    stages: list[Bar]
    ingest: list[Bar]
    summary: str


def timing(record: Mapping[str, Any]) -> Timing:
    """Gather the seconds that a set's record holds; the report's own are not known while it is written."""
    spent = {key: float(s) for key, s in (record.get("timings") or {}).items() if _is_number(s)}
    spent = {key: s for key, s in spent.items() if key.endswith("_s") and key != "report_s"}
    within = (record.get("timings") or {}).get("ingest_stages_s") or {}
    inside = {str(key): float(s) for key, s in within.items() if _is_number(s)}
    stages = [(key.removesuffix("_s"), _STAGES.get(key, ""), spent[key]) for key in _order(spent, _STAGES)]
    parts = [(key, _INGEST.get(key, ""), inside[key]) for key in _order(inside, _INGEST)]
    return Timing(_bars(stages), _bars(parts), _summary(spent, record))


def _is_number(item: object) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)


def _order(found: Mapping[str, float], known: Mapping[str, str]) -> list[str]:
    return [key for key in known if key in found] + sorted(set(found) - set(known))


def _bars(items: list[tuple[str, str, float]]) -> list[Bar]:
    longest = max((spent for *_, spent in items), default=0.0) or 1.0
    return [Bar(name, note, seconds(spent), spent / longest) for name, note, spent in items]


def _summary(spent: Mapping[str, float], record: Mapping[str, Any]) -> str:
    """Say how long it took, and how fast ingest was; of frames that an earlier run decoded no speed is known."""
    if not spent:
        return ""
    text = f"{seconds(sum(spent.values()))} in all by the clock"
    ingest = spent.get("ingest_s")
    now = (record.get("timings") or {}).get("ingest_frames")
    decoded = int((record.get("frames") or {}).get("decoded", 0))
    if not ingest or not isinstance(now, int):
        return f"{text}."
    if now:
        text += f"; ingest took in {many(now, 'frame')}, {now / ingest:,.0f} a second"
    else:
        text += "; ingest had nothing new to decode"
    return text + (f". Earlier runs had decoded the other {many(decoded - now, 'frame')}." if decoded > now else ".")
