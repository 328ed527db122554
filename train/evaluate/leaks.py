"""What stands on two sides: of the set that is evaluated, and of this set and the one that the model was trained on."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from align import EyelineError
from curate import Check, check_leaks, crossing, leak_check, read_curation, read_manifest

_TOPIC = "split"
_ORDER = ("failed", "warning", "ok", "skipped")
_LOOKED_AT = "these rows"
"""The side of all rows that are evaluated where some are their own set's training rows."""


def find_leaks(root: Path, splits: tuple[str, ...], run_folder: Path | None) -> list[Check]:
    """Look for people, sources and near-duplicates on two sides, of a set and of it and the training set.

    Args:
        root: The set that is evaluated.
        splits: Its splits that are; `all` is every kept row.
        run_folder: Of the run, whose logs say which set the model was trained on; None where there is none.

    Returns:
        Every check, those that failed first.
    """
    return worst_first([*leaks_within(root), *leaks_from_training(root, splits, run_folder)])


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """Sort checks: those that failed first, those that were not made last."""
    return sorted(checks, key=lambda check: _ORDER.index(check.level))


def leaks_within(root: Path) -> list[Check]:
    """Look for people, sources and near-duplicates on two sides of a set."""
    rows, record = read_manifest(root), read_curation(root)
    checks = [check for check in check_leaks(rows, record) if check.topic == _TOPIC]
    if (record.get("split") or {}).get("by") == "source" and (found := crossing(rows, "subject")).leaks:
        checks.append(leak_check("subject", found.leaks))
    return checks


def leaks_from_training(root: Path, splits: tuple[str, ...], run_folder: Path | None) -> list[Check]:
    """Hold the evaluated faces against those that a model was trained on; see `find_leaks`."""
    trained = _training_root(run_folder)
    if trained is None:
        return [
            Check(
                "skipped",
                "No configuration that can be read beside the checkpoint says on which set it was trained.",
                topic=_TOPIC,
            )
        ]
    rows, record = read_manifest(root), read_curation(root)
    rows = rows[rows["drop_reason"].isna()] if "all" in splits else rows[rows["split"].isin(splits)]
    if trained.resolve() == root.resolve():
        seen = int((rows["split"] == "train").sum())
        text = f"Leak: {seen:,} of these rows {'is' if seen == 1 else 'are'} of the part that the model was trained on."
        return [Check("failed", text, topic=_TOPIC)] if seen else []
    said = f"Against the training set {trained}"
    try:
        others = read_manifest(trained)
    except EyelineError as error:
        return [Check("warning", f"{said}: leaks were not looked for ({error}).", topic=_TOPIC)]
    if {"train", "all"} & set(splits):
        rows = rows.assign(split=_LOOKED_AT)
    both = pd.concat([others[others["split"] == "train"], rows], ignore_index=True)
    checks = [check for check in check_leaks(both, {**record, "split": _by_subject(record)}) if check.topic == _TOPIC]
    return [replace(check, text=f"{said}: {check.text}") for check in map(_doubted, checks)]


def _by_subject(record: Any) -> dict[str, Any]:
    return {**(record.get("split") or {}), "by": "subject"}


def _doubted(check: Check) -> Check:
    """Only warn of people: what two sets call person-1 need not be one."""
    if check.level == "failed" and " subject" in check.text:
        return replace(check, level="warning", text=f"{check.text} Names of two sets need not mean one person.")
    return check


def _training_root(run_folder: Path | None) -> Path | None:
    """Read on which set a run was trained from the configuration that it wrote."""
    path = run_folder / "fit" / "config.yaml" if run_folder else None
    if path is None or not path.is_file():
        return None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError):
        return None
    data = config.get("data") if isinstance(config, dict) else None
    root = data.get("root") if isinstance(data, dict) else None
    return Path(root) if isinstance(root, str) else None
