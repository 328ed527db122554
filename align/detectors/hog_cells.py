"""Cells of gradients: how much of a picture's change lies in which direction, compiled.

Each pixel's gradient is added to the four cells around it, in the one of 18 directions that it is nearest to. Each cell
is then measured against the four squares of cells that it belongs to. Sources: Dalal and Triggs 2005; Felzenszwalb et
al., Object Detection with Discriminatively Trained Part-Based Models, 2010; the steps, and where they are rounded, are
those of dlib's fhog.h and interpolation.h, so that its detector's weights fit.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compilation import compiled
from .hog_model import CELL, PLANES, WINDOW

DIRECTIONS = 18

BEFORE = (WINDOW - 1) // 2
"""Cells of nothing before the first one, each way: a window may reach beyond the picture."""

_TABLE_SIDE = 512  # gradients from -256 to 255 along x and y
_COSINES = (1.0, 0.9397, 0.7660, 0.5, 0.1736, -0.1736, -0.5, -0.7660, -0.9397)
_SINES = (0.0, 0.3420, 0.6428, 0.8660, 0.9848, 0.9848, 0.8660, 0.6428, 0.3420)
_NOTHING = 0.0001  # so that a flat picture is not divided by 0
_MOST = 0.2  # of a square's gradients in one direction
_TEXTURE = 0.2357


def cells(picture: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Describe a picture by its cells.

    Args:
        picture: uint8 [H, W].

    Returns:
        float32 [31, rows, columns], with `BEFORE` cells of nothing above and left and one more below and right; None
        where the picture is too small to have a cell with neighbours.
    """
    rows, columns = (int(side / CELL + 0.5) for side in picture.shape)
    if rows < 3 or columns < 3:
        return None
    planes = np.zeros((PLANES, rows - 2 + WINDOW - 1, columns - 2 + WINDOW - 1), np.float32)
    histograms = _histograms(_plain(picture), *_gradients(), (rows, columns))
    _describe(histograms, planes, (rows, columns, BEFORE), (_NOTHING, _MOST, _TEXTURE))
    return planes


