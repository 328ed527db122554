"""Draws what the model said over the time of a video: a row of plots for each of the faces that were longest there."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..tasks import AFFECT, Tasks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TRACKS = 4
MOST_POINTS = 4000
"""Of a curve; of longer ones, neighbours are averaged."""

_GAPS = 3.0
"""A curve breaks where a face was away for more than so many times its usual step."""

_STYLES = ("-", "--", ":")


def draw_timeline(table: Path, tasks: Tasks, title: str) -> "Figure":
    """Draw the timeline of a table that `TableWriter` wrote for a video.

    Args:
        table: The csv.
        tasks: What the model tells.
        title: Above the plots.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = pd.read_csv(table, usecols=lambda name: name != "predicted")
    rows = rows[rows["drop_reason"].isna() & rows["time_s"].notna()]
    tracks = rows["track"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    shown = sorted(tracks.index[:MOST_TRACKS])
    panels = [(track, kind) for track in shown for kind in tasks.kinds]
    figure = Figure(figsize=(12, 1.0 + 2.6 * max(1, len(panels))), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title.replace("$", r"\$"))
    if not panels:
        axes = figure.add_subplot()
        axes.text(0.5, 0.5, "no face was found", ha="center", va="center", transform=axes.transAxes, fontsize=16)
        axes.set_axis_off()
        return figure
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (track, kind) in zip(grid, panels, strict=True):
        _draw(axes, rows[rows["track"] == track], kind, tasks)
        axes.set_title(f"face {track:.0f}", loc="left", fontsize=10)
    left_out = len(tracks) - len(shown)
    more = f"; {left_out:,} more faces are in the table" if left_out else ""
    grid[-1].set_xlabel(f"seconds{more}")
    return figure


def _draw(axes: "Axes", rows: pd.DataFrame, kind: str, tasks: Tasks) -> None:
    """Draw the curves of one task and face."""
    columns = {"classes": [f"p_{name}" for name in tasks.classes], "affect": list(AFFECT), "units": tasks.units}[kind]
    names = tasks.classes if kind == "classes" else [name.replace("au_", "AU ") for name in columns]
    values = rows[columns].to_numpy(np.float64)
    time_s, curves = thinned(rows["time_s"].to_numpy(np.float64), values)
    for number, name in enumerate(names):
        style: dict[str, Any] = {"color": f"C{number % 10}", "linestyle": _STYLES[number // 10 % len(_STYLES)]}
        label = name.replace("$", r"\$").lstrip("_") or name
        axes.plot(time_s, curves[:, number], label=label, linewidth=1.2, **style, marker="." if len(time_s) < 3 else "")
    is_affect = kind == "affect"
    axes.set_ylim((-1.05, 1.05) if is_affect else (-0.03, 1.03))
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_ylabel("" if is_affect else "probability")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False, ncols=1 + len(names) // 13)


def thinned(
    time_s: NDArray[np.float64], values: NDArray[np.float64], most: int = MOST_POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average neighbours until there are few enough, and put a gap where the face was away.

    Args:
        time_s: float64 [N], growing.
        values: float64 [N, K].
        most: Points that are wanted.

    Returns:
        Times [M] and values [M, K]; a row of NaN is a gap.
    """
    step = -(-len(time_s) // most)
    if step > 1:
        starts = np.arange(0, len(time_s), step)
        counts = np.diff([*starts, len(time_s)])
        time_s = np.add.reduceat(time_s, starts) / counts
        values = np.add.reduceat(values, starts) / counts[:, None]
    if len(time_s) < 3:
        return time_s, values
    apart = np.diff(time_s)
    gaps = np.flatnonzero(apart > _GAPS * np.median(apart)) + 1
    return np.insert(time_s, gaps, time_s[gaps]), np.insert(values, gaps, np.nan, axis=0)
