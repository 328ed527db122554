"""Curves, reliability diagrams and planes as plain shapes, ready to be drawn as SVG by the page's templates."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate import nice_ticks

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BASE = 40, 312, 10, 172
SIDE = 220
"""Of a square drawing."""

_POINTS = 400
"""Of a curve; more cannot be seen."""


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in the drawing's units, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart: its name, its path, where it ends, and its last value in words."""

    name: str
    path: str
    x: float
    y: float
    last: str


@dataclass(frozen=True)
class Chart:
    """Curves over the epochs."""

    title: str
    curves: Sequence[Curve]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    mark_x: float | None
    summary: str


def charts(curves: Mapping[str, Any]) -> list[Chart]:
    """Draw the losses, the other numbers in pairs of training and validation, and the learning rates.

    Args:
        curves: As the report's record holds them.
    """
    return [chart(title, names, curves) for title, names in panels(curves["series"])]


def panels(series: Collection[str]) -> list[tuple[str, list[str]]]:
    """Say which of the logged numbers are drawn together, and under which title."""
    losses = [name for name in ("train/loss", "val/loss") if name in series]
    rates = [name for name in series if name == "train/lr" or name.startswith("lr")]  # ours, or LearningRateMonitor's
    main = [name for name in ("val/f1_macro", "val/accuracy_micro") if name in series]
    affect = [name for name in ("val/ccc_valence", "val/ccc_arousal") if name in series]
    units = [name for name in ("val/f1_units_mean", "val/auc_units_mean") if name in series]
    wanted = [
        ("Loss", losses),
        ("Classes", main),
        ("Valence and arousal", affect),
        ("Action units", units),
        ("Learning rate", rates[:4]),
    ]
    return [(title, names) for title, names in wanted if names]


def chart(title: str, names: Sequence[str], curves: Mapping[str, Any]) -> Chart:
    """Draw some of the logged numbers over the epochs; gaps in what was logged are bridged."""
    epochs: list[int] = list(curves["epochs"])
    marked = curves["checkpoint_epoch"]
    found = {
        name: [(e, v) for e, v in zip(epochs, curves["series"][name], strict=True) if v is not None] for name in names
    }
    found = {name: points for name, points in found.items() if points}
    values: list[float] = [value for points in found.values() for _, value in points]
    low, high = _range(values)
    first, last = epochs[0], max(epochs[-1], epochs[0] + 1)

    def x(epoch: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (epoch - first) / (last - first), 1)

    def y(value: float) -> float:
        return round(BASE - (BASE - TOP) * (value - low) / (high - low), 1)

    drawn = []
    for name, points in found.items():
        places: list[tuple[float, float]] = [(x(epoch), y(value)) for epoch, value in _thinned(points)]
        path = "M" + "L".join(f"{a} {b}" for a, b in places)
        drawn.append(Curve(name, path, *places[-1], f"{points[-1][1]:.4g}"))
    return Chart(
        title,
        drawn,
        [Tick(x(e), f"{e:g}") for e in nice_ticks(first, last) if float(e).is_integer()],
        [Tick(y(v), f"{v:g}") for v in nice_ticks(low, high, 4)],
        None if marked is None else x(marked),
        "; ".join(f"{curve.name} ends at {curve.last}" for curve in drawn),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = float(min(values)), float(max(values))
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        room = max(abs(low), 1e-6) / 2
        return low - room, high + room
    return low, high


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Keep at most some hundred points, the first and the last among them."""
    if len(points) <= _POINTS:
        return list(points)
    places = np.linspace(0, len(points) - 1, _POINTS).round().astype(int)
    return [points[place] for place in places]


@dataclass(frozen=True)
class Rectangle:
    """A rectangle in a drawing's units; `shade` is 0 to 1."""

    x: float
    y: float
    width: float
    height: float
    shade: float = 1.0


@dataclass(frozen=True)
class Reliability:
    """Accuracy over confidence: a bar a bin, as dark as it has rows, and a mark at the bin's mean confidence."""

    title: str
    bars: Sequence[Rectangle]
    marks: Sequence[tuple[float, float]]
    summary: str


def reliability_diagram(title: str, numbers: Mapping[str, Any]) -> Reliability:
    """Draw the bins of one side of a calibration."""
    filled = [found for found in numbers["bins"] if found["count"]]
    most = max((found["count"] for found in filled), default=1)
    bars, marks = [], []
    for found in filled:
        width = (found["upper"] - found["lower"]) * SIDE
        height = found["accuracy"] * SIDE
        shade = 0.2 + 0.8 * (found["count"] / most) ** 0.5
        bars.append(
            Rectangle(
                round(found["lower"] * SIDE + 0.5, 2),
                round(SIDE - height, 2),
                round(width - 1, 2),
                round(max(height, 1.0), 2),
                round(shade, 3),
            )
        )
        marks.append((round(found["confidence"] * SIDE, 2), round(SIDE - height, 2)))
    rows = sum(found["count"] for found in filled)
    summary = f"{rows:,} faces, ECE {numbers['ece']:.3f}"
    return Reliability(title, bars, marks, summary)


@dataclass(frozen=True)
class Plane:
    """Prediction over truth, as dark as there are faces."""

    name: str
    cells: Sequence[Rectangle]
    summary: str


def plane(name: str, counts: Sequence[Sequence[int]], score: Mapping[str, Any]) -> Plane:
    """Draw the counts [truth, prediction] of valence or of arousal."""
    grid = np.asarray(counts)
    side = SIDE / len(grid)
    shades = np.sqrt(grid / max(int(grid.max()), 1)).round(3)
    cells = [
        Rectangle(round(i * side, 2), round(SIDE - (j + 1) * side, 2), side, side, float(shades[i, j]))
        for i, j in np.argwhere(grid).tolist()
    ]
    ccc = "not defined" if score["ccc"] is None else f"{score['ccc']:.3f}"
    return Plane(name, cells, f"{score['rows']:,} faces; CCC {ccc}, RMSE {score['rmse']:.3f}")
