"""The table, csv, JSON and plot of a benchmark."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align import replacing, write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Figures = dict[str, Any]

COLUMNS = (
    *("backbone", "px", "device", "precision", "parameters", "statistics", "GMAC", "file MB"),
    *("train img/s", "infer img/s", "latency ms", "p95 ms", "train MB", "infer MB"),
)
_MEGA, _GIGA = 1e6, 1e9


def as_rows(measured: Sequence[Figures]) -> list[tuple[Any, ...]]:
    """Lay figures out as rows of `COLUMNS`; parameters are those of backbone and head."""
    return [
        (
            *(f["backbone"], f["size_px"], f["device"], f["precision"], f["parameters"], f["statistics"]),
            *(f["multiply_adds"] / _GIGA, f["weights_bytes"] / _MEGA),
            *(f["training_images_per_s"], f["inference_images_per_s"], f["latency_ms"], f["latency_p95_ms"]),
            *(f["training_memory"] / _MEGA, f["inference_memory"] / _MEGA),
        )
        for f in measured
    ]


def pareto(measured: Sequence[Figures]) -> list[int]:
    """Find the cases that no other beats in both parameters and inference speed, by rising parameters."""
    order = sorted(range(len(measured)), key=lambda i: (measured[i]["parameters"], -_speed(measured[i]), i))
    best, front = 0.0, []
    for i in order:
        if _speed(measured[i]) > best:
            best = _speed(measured[i])
            front.append(i)
    return front


def _speed(figures: Figures) -> float:
    return float(figures["inference_images_per_s"])


def write_report(result: dict[str, Any], out: Path) -> list[str]:
    """Write `benchmark.json`, `benchmark.csv` (every figure) and, where anything was measured, `benchmark.png`.

    Args:
        result: From `benchmark`.
        out: The folder.

    Returns:
        The paths.
    """
    measured = result["cases"]
    files = [out / "benchmark.json", out / "benchmark.csv"]
    write_atomic(files[0], json.dumps(result, indent=2) + "\n")
    write_atomic(files[1], _csv(measured))
    if measured:
        files.append(out / "benchmark.png")
        with replacing(files[-1]) as temporary:
            plot(measured).savefig(temporary, dpi=140)
    return [str(file) for file in files]


def _csv(measured: Sequence[Figures]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(measured[0]) if measured else []
    writer.writerow(names)
    writer.writerows([figures[name] for name in names] for figures in measured)
    return text.getvalue()


def plot(measured: Sequence[Figures]) -> "Figure":
    """Draw speed against parameters, one panel for each device and precision; the line joins what nothing beats."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels: dict[str, list[Figures]] = {}
    for figures in measured:
        panels.setdefault(f"{figures['device']}, {figures['precision']}", []).append(figures)
    figure = Figure(figsize=(7 * len(panels), 5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, cases) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _panel(axes, cases)
        axes.set_title(f"{title}, batches of {cases[0]['batch']}")
    return figure


def _panel(axes: "Axes", cases: Sequence[Figures]) -> None:
    millions = [case["parameters"] / _MEGA for case in cases]
    speeds = [_speed(case) for case in cases]
    spread = [
        [speed - case["inference_images_per_s_least"] for speed, case in zip(speeds, cases, strict=True)],
        [case["inference_images_per_s_most"] - speed for speed, case in zip(speeds, cases, strict=True)],
    ]
    axes.errorbar(millions, speeds, yerr=spread, fmt="o", capsize=3)
    front = pareto(cases)
    axes.plot([millions[i] for i in front], [speeds[i] for i in front], "--", color="grey", zorder=0)
    for case, x, y in zip(cases, millions, speeds, strict=True):
        axes.annotate(f"{case['backbone']} {case['size_px']}", (x, y), (4, 4), textcoords="offset points", fontsize=7)
    axes.set(xscale="log", yscale="log", xlabel="parameters, millions", ylabel="images/s in inference")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}")
    axes.tick_params(which="both", labelsize=7)
    axes.grid(visible=True, which="both", alpha=0.3)
