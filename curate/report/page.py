"""The HTML report of a curated set: one page that needs no network, no script and no other file."""

import functools
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from align import write_atomic

from ..manifest import read_curation, read_manifest
from . import sheets, tallies
from .checks import Check, check_set
from .histograms import HEIGHT, WIDTH, histogram, is_number, measure_histograms
from .thumbnails import Crops

PAGE = Path("report") / "index.html"
_GROUPS_LISTED = 40  # sources, subjects
_LISTED = 100  # classes, failed inputs, keys of the configuration
_TEXT = 120  # characters of a name or value
_DASH = "\u2013"
_JOINERS = "\u200c\u200d"  # invisible, yet part of how words and emoji are written


def write_report(out: Path) -> Path:
    """Write `OUT/report/index.html` from the set's manifest, record and crops.

    Args:
        out: The folder of a curated set.

    Returns:
        The page's path. The same set gives the same bytes.

    Raises:
        UsageError: The folder holds no curated set.
        EyelineError: The manifest has a drop reason outside the closed set, or `curation.json` is not JSON.
    """
    record = read_curation(out)
    page = render(read_manifest(out), record, Crops(Path(out)))
    path = Path(out) / PAGE
    write_atomic(path, page.strip() + "\n")
    return path


def render(rows: pd.DataFrame, record: Mapping[str, Any], crops: Crops) -> str:
    """Render the page of a set; every value from outside is escaped by the template."""
    return _template().render(
        **_identity(record),
        **_counts(rows, record, crops),
        **_pictures(rows, record, crops),
        unreadable=crops.unreadable,
        **_figures(rows, record),
    )


@functools.cache
def _template() -> jinja2.Template:
    """Compile the page's template, once a process."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(plain=plain, count=count, percent=percent, value=value)
    return environment.from_string(files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8"))


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the set is and how it was made."""
    config = record.get("config") or {}
    settings = tallies.flatten(config)
    failed = [unit for unit in record.get("units") or [] if unit.get("error")]
    return {
        "title": record.get("title") or record.get("dataset") or "Curated set",
        "dataset": record.get("dataset") or "",
        "licence": config.get("licence"),
        "settings": settings[:_LISTED],
        "more_settings": max(len(settings) - _LISTED, 0),
        "versions": sorted((record.get("versions") or {}).items()),
        "models": sorted((record.get("models") or {}).items()),
        "timings": tallies.flatten(record.get("timings") or {}),
        "failed": failed[:_LISTED],
        "more_failed": max(len(failed) - _LISTED, 0),
        "units": len(record.get("units") or []),
    }


def _counts(rows: pd.DataFrame, record: Mapping[str, Any], crops: Crops) -> dict[str, Any]:
    """Gather every table and check."""
    sides = tallies.present_sides(rows)
    classes = tallies.class_rows(rows, record.get("labels") or [], sides)
    frames = tallies.frame_counts(record.get("frames"))
    decoded = tallies.decoded_by_source(record.get("units") or [])
    row_steps = tallies.row_steps(rows)
    split = record.get("split") or {}
    return {
        "checks": [*check_set(rows, record, classes), _check_crops(rows, crops)],
        "frame_steps": tallies.frame_steps(frames) if frames else [],
        "row_steps": row_steps,
        "rows": len(rows),
        "kept": row_steps[-1].count,
        "faceless": int(rows["crop"].isna().sum()),
        "sides": sides,
        "classes": classes[:_LISTED],
        "more_classes": max(len(classes) - _LISTED, 0),
        "class_count": sum(row.label is not None for row in classes),
        "most_kept": max((row.kept for row in classes), default=0),
        "most_shown": max((max(row.before_cap, row.shown or 0) for row in classes), default=0),
        "balance": record.get("balance") or {},
        "balanced": any(row.shown is not None for row in classes),
        "action_units": tallies.action_unit_rows(rows, sides),
        "sources": tallies.group_table(rows, "source", _GROUPS_LISTED, decoded),
        "subjects": tallies.group_table(rows, "subject", _GROUPS_LISTED),
        "split": split,
        "split_rows": tallies.side_rows(rows, split, sides),
    }


def _check_crops(rows: pd.DataFrame, crops: Crops) -> Check:
    """Check that every crop that the manifest names is a file, and every kept row names one."""
    named = rows["crop"].dropna().astype(str).tolist()
    missing = crops.missing(named)
    if missing:
        text = f"{len(missing):,} of {len(named):,} crop files are missing."
        return Check("failed", text, tuple(missing[:10]), max(len(missing) - 10, 0), "crops")
    bare = int((rows["crop"].isna() & rows["drop_reason"].isna()).sum())
    if bare:
        return Check("warning", f"{bare:,} kept faces have no crop.", topic="crops")
    return Check("ok", f"Each of {len(named):,} crops is a file.", topic="crops")


def _pictures(rows: pd.DataFrame, record: Mapping[str, Any], crops: Crops) -> dict[str, Any]:
    """Gather the contact sheets."""
    dedup = record.get("dedup") or {}
    kept, classes_left_out = sheets.kept_sheets(rows, record.get("labels") or [], crops)
    groups, group_count = sheets.group_sheets(rows, crops)
    return {
        "dedup": dedup,
        "kept_sheets": kept,
        "classes_left_out": classes_left_out,
        "dropped_sheets": sheets.dropped_sheets(rows, crops),
        "group_sheets": groups,
        "group_count": group_count,
        "conflicts": sheets.conflict_sheet(rows, dedup.get("conflicts") or [], crops, dedup.get("conflict_count")),
    }


def _figures(rows: pd.DataFrame, record: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the histograms; that of the duplicates' distances shows whether the radius fits."""
    figures = measure_histograms(rows, (record.get("config") or {}).get("gates") or {})
    duplicates = rows[rows["duplicate_of"].notna()]
    if len(duplicates):
        bits = sheets.duplicate_bits(rows, duplicates)
        radius = (record.get("dedup") or {}).get("radius")
        limits = [(radius, "radius")] if is_number(radius) else []
        drawn = histogram("Duplicates: bits from their representative", bits, None, limits)
        figures.extend([drawn] if drawn else [])
    return {"figures": figures, "drawing": (WIDTH, HEIGHT)}


def plain(text: Any, most: int = _TEXT) -> str:
    """Show text on one line: what does not print as an escape, and a long middle as an ellipsis."""
    whole = str(text)
    if len(whole) > most:
        whole = f"{whole[: most // 2]}…{whole[-(most // 2) :]}"
    return "".join(c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in whole)


def count(number: Any) -> str:
    """Write a whole number with thousands separated; a dash for None."""
    return _DASH if number is None else f"{int(number):,}"


def percent(share: Any) -> str:
    """Write a share in percent, without turning little into nothing."""
    if share is None:
        return _DASH
    if 0 < share < 0.001:  # one decimal would show 0.0 %
        return "<0.1 %"
    return f"{share:.1%}".replace("%", " %")


def value(item: Any) -> str:
    """Write a value of the configuration the way JSON does."""
    if isinstance(item, Sequence) and not isinstance(item, str):
        return ", ".join(map(value, item))
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)
