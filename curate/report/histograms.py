"""Histograms of a set's measures as plain rectangles, ready to be drawn as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pandas as pd

from .text import many

WIDTH, HEIGHT = 320, 148  # of the drawing; its units are CSS pixels where it is shown at its own size
LEFT, RIGHT = 8, 312
_TOP, _BASE = 20, 122
_BINS = 40
_TAIL = 99.5  # percentile above which values share the last bin, where the greatest is far beyond it
_FAR = 1.2

Floats = npt.NDArray[np.float64]
Measure = tuple[str, str, tuple[str, ...]]

MEASURES: Sequence[Measure] = (
    ("sharpness", "Sharpness", ("sharpness",)),
    ("brightness", "Brightness", ("brightness",)),
    ("contrast", "Contrast", ("contrast",)),
    ("interocular_px", "Distance between the eyes, px", ("interocular", "interocular_px")),
    ("box_w", "Width of the face in the source, px", ()),
    ("yaw_deg", "Yaw of the head, degrees", ("yaw_deg",)),
    ("roll_deg", "Roll before aligning, degrees", ("roll", "roll_deg")),
    ("score", "Score of the detector", ()),
)
"""Column, title, and what the gates call it."""

AFFECT: Sequence[Measure] = (("valence", "Valence", ()), ("arousal", "Arousal", ()))
"""Labels that are numbers, likewise."""

_BOTH_WAYS = ("yaw_deg",)  # a gate on the size of the angle


@dataclass(frozen=True)
class Bar:
    """One rectangle, in the drawing's units."""

    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class Mark:
    """A place on the horizontal axis and the text there."""

    x: float
    text: str


@dataclass(frozen=True)
class Histogram:
    """One measure: bars of all faces, of those kept, the axis, the gates, and a summary in words."""

    title: str
    everything: Sequence[Bar]
    kept: Sequence[Bar]
    ticks: Sequence[Mark]
    gates: Sequence[Mark]
    summary: str


def measure_histograms(
    rows: pd.DataFrame, gates: Mapping[str, Any], measures: Sequence[Measure] = MEASURES
) -> list[Histogram]:
    """Draw the measures that the rows have, all faces behind those kept, with the gates as marks."""
    kept = rows["drop_reason"].isna().to_numpy(dtype=bool)
    drawn = []
    for column, title, names in measures:
        values = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
        set_gates = [gates.get(f"{side}_{name}") for name in names for side in ("min", "max")]
        limits = [float(x) for x in set_gates if is_number(x)]
        if column in _BOTH_WAYS:
            limits += [-x for x in limits]
        figure = histogram(title, values, kept, [(x, "gate") for x in limits])
        drawn.extend([figure] if figure else [])
    return drawn


def is_number(limit: object) -> TypeGuard[float]:
    """Tell whether a value of the configuration is a finite number."""
    return isinstance(limit, int | float) and not isinstance(limit, bool) and math.isfinite(limit)


def histogram(
    title: str,
    values: Floats,
    kept: npt.NDArray[np.bool_] | None = None,
    limits: Sequence[tuple[float, str]] = (),
    of: str = "face",
) -> Histogram | None:
    """Bin `values` and, over the same bins, those that were kept; None where there is no finite value.

    Args:
        title: The measure and its unit.
        values: float64 [N]; NaN where it was not measured.
        kept: bool [N], or None where keeping is not the point.
        limits: Places to mark, in the values' unit, each with its name.
        of: What has the values.
    """
    finite = np.isfinite(values)
    chosen = values[finite & kept] if kept is not None else values[:0]
    values = values[finite]
    if not len(values):
        return None
    low = min([float(values.min()), *(place for place, _ in limits)])
    most, tail = float(values.max()), float(np.percentile(values, _TAIL))
    far = most - low > _FAR * (tail - low)
    high = max([tail if far else most, *(place for place, _ in limits)])
    if high - low < 1e-6 * max(abs(low), abs(high), 1e-3):
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    tallest = int(np.histogram(np.clip(values, low, high), edges)[0].max())
    everything, inside = (_bars(np.clip(part, low, high), edges, tallest) for part in (values, chosen))
    marks = [Mark(place_on(place, low, high), f"{name} {place:g}") for place, name in sorted(set(limits))]
    ticks = [Mark(place_on(tick, low, high), f"{tick:g}") for tick in nice_ticks(low, high)]
    words = _summary(values, of, None if kept is None else len(chosen), high)
    return Histogram(title, everything, inside, ticks, marks, words)


def _summary(values: Floats, of: str, kept: int | None, high: float) -> str:
    above = int((values > high).sum())
    summary = many(len(values), of) + ("" if kept is None else f", {kept:,} kept")
    summary += f"; median {float(np.median(values)):.4g}, "
    summary += f"range {float(values.min()):.4g} to {float(values.max()):.4g}"
    return summary + (f"; {above:,} above {high:.4g} in the last bar" if above else "")


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Give some `about` round numbers between `low` and `high`, steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(step * i, 12) + 0.0 for i in range(first, last + 1)]


def place_on(value: float, low: float, high: float) -> float:
    """Give where a value stands on the horizontal axis from `low` to `high`, in the drawing's units."""
    return round(LEFT + (RIGHT - LEFT) * (value - low) / (high - low), 2)


def _bars(values: Floats, edges: Floats, tallest: int) -> list[Bar]:
    """Turn counts into rectangles on the base line, leaving out empty bins; a count of 1 stays visible."""
    width = (RIGHT - LEFT) / _BINS
    bars = []
    for place, count in enumerate(np.histogram(values, edges)[0].tolist()):
        if count:
            height = round(max(count / tallest * (_BASE - _TOP), 1.0), 1)
            bars.append(Bar(round(LEFT + place * width, 2), round(width - 0.6, 2), round(_BASE - height, 1), height))
    return bars
