"""The pictures of `look`, drawn without a display."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

_TILE_INCHES = 1.5
_TITLE_INCHES = 0.5
_FILTER_INCHES = 8.0
_LONGEST_TITLE = 28


class Panel(NamedTuple):
    """One picture of a sheet.

    Attributes:
        picture: uint8 [H, W, 3] or a map, float [h, w].
        title: Above it.
        heat: float [H, W], 0 to 1, laid over the picture; None for none.
    """

    picture: Image | Floats
    title: str = ""
    heat: Floats | None = None


def short(text: str) -> str:
    """Cut a title that would run into its neighbour, and keep its signs from being read as formulas."""
    text = "\n".join(
        line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…" for line in text.split("\n")
    )
    return text.replace("$", r"\$")


def sheet(rows: Sequence[Sequence[Panel]], title: str) -> "Figure":
    """Lay panels out in rows and columns; maps are drawn from their least to their greatest value."""
    columns = max(len(row) for row in rows)
    figure = _figure(columns * _TILE_INCHES, len(rows) * (_TILE_INCHES + _TITLE_INCHES) + _TITLE_INCHES)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, panel in zip(axes_row[: len(row)], row, strict=True):
            _draw(axes, panel)
        for axes in axes_row:
            axes.axis("off")
    figure.suptitle(short(title) if "\n" in title else title.replace("$", r"\$"), fontsize=9)
    return figure


def _draw(axes: "Axes", panel: Panel) -> None:
    axes.imshow(panel.picture, cmap=None if panel.picture.ndim == 3 else "viridis", interpolation="nearest")
    if panel.heat is not None:
        axes.imshow(panel.heat, cmap="inferno", vmin=0, vmax=1, alpha=0.2 + 0.6 * panel.heat, interpolation="nearest")
    axes.set_title(short(panel.title), fontsize=6)


def filters_figure(picture: Floats, title: str) -> "Figure":
    """Draw the filters of a layer as `filter_grid` lays them out."""
    height, width = picture.shape[:2]
    scale = _FILTER_INCHES / max(height, width)
    figure = _figure(max(width * scale, 4.0), max(height * scale, 1.0) + 2 * _TITLE_INCHES)
    axes = figure.add_subplot()
    if picture.ndim == 3:
        axes.imshow(np.nan_to_num(picture, nan=1.0), interpolation="nearest")
    else:
        image = axes.imshow(picture, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        figure.colorbar(image, ax=axes, fraction=0.03, label="weight / greatest of the filter")
    axes.axis("off")
    figure.suptitle(title, fontsize=9)
    return figure


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(width, 4.0), height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
