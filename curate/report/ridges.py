"""The measures of a set class by class, one above the other on one axis, so that a class that differs is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .histograms import LEFT, MEASURES, RIGHT, WIDTH, Floats, Mark, nice_ticks, place_on

_CLASSES = 12
_BINS = 40
_ROW, _BARS = 38, 20  # px a class, of which the bars may take
_TOP, _FOOT = 4, 24
_TAILS = (0.5, 99.5)  # percentiles beyond which values share the outermost bars
_OF_CLASSES = ("sharpness", "brightness", "contrast", "interocular_px", "yaw_deg", "roll_deg")


@dataclass(frozen=True)
class Ridge:
    """One class: its bars as an SVG path, the place of its median, and where its row stands."""

    label: str | None
    path: str
    median_x: float
    text: str
    y: float


@dataclass(frozen=True)
class Ridges:
    """One measure, a row a class; `overall_x` is the median of all kept faces."""

    title: str
    rows: Sequence[Ridge]
    ticks: Sequence[Mark]
    overall_x: float
    size: tuple[int, int]
    summary: str


def class_ridges(rows: pd.DataFrame, labels: Sequence[str | None]) -> tuple[list[Ridges], int]:
    """Draw each measure of the kept faces by class; also give how many classes there was no room for.

    Nothing is drawn for fewer than two classes. Where there are too many, those with most kept faces are drawn.
    """
    kept = rows[rows["drop_reason"].isna()]
    sizes = kept["label"].value_counts()
    known = [label for label in labels if label is not None and sizes.get(label, 0)]
    if len(known) < 2:
        return [], 0
    largest = set(sorted(known, key=lambda label: (-int(sizes[label]), label))[:_CLASSES])
    shown = [label for label in known if label in largest]
    titles = {column: title for column, title, _ in MEASURES}
    drawn = []
    for column in _OF_CLASSES:
        values = kept[column].to_numpy(dtype=np.float64, na_value=np.nan)
        by_class = {label: values[kept["label"].eq(label).fillna(value=False).to_numpy(bool)] for label in shown}
        figure = ridges(titles[column], by_class)
        drawn.extend([figure] if figure else [])
    return drawn, len(known) - len(shown)


def ridges(title: str, by_class: dict[str, Floats]) -> Ridges | None:
    """Draw a histogram a class over the same bins, each as high as its own fullest bin allows.

    Args:
        title: The measure and its unit.
        by_class: Class -> float64 [N]; NaN where it was not measured.

    Returns:
        None where fewer than two classes have a value, or all values are one.
    """
    finite = {label: values[np.isfinite(values)] for label, values in by_class.items()}
    finite = {label: values for label, values in finite.items() if len(values)}
    if len(finite) < 2:
        return None
    together = np.concatenate(list(finite.values()))
    low, high = (float(bound) for bound in np.percentile(together, _TAILS))
    if high - low < 1e-6 * max(abs(low), abs(high), 1e-3):
        return None
    edges = np.linspace(low, high, _BINS + 1)
    medians = {label: float(np.median(values)) for label, values in finite.items()}
    rows = []
    for number, (label, values) in enumerate(finite.items()):
        top = float(_TOP + number * _ROW)
        path = _path(np.histogram(np.clip(values, low, high), edges)[0], top + _ROW - 2)
        x = place_on(float(np.clip(medians[label], low, high)), low, high)
        rows.append(Ridge(label, path, x, f"median {medians[label]:.3g} of {len(values):,}", top))
    overall = float(np.median(together))
    ticks = [Mark(place_on(tick, low, high), f"{tick:g}") for tick in nice_ticks(low, high)]
    size = (WIDTH, _TOP + _ROW * len(rows) + _FOOT)
    return Ridges(title, rows, ticks, place_on(overall, low, high), size, _summary(medians, overall))


def _path(counts: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]", base: float) -> str:
    """Write the bars of one class as one path on its base line."""
    width = (RIGHT - LEFT) / len(counts)
    tallest = max(int(counts.max(initial=0)), 1)
    bars = []
    for place, count in enumerate(counts.tolist()):
        if count:
            height = max(count / tallest * _BARS, 1.0)
            x = LEFT + place * width
            bars.append(f"M{x:.1f} {base:.1f}v-{height:.1f}h{width - 0.6:.1f}v{height:.1f}z")
    return "".join(bars)


def _summary(medians: dict[str, float], overall: float) -> str:
    least, most = (pick(medians, key=lambda label: (medians[label], label)) for pick in (min, max))
    return f"Medians from {medians[least]:.3g} ({least}) to {medians[most]:.3g} ({most}); of all {overall:.3g}."
