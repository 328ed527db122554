"""Numbers of valence and arousal, as the field reports them."""

from dataclasses import dataclass

import numpy as np

from ..tasks import Tasks
from .collect import Outcome
from .labelled import ColumnRows, affect_columns


@dataclass(frozen=True)
class AffectScore:
    """The numbers of valence, or of arousal; None where one is not defined.

    Attributes:
        name: `valence` or `arousal`.
        rows: With a label.
        ccc: Concordance correlation (Lin 1989) by population variances.
        rmse: Root of the mean squared error.
        pearson: Correlation; not defined where outputs or labels are all the same.
        sagr: Share of rows whose output has the label's sign; 0 agrees with 0 alone.
    """

    name: str
    rows: int
    ccc: float | None
    rmse: float | None
    pearson: float | None
    sagr: float | None


def affect_scores(outcome: Outcome, tasks: Tasks) -> list[AffectScore]:
    """Compute the numbers of valence and of arousal, each over its own labelled rows."""
    return [_score(column) for column in affect_columns(outcome, tasks)]


def _score(column: ColumnRows) -> AffectScore:
    rows = len(column.targets)
    if not rows:
        return AffectScore(column.name, 0, None, None, None, None)
    # Equal float32 values have an exact mean in float64, so that what does not vary leaves zeros.
    x, y = column.outputs - column.outputs.mean(), column.targets - column.targets.mean()
    together, x_spread, y_spread = float(np.mean(x * y)), float(np.mean(x * x)), float(np.mean(y * y))
    apart = float(column.outputs.mean() - column.targets.mean())
    agrees = np.sign(column.outputs) == np.sign(column.targets)
    return AffectScore(
        column.name,
        rows,
        ccc=_divide(2 * together, x_spread + y_spread + apart * apart),
        rmse=float(np.sqrt(np.mean((column.outputs - column.targets) ** 2))),
        pearson=_divide(together, float(np.sqrt(x_spread) * np.sqrt(y_spread))),
        sagr=float(agrees.mean()),
    )


def _divide(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
