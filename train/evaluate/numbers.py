"""The numbers of one split: put together, laid out as a table, and written as JSON, csv and a picture."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from align import replacing, write_atomic

from ..figures import confusion_figure, save_figure
from ..metrics import Outcome, confusion, per_class, per_unit, summary
from ..tasks import AFFECT, Tasks

_SHOWN = (
    *("accuracy_micro", "accuracy_macro", "f1_macro", "ece"),
    *(f"{number}_{of}" for number in ("ccc", "rmse", "pearson", "sagr") for of in AFFECT),
    *("precision_units_mean", "recall_units_mean", "f1_units_mean", "auc_units_mean"),
)
"""The numbers below the tables, in this order, of the tasks that the model has."""


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a csv; None is an empty cell, floats keep six digits after the point."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return out.getvalue()


def evaluation(outcome: Outcome, tasks: Tasks, split: str, loss: float) -> dict[str, Any]:
    """Put the numbers of one split together.

    Args:
        outcome: Outputs and targets of the split's rows.
        tasks: What the model tells.
        split: `val` or `test`.
        loss: The loss over the whole split.

    Returns:
        Plain values: the summary metrics, `classes`, `absent_classes` (without rows, in no macro average), `confusion`
        (counts [true, predicted]) and `units`.
    """
    scores = per_class(outcome, tasks)
    return {
        "split": split,
        "rows": len(outcome.rows),
        "loss": loss,
        **summary(outcome, tasks),
        "classes": [asdict(score) for score in scores],
        "absent_classes": [score.name for score in scores if not score.rows],
        "confusion": confusion(outcome, tasks).tolist() if tasks.classes else [],
        "units": [asdict(score) for score in per_unit(outcome, tasks)],
    }


def write_evaluation(result: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write an evaluation into `folder`.

    `metrics.json` holds all; classes add `per_class.csv`, `confusion.csv` and `confusion.png`, and action units
    `per_unit.csv`.

    Returns:
        The path of each file, by its name.
    """
    texts = {}
    if scores := result["classes"]:
        names = [score["name"] for score in scores]
        matrix = [(name, *row) for name, row in zip(names, result["confusion"], strict=True)]
        texts["per_class.csv"] = csv_text(tuple(scores[0]), [tuple(score.values()) for score in scores])
        texts["confusion.csv"] = csv_text(("true \\ predicted", *names), matrix)
        with replacing(folder / "confusion.png") as temporary:
            save_figure(figure(result), temporary)
    if units := result["units"]:
        texts["per_unit.csv"] = csv_text(tuple(units[0]), [tuple(score.values()) for score in units])
    for name, text in texts.items():
        write_atomic(folder / name, text)
    names = ["metrics.json", *texts, *(["confusion.png"] if scores else [])]
    files = {name: str(folder / name) for name in names}
    write_atomic(folder / "metrics.json", json.dumps({**result, "files": files}, indent=2) + "\n")
    return files


def figure(result: dict[str, Any]) -> Any:
    """Draw the confusion matrix of an evaluation that has classes."""
    import numpy as np

    names = [score["name"] for score in result["classes"]]
    title = f"{result['split']}: {result['rows']} crops, macro F1 {result['f1_macro']:.3f}"
    return confusion_figure(np.array(result["confusion"], dtype=np.int64), names, title)


def table(result: dict[str, Any]) -> str:
    """Lay the numbers of an evaluation out as tables of plain text."""
    lines = _scores(result["classes"], ("rows", "precision", "recall", "f1"))
    lines += _scores(result["units"], ("rows", "prevalence", "precision", "recall", "f1", "auc"))
    shown = [name for name in _SHOWN if name in result]
    lines.append("  ".join(f"{name} {result[name]:.3f}" for name in shown))
    return "\n".join(lines)


def _scores(scores: list[dict[str, Any]], columns: Sequence[str]) -> list[str]:
    """Lay one row a class or action unit out."""
    if not scores:
        return []
    width = max(len("class"), *(len(score["name"]) for score in scores))
    widths = [max(len(name), 6) for name in columns]
    lines = [f"{'':<{width}}  " + "  ".join(f"{name:>{w}}" for name, w in zip(columns, widths, strict=True))]
    for score in scores:
        cells = [f"{_cell(score[name]):>{w}}" for name, w in zip(columns, widths, strict=True)]
        lines.append(f"{score['name']:<{width}}  {'  '.join(cells)}")
    return lines


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