def shrink(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce a picture, uint8 [H, W], to five sixths, as dlib's `pyramid_down<6>` does."""
    smaller = np.empty((5 * picture.shape[0] // 6, 5 * picture.shape[1] // 6), np.uint8)
    _shrink(_plain(picture), smaller)
    return smaller


def _plain(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the picture in one piece and writable: each other kind of array would be compiled anew, for seconds."""
    return np.require(picture, requirements=["C", "W"])


@cache
def _gradients() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Give the direction, 0 to 17, and the length of each gradient, by its place: (y + 256) * 512 + x + 256."""
    steps = np.arange(_TABLE_SIDE, dtype=np.float32) - _TABLE_SIDE // 2
    x, y = np.meshgrid(steps, steps)
    best = np.zeros_like(x)
    direction = np.zeros(x.shape, np.uint8)
    for number, (cosine, sine) in enumerate(zip(_COSINES, _SINES, strict=True)):
        along = x * np.float32(cosine) + y * np.float32(sine)
        for there, length in ((number, along), (number + len(_COSINES), -along)):
            is_nearer = length > best
            direction[is_nearer] = there
            best = np.maximum(best, length)
    return direction.ravel(), np.sqrt(x * x + y * y).ravel()


@compiled
def _histograms(picture: Any, directions: Any, lengths: Any, shape: Any) -> Any:
    """Add the gradients up: float32 [rows + 2, 18 * (columns + 2)], each row direction by direction, a cell around.

    A row of pixels is added up along x first, in two tables, so that neighbours of one direction do not wait for each
    other; then it goes to the two rows of cells that it lies between.
    """
    height, width = picture.shape
    across = shape[1] + 2
    histograms = np.zeros((shape[0] + 2, 18 * across), np.float32)
    sums = np.zeros((2, 18 * across), np.float32)
    cell = np.empty(width, np.uint64)
    share = np.empty(width, np.float32)
    for x in range(width):
        cell[x] = (x + 4) >> 3
        share[x] = np.float32((x + 4) % 8 + 0.5) / np.float32(8)
    one, wide = np.uint64(1), np.uint64(across)
    for y in range(1, min(8 * shape[0], height) - 1):
        sums[:] = 0
        above, here, below = picture[y - 1], picture[y], picture[y + 1]
        for x in range(1, min(8 * shape[1], width) - 1):
            down, right = np.int64(below[x]) - np.int64(above[x]), np.int64(here[x + 1]) - np.int64(here[x - 1])
            gradient = np.uint64(((down + 256) << 9) + right + 256)
            length, first = lengths[gradient], np.uint64(directions[gradient]) * wide + cell[x]
            to_next = share[x] * length
            sums[x & 1, first] += length - to_next
            sums[x & 1, first + one] += to_next
        to_next = np.float32((y + 4) % 8 + 0.5) / np.float32(8)
        to_this = np.float32(1) - to_next
        even, odd = sums[0], sums[1]
        this, following = histograms[(y + 4) >> 3], histograms[((y + 4) >> 3) + 1]
        for i in range(len(even)):
            both = even[i] + odd[i]
            this[i] += to_this * both
            following[i] += to_next * both
    return histograms


@compiled
def _energies(histograms: Any, shape: Any) -> Any:
    """Give the squared length of each cell's histogram, signs left aside: float32 [rows, columns]."""
    rows, columns = shape
    energies = np.zeros((rows, columns), np.float32)
    for row in range(rows):
        energy = energies[row]
        for direction in range(9):
            start = direction * (columns + 2) + 1
            there = histograms[row + 1, start : start + columns]
            start += 9 * (columns + 2)
            back = histograms[row + 1, start : start + columns]
            for x in range(columns):
                energy[x] += (there[x] + back[x]) * (there[x] + back[x])
    return energies


@compiled
def _describe(histograms: Any, planes: Any, shape: Any, constants: Any) -> None:
    """Fill the planes: each direction is cut off, and divided by, the energy of each of four squares of cells."""
    rows, columns, before = shape
    nothing, most, texture = np.float32(constants[0]), np.float32(constants[1]), np.float32(2 * constants[2])
    half = np.float32(0.5) * most
    energies = _energies(histograms, (rows, columns))
    count = columns - 2
    limits, scales = np.empty((4, count), np.float32), np.empty((4, count), np.float32)
    totals, value = np.empty((8, count), np.float32), np.empty(count, np.float32)
    for y in range(rows - 2):
        for k in range(4):  # the square from this cell to the right and below; right and above; left and below; above
            left = 1 - (k >> 1)
            upper, lower = energies[y + 1 - (k & 1), left:], energies[y + 2 - (k & 1), left:]
            limit, scale = limits[k], scales[k]
            for x in range(count):
                limit[x] = most * np.sqrt(upper[x] + upper[x + 1] + lower[x] + lower[x + 1] + nothing)
                scale[x] = half / limit[x]
        totals[:] = 0
        for plane in range(27):
            there = histograms[y + 2, plane % 18 * (columns + 2) + 2 :]
            back = histograms[y + 2, (plane % 18 + 9) % 18 * (columns + 2) + 2 :]
            weight = np.float32(plane >= 18)  # of the opposite direction, where the sign is left aside
            for x in range(count):
                value[x] = there[x] + weight * back[x]
            target = planes[plane, y + before, before:]
            for k in range(4):
                limit, scale, total = limits[k], scales[k], totals[k + 4 * (plane >= 18)]
                for x in range(count):
                    part = min(value[x], limit[x]) * scale[x]
                    target[x] += part
                    total[x] += part
        for k in range(4):
            target, total = planes[27 + k, y + before, before : before + count], totals[k]
            for x in range(count):
                target[x] = texture * total[x]


@compiled
def _shrink(picture: Any, smaller: Any) -> None:
    """Fill a smaller picture bilinearly: the corners stay where they are.

    dlib adds up places four columns at a time in single precision and rounds; the last few columns, which it takes one
    by one, are cut off. So here, or flat parts would differ by one grey level.
    """
    height, width = picture.shape
    down, across = smaller.shape
    step_x, step_y = (width - 1) / max(across - 1, 1), (height - 1) / max(down - 1, 1)
    lefts, shares = np.empty(across, np.uint32), np.empty(across, np.float32)
    rounded = 0
    places = np.array([-4 * step_x, -4 * step_x + step_x, -4 * step_x + 2 * step_x, -4 * step_x + 3 * step_x])
    of_four = places.astype(np.float32)
    while True:
        of_four += np.float32(4 * step_x)
        if np.int64(of_four[3]) + 1 >= width or rounded + 4 > across:
            break
        for k in range(4):
            lefts[rounded + k] = np.uint32(of_four[k])
            shares[rounded + k] = of_four[k] - np.float32(np.uint32(of_four[k]))
        rounded += 4
    upper, lower = np.empty(width, np.float32), np.empty(width, np.float32)
    y = -step_y
    one = np.uint32(1)
    for row in range(down):
        y += step_y
        top = min(np.int64(y), height - 1)
        share_y = y - top
        below, above = np.float32(share_y), np.float32(1 - share_y)
        first, second, target = picture[top], picture[min(top + 1, height - 1)], smaller[row]
        for x in range(width):
            upper[x], lower[x] = first[x], second[x]
        for x in range(rounded):
            left, right, share = lefts[x], lefts[x] + one, shares[x]
            rest = np.float32(1) - share
            value = (above * rest) * upper[left] + (above * share) * upper[right]
            value = (value + (below * rest) * lower[left]) + (below * share) * lower[right]
            target[x] = np.uint8(np.int32(value + np.float32(0.5)))
        place = -step_x + rounded * step_x
        for x in range(rounded, across):
            place += step_x
            left, right = min(np.int64(place), width - 1), min(np.int64(place) + 1, width - 1)
            share = np.float32(place - np.int64(place))
            rest = np.float32(1) - share
            value_above = rest * upper[left] + share * upper[right]
            value_below = rest * lower[left] + share * lower[right]
            target[x] = np.uint8(np.float32((1 - share_y) * value_above + share_y * value_below))
