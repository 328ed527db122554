"""Looks for a detector's object in a picture of any size: its filters on the cells of smaller and smaller pictures.

A compiled reading of dlib's method with dlib's weights, at two fifths of its cost. Source: King, Max-Margin Object
Detection, 2015; the order of the steps is that of dlib's scan_fhog_pyramid.h and object_detector.h.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compilation import compiled
from .hog_cells import BEFORE, cells, shrink
from .hog_model import CELL, MIN_LEVEL, WINDOW, HogModel

_RATIO = 1.2  # of one level's side to that of the next
_SHIFT = 0.3  # pixels, by which dlib moves a place from one level of the pyramid to the next


class Found(NamedTuple):
    """An object: whole pixels from the first to the last one, by how much it passed, and the filter that saw it."""

    left: int
    top: int
    right: int
    bottom: int
    score: float
    filter: int


def scan(picture: NDArray[np.uint8], model: HogModel, least: float = 0.0) -> list[Found]:
    """Find the objects in a picture, surest first; of those that overlap the surest stands.

    Args:
        picture: uint8 [H, W].
        model: What is looked for.
        least: The score that one must reach.
    """
    seen: list[Found] = []
    for level in range(_levels(*picture.shape)):
        picture = shrink(picture) if level else picture
        if (planes := cells(picture)) is not None:
            hits = _hits(planes, model[:4], model.thresholds + least)
            seen += [_found(hit, level, model.thresholds) for hit in hits.tolist()]
    kept: list[Found] = []
    for one in sorted(seen, key=lambda found: -found.score):
        if not any(_is_same(one, other, model.most_shared) for other in kept):
            kept.append(one)
    return kept


def _levels(height: int, width: int) -> int:
    """Give how many pictures are looked at, each five sixths of the one before."""
    edges, levels = (0, 0, width - 1, height - 1), 0
    while True:
        left, top, right, bottom = (math.floor((edge - _SHIFT) / _RATIO + 0.5) for edge in edges)
        edges, levels = (left, top, right, bottom), levels + 1
        if min(right - left, bottom - top) + 1 < MIN_LEVEL:
            return levels


def _found(hit: list[float], level: int, thresholds: NDArray[np.float64]) -> Found:
    """Bring the place of a window among the cells back to the picture: without its outer cells."""
    number, row, column, total = hit
    left, top = (_edge(first - BEFORE, level) for first in (column, row))
    right, bottom = (_edge(first - BEFORE + WINDOW - 1, level) for first in (column, row))
    return Found(left, top, right, bottom, total - float(thresholds[int(number)]), int(number))


def _edge(cell: float, level: int) -> int:
    """Give the pixel in the middle of a cell, brought up by some levels; the cells begin one cell into the picture."""
    edge = (cell + 1) * CELL + 1
    edge += math.copysign(CELL // 2, edge)
    for _ in range(level):
        edge = edge * _RATIO + _SHIFT
    return math.trunc(edge + math.copysign(0.5, edge))


def _is_same(one: Found, other: Found, most_shared: tuple[float, float]) -> bool:
    """Whether two boxes have so much in common that they show one object."""
    across = min(one.right, other.right) - max(one.left, other.left) + 1
    down = min(one.bottom, other.bottom) - max(one.top, other.top) + 1
    shared = max(across, 0) * max(down, 0)
    wide = max(one.right, other.right) - min(one.left, other.left) + 1
    high = max(one.bottom, other.bottom) - min(one.top, other.top) + 1
    of_all, of_either = most_shared
    return shared > of_all * wide * high or shared > of_either * min(_area(one), _area(other))


def _area(box: Found) -> int:
    return (box.right - box.left + 1) * (box.bottom - box.top + 1)


@compiled
def _hits(planes: Any, products: Any, thresholds: Any) -> Any:
    """Give where a filter's sum reaches its threshold: float64 [N, 4], the filter, row, column and sum."""
    rows, columns = planes.shape[1], planes.shape[2]
    width = columns - 9
    sums = _filter(planes.reshape(len(planes), -1), products, (len(thresholds), rows - 9, columns))
    hits = np.empty((16, 4), np.float64)
    count = 0
    for number in range(len(sums)):
        threshold = thresholds[number]
        for row in range(rows - 9):
            line = sums[number, row * columns : row * columns + width]
            reached = 0
            for x in range(width):
                reached += line[x] >= threshold
            if reached:
                for x in range(width):
                    if line[x] >= threshold:
                        if count == len(hits):
                            hits = np.concatenate((hits, np.empty_like(hits)))
                        hits[count, 0], hits[count, 1], hits[count, 2], hits[count, 3] = number, row, x, line[x]
                        count += 1
    return hits[:count]


@compiled
def _filter(planes: Any, products: Any, shape: Any) -> Any:
    """Give each filter's sum over the window that begins at each cell, row by row: float32 [filters, places].

    A product of a row and a column of weights costs 20 multiplications a place instead of 100. They are written out, so
    that the processor does many places at once, and the rows are joined to one: where a window reaches from the end of
    one into the next, the sum means nothing. Windows of another size are refused where the model is read.
    """
    rows, columns, of_planes, owners = products
    filters, height, across = shape
    sums = np.zeros((filters, height * across), np.float32)
    along = np.zeros(planes.shape[1], np.float32)
    for k in range(len(of_planes)):
        plane, target = planes[of_planes[k]], sums[owners[k]]
        a, b, c, d, e = rows[k, 0], rows[k, 1], rows[k, 2], rows[k, 3], rows[k, 4]
        f, g, h, i, j = rows[k, 5], rows[k, 6], rows[k, 7], rows[k, 8], rows[k, 9]
        for x in range(len(plane) - 9):
            near = ((a * plane[x] + b * plane[x + 1]) + (c * plane[x + 2] + d * plane[x + 3])) + e * plane[x + 4]
            far = ((f * plane[x + 5] + g * plane[x + 6]) + (h * plane[x + 7] + i * plane[x + 8])) + j * plane[x + 9]
            along[x] = near + far
        a, b, c, d, e = columns[k, 0], columns[k, 1], columns[k, 2], columns[k, 3], columns[k, 4]
        f, g, h, i, j = columns[k, 5], columns[k, 6], columns[k, 7], columns[k, 8], columns[k, 9]
        p1, p2, p3, p4, p5 = (
            along[across:],
            along[2 * across :],
            along[3 * across :],
            along[4 * across :],
            along[5 * across :],
        )
        p6, p7, p8, p9 = along[6 * across :], along[7 * across :], along[8 * across :], along[9 * across :]
        for x in range(len(target)):
            near = ((a * along[x] + b * p1[x]) + (c * p2[x] + d * p3[x])) + e * p4[x]
            far = ((f * p5[x] + g * p6[x]) + (h * p7[x] + i * p8[x])) + j * p9[x]
            target[x] += near + far
    return sums
