"""The report as one HTML page that needs no network, no script and no other file."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import jinja2

from curate import Crops, Tile, page_environment

from ..checkpoints import flatten
from .breakdown import LEAST_ROWS
from .drawings import charts, plane, reliability_diagram
from .report import Report

_MATRIX_MOST = 20
"""Classes whose confusion matrix can be read; of more, the commonest confusions are listed."""

_PAIRS = 30

NAMES = {
    "loss": "Loss",
    "f1_macro": "F1, mean over classes",
    "accuracy_micro": "Accuracy over faces",
    "accuracy_macro": "Recall, mean over classes",
    "precision_macro": "Precision, mean over classes",
    "f1_weighted": "F1, weighted by rows",
    "nll": "Negative log likelihood",
    "brier": "Brier score",
    "ece": "Expected calibration error",
    "ccc_mean": "CCC, mean of both",
    "ccc_valence": "CCC of valence",
    "ccc_arousal": "CCC of arousal",
    "rmse_mean": "RMSE, mean of both",
    "rmse_valence": "RMSE of valence",
    "rmse_arousal": "RMSE of arousal",
    "pearson_mean": "Pearson, mean of both",
    "pearson_valence": "Pearson of valence",
    "pearson_arousal": "Pearson of arousal",
    "sagr_mean": "Sign agreement, mean of both",
    "sagr_valence": "Sign agreement of valence",
    "sagr_arousal": "Sign agreement of arousal",
    "precision_units_mean": "Precision, mean over action units",
    "recall_units_mean": "Recall, mean over action units",
    "f1_units_mean": "F1, mean over action units",
    "f1_units_micro": "F1 over all action units' labels",
    "auc_units_mean": "AUC, mean over action units",
    "average_precision_units_mean": "Average precision, mean over action units",
}
"""What the summary shows, in this order, and how it is called."""

_SHORT = {
    "accuracy_micro": "Accuracy",
    "f1_macro": "F1 macro",
    "ccc_mean": "CCC",
    "rmse_mean": "RMSE",
    "f1_units_mean": "F1 of units",
}

_TASKS = {"classes": "Classes", "affect": "Valence and arousal", "units": "Action units"}


def render(report: Report) -> str:
    """Render the page; every value from outside is escaped by the templates."""
    record, splits = report.record, list(report.record["splits"].values())
    return _template().render(
        record=record,
        title="/".join(PurePath(record["checkpoint"]).parts[-3:]),
        splits=splits,
        checks=report.checks,
        names=NAMES,
        short=_SHORT,
        summary=_summary(splits),
        main=_main(splits),
        charts=charts(record["curves"]),
        matrices={split["split"]: _matrix(split) for split in splits},
        reliability={split["split"]: _reliability(split) for split in splits},
        planes={split["split"]: _planes(split) for split in splits},
        sheets={split["split"]: _sheets(split, report.crops) for split in splits},
        tables={by: {split["split"]: split[f"by_{by}"] for split in splits} for by in ("source", "subject")},
        least_rows=LEAST_ROWS,
        settings=sorted({**flatten(record["model"]), **flatten(record["settings"], "evaluate.")}.items()),
        unreadable=report.crops.unreadable,
    )


@functools.cache
def _template() -> jinja2.Template:
    """Compile the page's templates, once a process."""
    environment = page_environment(__package__)
    environment.filters["number"] = number
    return environment.get_template("evaluation.html.jinja")


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with three digits after the point; a dash where it is not defined."""
    return "\u2013" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def _summary(splits: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[tuple[float | None, list[float] | None]]]]:
    """Lay the numbers out: name, then value and interval of each split."""
    found = [name for name in NAMES if any(name in split for split in splits)]
    return [(name, [(split.get(name), split["intervals"]["numbers"].get(name)) for split in splits]) for name in found]


def _main(splits: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, float | None, list[float] | None]]:
    """Give the number that each task is judged by, split by split: split, name, value, interval."""
    return [
        (split["split"], name, split.get(name), split["intervals"]["numbers"].get(name))
        for split in splits
        for name in split["intervals"]["main"]
    ]


def _matrix(split: Mapping[str, Any]) -> dict[str, Any] | None:
    """Lay the confusion matrix out, counts and shares of the true class; of many classes, the commonest confusions."""
    counts = split["confusion"]
    if not any(map(sum, counts)):
        return None
    names = [score["name"] for score in split["classes"]]
    rows = [
        {"name": name, "rows": sum(row), "cells": [(count, count / sum(row) if sum(row) else 0.0) for count in row]}
        for name, row in zip(names, counts, strict=True)
    ]
    pairs = [
        (count, rows[i]["name"], names[j], count / rows[i]["rows"])
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if count and i != j
    ]
    pairs.sort(key=lambda pair: -pair[0])
    fits = len(names) <= _MATRIX_MOST
    return {"names": names, "rows": rows if fits else [], "pairs": pairs[:_PAIRS], "more": max(len(pairs) - _PAIRS, 0)}


def _reliability(split: Mapping[str, Any]) -> list[Any]:
    found = split["calibration"]
    if found is None:
        return []
    sides = [("Before", found["before"])]
    if found["after"]:
        sides.append((f"After, temperature {found['temperature']:.3f}", found["after"]))
    return [reliability_diagram(title, numbers) for title, numbers in sides]


def _planes(split: Mapping[str, Any]) -> list[Any]:
    scores = {score["name"]: score for score in split["affect"]}
    return [plane(name, counts, scores[name]) for name, counts in split["affect_counts"].items()]


def _sheets(split: Mapping[str, Any], crops: Crops) -> list[dict[str, Any]]:
    """Give the worst mistakes of each task as tiles."""
    return [
        {
            "title": _TASKS[mistakes["task"]],
            "wrong": mistakes["wrong"],
            "answers": mistakes["answers"],
            "tiles": [_tile(mistake, crops) for mistake in mistakes["worst"]],
        }
        for mistakes in split["mistakes"]
    ]


def _tile(mistake: Mapping[str, Any], crops: Crops) -> Tile:
    said = mistake["prediction"]
    if mistake["probability"] is not None:
        said += f" ({100 * mistake['probability']:.1f} %)"
    lines = [f"said: {said}", f"loss {mistake['loss']:.2f}"]
    if mistake["subject"] is not None:
        lines.append(f"subject {mistake['subject']}")
    alt = f"face {mistake['face_id']}: {mistake['truth']}, said {said}"
    return Tile(crops.thumbnail(mistake["crop"]), alt, mistake["source"], lines, mistake["truth"])
