"""The confusion matrix and the learning curves as pictures, drawn without a display."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL_INCHES = 1.1
_MOST_CELLS_WITH_TEXT = 30
_LONGEST_NAME = 24
_PANEL_INCHES = 4.5
_MOST_DOTS = 60


def confusion_figure(counts: NDArray[np.int64], names: Sequence[str], title: str) -> "Figure":
    """Draw counts [true, predicted]: colour and percentage are shares of the row, so that rare classes show as well.

    Args:
        counts: int64 [C, C].
        names: The C class names; long ones are cut, and none is read as a formula.
        title: Above the picture.

    Returns:
        A figure to save, or to hand to TensorBoard.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = max(4.5, _CELL_INCHES * min(len(names), _MOST_CELLS_WITH_TEXT) + 2)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows = counts.sum(1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_short(name) for name in names]
    labels = [f"{name}\n(no rows)" if not total else name for name, total in zip(names, rows[:, 0], strict=True)]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(names)), labels, parse_math=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(title, parse_math=False)
    if len(names) <= _MOST_CELLS_WITH_TEXT:
        for (i, j), count in np.ndenumerate(counts):
            text = f"{count}\n{shares[i, j]:.1%}" if rows[i, 0] else "0"
            axes.text(j, i, text, ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046)
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Save a figure as PNG; letters that its font lacks are boxes, without matplotlib's warning about each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, dpi=120)


def curves_figure(
    panels: Sequence[tuple[str, Sequence[str]]],
    epochs: Sequence[int],
    series: Mapping[str, Sequence[float | None]],
    marked: int | None,
) -> "Figure":
    """Draw logged numbers over the epochs, one panel beside the other.

    Args:
        panels: Title and names of each, at least one.
        epochs: Ascending.
        series: Of each name its value at each epoch; None where there is none, which is bridged.
        marked: An epoch to mark in all panels; None marks none.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_PANEL_INCHES * len(panels), _PANEL_INCHES * 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            points = [(epoch, v) for epoch, v in zip(epochs, series[name], strict=True) if v is not None]
            axes.plot(*zip(*points, strict=True), marker="." if len(points) <= _MOST_DOTS else None, label=name)
        if marked is not None:
            axes.axvline(marked, color="grey", linestyle=":", label="the checkpoint")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)  # matplotlib would tick a hundredth of an epoch
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def _short(name: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in name)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[: _LONGEST_NAME - 1]}…"
