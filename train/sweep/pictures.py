"""The pictures of one run: its learning curves, and a confusion matrix of each split."""

from pathlib import Path
from typing import TYPE_CHECKING

from align import replacing

from ..evaluate.curves import read_curves
from ..evaluate.drawings import panels
from ..evaluate.numbers import evaluation, figure
from ..figures import curves_figure, save_figure
from .score import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = "curves.png"


def draw_run(folder: Path, scored: Scored) -> list[Path]:
    """Write `curves.png` and, of a model that tells classes, `confusion_<split>.png` of each split.

    Args:
        folder: Of the run, with the logs of its fits.
        scored: What its checkpoint said.

    Returns:
        The paths. There are no curves where no fit logged a number.
    """
    written = []
    curves = read_curves(folder, scored.global_step)
    if drawn := panels({name: values for name, values in curves.series.items() if any(v is not None for v in values)}):
        written.append(
            _save(curves_figure(drawn, curves.epochs, curves.series, curves.checkpoint_epoch), folder / CURVES)
        )
    if scored.tasks.classes:
        for split, outcome in scored.outcomes.items():
            result = evaluation(outcome, scored.tasks, split, float("nan"))
            written.append(_save(figure(result), folder / f"confusion_{split}.png"))
    return written


def _save(drawn: "Figure", path: Path) -> Path:
    with replacing(path) as temporary:
        save_figure(drawn, temporary)
    return path
