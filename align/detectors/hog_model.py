"""Reads the object detector that dlib saves: linear filters on cells of gradients, and which boxes are one object.

Such a file is a run of dlib's numbers: versions; the scanner's settings; the two shares of overlap; then for each
filter its weights, plane by plane, and last its threshold. Source of the layout: dlib's object_detector.h and
scan_fhog_pyramid.h.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..dlib_stream import Stream

CELL = 8
"""Pixels of a cell's side."""

WINDOW = 10
"""Cells of the window's side."""

PLANES = 31
"""Numbers a cell: 18 directions, 9 without their sign, and four of texture (Felzenszwalb et al. 2010)."""

MIN_LEVEL = 64
"""Pixels of the shorter side of the smallest picture that is looked at."""

_WIDTH = 80  # of the window in pixels, without its outer cells
_VERSIONS = (2, 1)
_NOTHING_SEEN = (0, 0)
_MOST_LEVELS = 1000
_SCANNER = (CELL, 0, _WIDTH, _WIDTH, _MOST_LEVELS, MIN_LEVEL, MIN_LEVEL)
_WEIGHTS = PLANES * WINDOW * WINDOW
_MOST_FILTERS = 100
_NO_PART = 1e-5  # of a filter: dlib brought those below a thousandth to nothing


class HogModel(NamedTuple):
    """D filters, each the sum of some products of a row and a column: R products in all.

    Attributes:
        rows: float32 [R, 10], by which a plane's cells are weighted along x.
        columns: float32 [R, 10], and along y.
        planes: int64 [R], the plane.
        owners: int64 [R], the filter.
        thresholds: float64 [D], what a filter's sum is compared with.
        most_shared: Share of the box around both, and of either, that two objects have in common at the most.
    """

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    planes: NDArray[np.int64]
    owners: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    most_shared: tuple[float, float]


def read_hog(data: bytes, name: str) -> HogModel:
    """Read a detector.

    Args:
        data: All of it.
        name: What it is called in errors.

    Raises:
        ModelError: The bytes end early, do not follow the layout, or tell of cells or windows of another size.
    """
    stream = Stream(data, name, "dlib's detector of frontal faces")
    for expected in (_VERSIONS, _NOTHING_SEEN, _SCANNER):
        if (found := stream.integers(len(expected))) != expected:
            raise stream.wrong(f"before it {expected}", found)
    stream.real()  # how the filters were made simple in training
    if (found_weights := stream.integer()) != _WEIGHTS:
        raise stream.wrong(f"before it {_WEIGHTS} weights", found_weights)
    most_shared = stream.real(), stream.real()
    if not 1 <= (count := stream.integer()) <= _MOST_FILTERS:
        raise stream.wrong(f"before it a number of filters from 1 to {_MOST_FILTERS}", count)
    filters = [_weights(stream) for _ in range(count)]
    if stream.at != len(data):
        raise stream.wrong("the end", f"{len(data) - stream.at} bytes more")
    products = [(owner, plane, *part) for owner, weights in enumerate(filters) for plane, part in _products(weights)]
    owners, planes, rows, columns = zip(*products, strict=True)
    thresholds = np.array([weights[-1] for weights in filters])
    return HogModel(
        np.array(rows, np.float32), np.array(columns, np.float32), np.array(planes), np.array(owners), thresholds,
        most_shared,
    )  # fmt: skip


def _weights(stream: Stream) -> NDArray[np.float64]:
    if (shape := stream.integers(2)) != (-_WEIGHTS - 1, -1):
        raise stream.wrong(f"before it a column of {_WEIGHTS + 1} numbers", shape)
    numbers = stream.many(2 * (_WEIGHTS + 1))
    return np.ldexp(numbers[::2].astype(np.float64), numbers[1::2].astype(np.int32))


def _products(
    weights: NDArray[np.float64],
) -> list[tuple[int, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """Take a filter apart: each plane's weights are a sum of few products of a row and a column."""
    parts = []
    for plane, square in enumerate(weights[:-1].reshape(PLANES, WINDOW, WINDOW)):
        columns, sizes, rows = np.linalg.svd(square)
        parts += [(plane, (rows[k], columns[:, k] * sizes[k])) for k in range(WINDOW) if sizes[k] > _NO_PART]
    return parts
