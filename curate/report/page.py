"""The HTML report of a curated set: one page that needs no network, no script and no other file."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from align import write_atomic

from ..manifest import read_curation, read_manifest
from . import duplicates, groups, labels, people, sheets, tallies, text
from .checks import check_crops, check_set
from .environment import page_environment
from .hashes import duplicate_bits
from .histograms import AFFECT, HEIGHT, WIDTH, Histogram, histogram, is_number, measure_histograms
from .ridges import class_ridges
from .thumbnails import Crops
from .timings import timing

PAGE = Path("report") / "index.html"
_GROUPS_LISTED = 40  # sources
_PEOPLE_LISTED = 30  # found, and named by the sources
_LISTED = 100  # classes, failed inputs
_SETTINGS = 1000  # keys of the configuration


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
    """Render the page of a set; every value from outside is escaped by the templates."""
    return _template().render(
        **_identity(record),
        **_counts(rows, record, crops),
        **_split(rows, record),
        **_people(rows, crops),
        **_pictures(rows, record, crops),
        **_figures(rows, record),
        unreadable=crops.unreadable,
    )


@functools.cache
def _template() -> jinja2.Template:
    """Compile the page's templates, once a process."""
    return page_environment(__package__).get_template("page.html.jinja")


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the set is and how it was made."""
    config = record.get("config") or {}
    settings = text.flatten(config)
    failed = [unit for unit in record.get("units") or [] if unit.get("error")]
    return {
        "title": record.get("title") or record.get("dataset") or "Curated set",
        "dataset": record.get("dataset") or "",
        "licence": config.get("licence"),
        "homepage": config.get("homepage"),
        "settings": settings[:_SETTINGS],
        "more_settings": max(len(settings) - _SETTINGS, 0),
        "versions": sorted((record.get("versions") or {}).items()),
        "models": sorted((record.get("models") or {}).items()),
        "timing": timing(record),
        "failed": failed[:_LISTED],
        "more_failed": max(len(failed) - _LISTED, 0),
    }


def _counts(rows: pd.DataFrame, record: Mapping[str, Any], crops: Crops) -> dict[str, Any]:
    """Gather the funnel, the checks, classes and action units, and the sources."""
    sides = tallies.present_sides(rows)
    classes = tallies.class_rows(rows, record.get("labels") or [], sides)
    frames = tallies.frame_counts(record.get("frames"))
    row_steps = tallies.row_steps(rows)
    listed = classes[:_LISTED] if any(row.label is not None for row in classes) else []
    return {
        "checks": [*check_set(rows, record, classes), check_crops(rows, crops)],
        "frame_steps": tallies.frame_steps(frames) if frames else [],
        "row_steps": row_steps,
        "rows": len(rows),
        "kept": row_steps[-1].count,
        "faceless": int(rows["crop"].isna().sum()),
        "sides": sides,
        "classes": listed,
        "more_classes": max(len(classes) - _LISTED, 0),
        "class_count": sum(row.label is not None for row in classes),
        "most_kept": max((row.kept for row in classes), default=0),
        "most_shown": max((max(row.before_cap, row.shown or 0) for row in classes), default=0),
        "balance": record.get("balance") or {},
        "balanced": any(row.shown is not None for row in classes),
        "action_units": labels.action_unit_rows(rows, sides),
        "affect": measure_histograms(rows, {}, AFFECT),
        "plane": labels.affect_plane(rows),
        "sources": groups.source_table(rows, _GROUPS_LISTED, record),
    }


def _split(rows: pd.DataFrame, record: Mapping[str, Any]) -> dict[str, Any]:
    """Gather how the set is split, and what was published or folded."""
    split = record.get("split") or {}
    sides = tallies.present_sides(rows)
    names = [label for label in tallies.class_order(rows, record.get("labels") or []) if label is not None]
    folds, fold_classes = groups.fold_rows(rows, split, names)
    return {
        "split": split,
        "split_rows": groups.side_rows(rows, split, sides),
        "published": groups.published_rows(rows),
        "folds": folds,
        "fold_classes": fold_classes,
    }


def _people(rows: pd.DataFrame, crops: Crops) -> dict[str, Any]:
    """Gather who is shown, and the tracks."""
    found, given = people.people_tables(rows, _PEOPLE_LISTED)
    found_sheets, given_sheets = people.people_sheets(rows, crops)
    unnamed = int((rows["drop_reason"].isna() & rows["subject"].isna()).sum())
    return {
        "found": found,
        "given": given,
        "found_sheets": found_sheets,
        "given_sheets": given_sheets,
        "unnamed": unnamed,
        "tracks": people.tracks_of(rows, crops),
    }


def _pictures(rows: pd.DataFrame, record: Mapping[str, Any], crops: Crops) -> dict[str, Any]:
    """Gather the contact sheets."""
    dedup = record.get("dedup") or {}
    mirrored = bool(dedup.get("mirrored"))
    kept, classes_left_out = sheets.kept_sheets(rows, record.get("labels") or [], crops)
    pairs = (duplicates.duplicate_sheet, duplicates.leak_sheet)
    paired = [sheet for make in pairs if (sheet := make(rows, crops, mirrored=mirrored))]
    group_sheets, group_count = duplicates.group_sheets(rows, dedup, crops)
    return {
        "dedup": dedup,
        "identify": record.get("identify") or {},
        "kept_sheets": kept,
        "classes_left_out": classes_left_out,
        "dropped_sheets": [*sheets.dropped_sheets(rows, crops), *paired],
        "group_sheets": group_sheets,
        "group_count": group_count,
        "conflicts": duplicates.conflict_sheet(rows, dedup, crops),
    }


def _figures(rows: pd.DataFrame, record: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the histograms: of the faces, by class, and of what dedup and identify measured."""
    classes = tallies.class_order(rows, record.get("labels") or [])
    by_class, classes_not_drawn = class_ridges(rows, classes)
    sure = rows["subject_confidence"].to_numpy(np.float64, na_value=np.nan)
    return {
        "figures": measure_histograms(rows, (record.get("config") or {}).get("gates") or {}),
        "by_class": by_class,
        "classes_not_drawn": classes_not_drawn,
        "group_figures": _group_figures(rows, record.get("dedup") or {}),
        "sure_figures": _some(histogram("Confidence of the person's name", sure)),
        "drawing": (WIDTH, HEIGHT),
    }


def _group_figures(rows: pd.DataFrame, dedup: Mapping[str, Any]) -> list[Histogram]:
    """Draw how far duplicates are from their representatives, and how wide groups are: whether the radius fits."""
    part = rows[rows["duplicate_of"].notna()]
    radius = dedup.get("radius")
    limits = [(float(radius), "radius")] if is_number(radius) else []
    bits = duplicate_bits(rows, part, mirrored=bool(dedup.get("mirrored")))
    widths = [float(width) for width, count in dedup.get("diameters") or [] for _ in range(int(count))]
    return [
        *_some(histogram("Duplicates: bits from their representative", bits, limits=limits, of="duplicate")),
        *_some(histogram("Groups: bits between the two farthest members", np.array(widths), limits=limits, of="group")),
    ]


def _some(figure: Histogram | None) -> list[Histogram]:
    return [figure] if figure else []
