"""The confusion matrix as a picture, drawn without a display."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL_INCHES = 1.1
_MOST_CELLS_WITH_TEXT = 30
_LONGEST_NAME = 24


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


def _short(name: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in name)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[: _LONGEST_NAME - 1]}…"
