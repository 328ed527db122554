"""Everything that is known of a checkpoint on a set, in plain values, and the two files that hold it."""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from align import write_atomic
from curate import Check, Crops

from ..metrics import affect_scores, per_unit, tune_thresholds
from ..tasks import AFFECT, Tasks
from .bootstrap import intervals, units_of
from .breakdown import breakdown
from .calibration import Temperature, calibration, temperature_of
from .curves import read_curves
from .leaks import find_leaks
from .mistakes import MOST, worst_mistakes
from .numbers import evaluation
from .planes import affect_counts
from .run import Evaluated, Part
from .tallies import Tally, tallies

HTML, JSON = "report.html", "report.json"
_PACKAGES = ("eyeline", "torch", "pytorch-lightning", "torchmetrics", "timm", "numpy", "scipy")


@dataclass(frozen=True)
class Report:
    """A report, not yet written.

    Attributes:
        record: All of it in plain values, as `report.json` holds it.
        checks: The leaks that were looked for.
        crops: The set's pictures.
    """

    record: dict[str, Any]
    checks: list[Check]
    crops: Crops


def make_report(evaluated: Evaluated, run_folder: Path | None, seed: int = 0) -> Report:
    """Put all numbers together; what is fitted, temperature and thresholds, is fitted on validation alone.

    Args:
        evaluated: A checkpoint and what it said.
        run_folder: Of the run that the checkpoint is from, for its logs; None where it lies in none.
        seed: Of the resamples.
    """
    asked, tasks, parts = evaluated.asked, evaluated.tasks, evaluated.parts
    temperature = temperature_of(parts, tasks)
    tuned = next((tune_thresholds(part.outcome, tasks) for part in parts if part.split == "val"), None)
    checks = find_leaks(asked.root, asked.splits, run_folder)
    most = MOST // (len(parts) * len(tasks.kinds))
    splits = {}
    for part in parts:
        splits[part.split] = {
            **evaluation(part.outcome, tasks, part.split, part.loss),
            **_of_tasks(part, tasks, temperature, tuned),
            **_of_people(part, tasks, seed),
            "mistakes": [asdict(m) for m in worst_mistakes(part.rows, part.outcome, tasks, asked.root, most)],
        }
    record = {
        "checkpoint": str(evaluated.checkpoint.path),
        "global_step": evaluated.checkpoint.global_step,
        "root": str(asked.root),
        "tasks": asdict(tasks),
        "leaks": [{"level": check.level, "text": check.text, "details": list(check.details)} for check in checks],
        "temperature": asdict(temperature),
        "thresholds": tuned if tasks.units else None,
        "curves": asdict(read_curves(run_folder, evaluated.checkpoint.global_step)),
        "splits": splits,
        "model": evaluated.checkpoint.hyperparameters,
        "settings": {
            "tta": asked.tta,
            "batch_size": asked.batch_size,
            "accelerator": asked.accelerator,
            "devices": asked.devices,
            "seed": seed,
        },
        "versions": package_versions(),
    }
    return Report(record, checks, Crops(asked.root))


def package_versions() -> dict[str, str]:
    """List the versions of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _of_tasks(part: Part, tasks: Tasks, temperature: Temperature, tuned: dict[str, float] | None) -> dict[str, Any]:
    """Compute what goes beyond the numbers of every test."""
    found: dict[str, Any] = {
        "calibration": calibration(part, tasks, temperature),
        "affect": [asdict(score) for score in affect_scores(part.outcome, tasks)],
        "affect_counts": {},
        "units_tuned": [],
    }
    if tasks.affect:
        outputs, targets = tasks.split(part.outcome.outputs).affect, tasks.split(part.outcome.targets).affect
        found["affect_counts"] = {
            name: counts.tolist()
            for column, name in enumerate(AFFECT)
            if (counts := affect_counts(targets[:, column].numpy(), outputs[:, column].numpy())) is not None
        }
    if tasks.units and tuned is not None:
        found["units_tuned"] = [asdict(score) for score in per_unit(part.outcome, tasks, tuned)]
    return found


def _of_people(part: Part, tasks: Tasks, seed: int) -> dict[str, Any]:
    """Compute what depends on who is shown: intervals, and the numbers of each source and person."""
    lines: list[Tally] = tallies(part.outcome, tasks)
    units = units_of(part.rows)
    found = intervals(lines, units, seed)
    by = {name: breakdown(part.rows, lines, name) for name in ("source", "subject")}
    return {
        "intervals": {
            **units.record(),
            "main": [tally.main for tally in lines],
            "numbers": {name: list(ends) for name, ends in found.items()},
        },
        **{f"by_{name}": None if table is None else asdict(table) for name, table in by.items()},
    }


def write_report(report: Report, render: Callable[[Report], str], folder: Path) -> dict[str, str]:
    """Write `report.html` and `report.json` into `folder`, each whole or not at all.

    Returns:
        The path of each file, by its name.
    """
    page = render(report)
    write_atomic(folder / JSON, json.dumps(report.record, indent=2, sort_keys=True, allow_nan=False) + "\n")
    write_atomic(folder / HTML, page.strip() + "\n")
    return {name: str(folder / name) for name in (HTML, JSON)}
