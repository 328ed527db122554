"""The table of a sweep, as csv, Markdown and JSON, its means over seeds, and a plot."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from align import replacing, write_atomic

from ..figures import save_figure
from .plan import Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = dict[str, Any]
Table = tuple[list[str], list[list[Any]]]

SPLITS = ("train", "val", "test")
NUMBERS = {
    "accuracy_micro": "accuracy",
    "precision_macro": "precision",
    "accuracy_macro": "recall",  # the mean of the classes' recalls
    "f1_macro": "F1",
    "ccc_valence": "CCC valence",
    "ccc_arousal": "CCC arousal",
    "f1_units_mean": "F1 units",
}
COLUMNS = ("epochs", "s/epoch", "parameters")
_COSTS = ("epochs", "seconds_per_epoch", "parameters")
_SPEED = {"inference_images_per_s": "img/s", "latency_ms": "ms"}
_SPREAD = " sd"
_AXES_INCHES, _LETTER_INCHES = 5.5, 0.055
_MAIN = ("f1_macro", "ccc_mean", "f1_units_mean")


def short_keys(keys: Sequence[str]) -> list[str]:
    """Name each dotted key by its last parts, as many as tell it from the others; `name` alone tells nothing."""
    names = []
    for key in keys:
        parts = key.split(".")
        lengths = range(1 + (parts[-1] == "name"), len(parts) + 1)
        tails = (".".join(parts[-n:]) for n in lengths)
        names.append(next((t for t in tails if sum(("." + k).endswith("." + t) for k in keys) == 1), key))
    return names


def _scored(plan: Plan, results: Sequence[Result]) -> list[tuple[str, str]]:
    """List the splits and further sets, and the numbers, that some run has."""
    parts = (*SPLITS, *plan.also)
    return [(part, n) for part in parts for n in NUMBERS if any(n in _numbers(r, part) for r in results)]


def _numbers(result: Result, part: str) -> Result:
    """Give the numbers of a run on a split, or on a further set; empty where it has none."""
    found: Result = (result if part in SPLITS else result.get("also", {})).get(part, {})
    return found


def as_table(plan: Plan, results: Sequence[Result]) -> Table:
    """Lay the runs out, one a row: the grid's keys, the seed, costs, scores, and the error where there is one."""
    scored, devices = _scored(plan, results), _devices(results)
    measured = [f"{device} {said}" for device in devices for said in _SPEED.values()]
    costs = ["train s", "statistics", *measured] if plan.costs else []
    header = [*short_keys(plan.keys), "seed", *COLUMNS, *costs, *(f"{s} {NUMBERS[n]}" for s, n in scored), "error"]
    rows = [
        [
            *(result["values"][key] for key in plan.keys),
            result["seed"],
            *(result.get(name) for name in _COSTS[:-1]),
            result.get(_COSTS[-1], _of_any_device(result, _COSTS[-1])),
            *(_cost_cells(result, devices) if plan.costs else ()),
            *(_numbers(result, part).get(n) for part, n in scored),
            result.get("error"),
        ]
        for result in results
    ]
    return header, rows


def _devices(results: Sequence[Result]) -> list[str]:
    """List the devices that costs were measured on, in the order in which they were."""
    return list(dict.fromkeys(device for result in results for device in result.get("costs", {})))


def _of_any_device(result: Result, name: str) -> Any:
    """Give what does not depend on the device; None where no measurement came to an end."""
    return next((figures[name] for figures in result.get("costs", {}).values() if name in figures), None)


def _cost_cells(result: Result, devices: Sequence[str]) -> list[Any]:
    speeds = [result.get("costs", {}).get(device, {}).get(name) for device in devices for name in _SPEED]
    return [result.get("training_seconds"), _of_any_device(result, "statistics"), *speeds]


def over_seeds(plan: Plan, results: Sequence[Result]) -> Table:
    """Lay the combinations out, one a row: mean and standard deviation (n - 1) of each number over the seeds."""
    scored = _scored(plan, results)
    spread = [f"{s} {NUMBERS[n]}{suffix}" for s, n in scored for suffix in ("", _SPREAD)]
    header = [*short_keys(plan.keys), "runs", "s/epoch", "parameters", *spread]
    rows = []
    for values, group in _combinations(results):
        done = [result for result in group if "error" not in result]
        row: list[Any] = [*(values[key] for key in plan.keys), len(done)]
        row += [_mean([result.get(name) for result in done]) for name in _COSTS[1:]]
        for split, number in scored:
            found = [_numbers(result, split).get(number) for result in done]
            row += [_mean(found), _deviation(found)]
        rows.append(row)
    return header, rows


