"""Where truth and prediction of valence and arousal lie, counted over a grid."""

import numpy as np
from numpy.typing import NDArray

CELLS = 20
"""Squares a side, from -1 to 1; an odd number would hide the sign."""


def affect_counts(truth: NDArray[np.float32], said: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """Count the labelled rows over [truth, prediction]; predictions beyond -1 to 1 stand in the outermost squares.

    Args:
        truth: [N], NaN without a label.
        said: [N].

    Returns:
        int64 [CELLS, CELLS]; None where no row has a label.
    """
    labelled = ~np.isnan(truth)
    if not labelled.any():
        return None
    edges = np.linspace(-1, 1, CELLS + 1)
    pairs = [np.clip(values[labelled].astype(np.float64), -1, 1) for values in (truth, said)]
    return np.histogram2d(pairs[0], pairs[1], (edges, edges))[0].astype(np.int64)