def with_spread(table: Table) -> Table:
    """Put each mean and the standard deviation beside it into one text, `0.512 ± 0.013`, to be read."""
    header, rows = table
    kept = [i for i, name in enumerate(header) if not name.endswith(_SPREAD)]

    def cell(row: list[Any], i: int) -> Any:
        spread = row[i + 1] if i + 1 < len(header) and header[i + 1] == header[i] + _SPREAD else None
        return row[i] if spread is None else f"{row[i]:.3f} ± {spread:.3f}"

    return [header[i] for i in kept], [[cell(row, i) for i in kept] for row in rows]


def _combinations(results: Sequence[Result]) -> list[tuple[dict[str, Any], list[Result]]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(json.dumps(result["values"], sort_keys=True), []).append(result)
    return [(group[0]["values"], group) for group in groups.values()]


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    if not found:
        return None
    return found[0] if len(set(found)) == 1 else mean(found)


def _deviation(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return stdev(found) if len(found) > 1 else None


def write_report(plan: Plan, results: Sequence[Result], out: Path) -> list[str]:
    """Write `sweep.csv`, `sweep.md`, `sweep.json`, `seeds.csv` and, where a run has a score, `sweep.png`.

    Args:
        plan: The runs.
        results: From `sweep`.
        out: The folder.

    Returns:
        The paths.
    """
    every, means = as_table(plan, results), over_seeds(plan, results)
    texts = {
        "sweep.csv": _csv(every),
        "seeds.csv": _csv(means),
        "sweep.md": f"{_markdown(every)}\n{_markdown(with_spread(means))}",
        "sweep.json": json.dumps({"runs": list(results)}, indent=2) + "\n",
    }
    for name, text in texts.items():
        write_atomic(out / name, text)
    names = [*texts]
    if figure := plot(plan, results):
        names.append("sweep.png")
        with replacing(out / names[-1]) as temporary:
            save_figure(figure, temporary)
    return [str(out / name) for name in names]


def _csv(table: Table) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table[0], *table[1]])
    return text.getvalue()


def _markdown(table: Table) -> str:
    header, rows = table
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", r"\|")


def main_number(results: Sequence[Result]) -> tuple[str, str] | None:
    """Choose what the plot shows: the main number of the last split that was scored."""
    for split in reversed(SPLITS):
        for number in _MAIN:
            if any(number in result.get(split, {}) for result in results):
                return split, number
    return None


def plot(plan: Plan, results: Sequence[Result]) -> "Figure | None":
    """Draw the main number of each combination, a point a seed and a bar at their mean, the best at the top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = main_number(results)
    if chosen is None:
        return None
    split, number = chosen
    names = short_keys(plan.keys)
    points = []
    for values, group in _combinations(results):
        found = [result[split][number] for result in group if number in result.get(split, {})]
        if found:
            said = ", ".join(f"{name} {values[key]}" for name, key in zip(names, plan.keys, strict=True))
            points.append((mean(found), said or "base", found))
    points.sort(key=lambda point: point[0])
    longest = max(len(said) for _, said, _ in points)
    figure = Figure(figsize=(_AXES_INCHES + _LETTER_INCHES * longest, 1.2 + 0.3 * len(points)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for y, (average, _, found) in enumerate(points):
        axes.plot(found, [y] * len(found), "o", color="tab:blue", alpha=0.6)
        axes.plot(average, y, "|", color="black", markersize=14)
    axes.set_yticks(range(len(points)), [said for _, said, _ in points], fontsize=7, parse_math=False)
    axes.set_xlabel(f"{split} {number}")
    axes.locator_params(axis="x", nbins=6)
    axes.margins(x=0.05 if len({average for average, _, _ in points}) > 1 else 0.5)
    axes.grid(axis="x", alpha=0.3)
    return figure
