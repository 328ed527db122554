"""Finds a face's points by an ensemble of regression trees, between the pixels; a compiled reading of dlib's method.

A shape starts at the mean. Each cascade reads pixels at places that move, turn and grow with the shape so far; each of
its trees compares a few pairs of them and adds a step to the shape. The steps are summed in dlib's order and precision,
so that the points, rounded, are dlib's. Source: Kazemi and Sullivan, One Millisecond Face Alignment with an Ensemble of
Regression Trees, 2014.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compilation import compiled
from ..face import Box
from .tree_file import PIXEL_BITS, read_ensemble

_FIXED = 1024  # steps a pixel, in which OpenCV adds up where a pixel of a warped picture lies
_FINE = 32  # steps a pixel, to which it rounds the sum


class ShapePredictor:
    """A shape predictor of dlib's.

    Args:
        path: Its verified file.
        scheme: The order of its points, a key of `SCHEMES`.
    """

    colour = False

    def __init__(self, path: Path, scheme: str) -> None:
        self.scheme = scheme
        self._trees = read_ensemble(path.read_bytes(), path.name)

    def points(self, view: NDArray[np.uint8], box: Box) -> NDArray[np.float64]:
        """Find the points of the face in `box`; see `Landmarker.points`."""
        edges = float(box.x), float(box.y), float(box.w), float(box.h)  # each other type would be compiled anew
        points: NDArray[np.float64] = _find(np.ascontiguousarray(view), edges, self._trees, PIXEL_BITS)
        return points

    def points_through(
        self, picture: NDArray[np.uint8], inverse: NDArray[np.float64], side: int, box: Box
    ) -> NDArray[np.float64]:
        """Find the points in a view that is never made, and in its mirror image; see `Through`."""
        edges = float(box.x), float(box.y), float(box.w), float(box.h)
        view = inverse, side
        seen: NDArray[np.float64] = _find_through(np.ascontiguousarray(picture), view, edges, self._trees, PIXEL_BITS)
        return seen


@compiled
def _places(inverse: Any, side: Any) -> Any:
    """Give where the columns and rows of a square view lie in the picture, in steps of 1 / 1024 pixel: int64 [4, side].

    A pixel's x is the sum of its column's, first, and its row's, second; then so its y. OpenCV rounds so as well.
    """
    places = np.empty((4, side), np.int64)
    half = _FIXED // _FINE // 2  # of the step to which the sum is rounded
    for axis in range(2):
        across, down, shift = inverse[axis, 0] * _FIXED, inverse[axis, 1] * _FIXED, inverse[axis, 2] * _FIXED
        for i in range(side):
            places[2 * axis, i] = np.int64(np.rint(across * i))
            places[2 * axis + 1, i] = np.int64(np.rint(down * i + shift)) + half
    return places


@compiled
def _find_through(picture: Any, view: Any, box: Any, trees: Any, pixel_bits: Any) -> Any:
    """Give the points, float64 [2, N, 2], in a square view of a picture and in its mirror image.

    The view is told by the matrix that leads from it to the picture, and by its side.
    """
    places = _places(view[0], view[1])
    shapes = np.empty((2, len(trees.initial)), np.float32)
    shapes[:] = trees.initial
    pixels = np.empty(trees.anchors.shape[1], np.int16)
    nodes = np.empty(trees.splits.shape[1], np.uint64)
    for cascade in range(len(trees.splits)):
        around = trees.anchors[cascade], trees.deltas[cascade]
        for mirror in range(2):  # the trees are in the processor's cache for the second
            placed = shapes[mirror], _turn(trees.initial, shapes[mirror])
            _look_through(picture, (places, mirror), box, placed, around, pixels)
            _descend(trees.splits[cascade], pixel_bits, pixels, nodes)
            _step(trees.leaves[cascade], nodes, shapes[mirror])
    points = np.empty((2, shapes.shape[1] // 2, 2), np.float64)
    for mirror in range(2):
        for i in range(points.shape[1]):
            points[mirror, i, 0] = box[0] + box[2] * shapes[mirror, 2 * i]
            points[mirror, i, 1] = box[1] + box[3] * shapes[mirror, 2 * i + 1]
    return points


@compiled
def _look_through(picture: Any, view: Any, box: Any, placed: Any, around: Any, pixels: Any) -> None:
    """Fill `pixels` as `_look` does from the view, had it been made: bilinear, to 1 / 32 pixel, as OpenCV warps."""
    places, mirror = view
    shape, (cos, sin) = placed
    anchors, deltas = around
    side = places.shape[1]
    height, width = np.int64(picture.shape[0]), np.int64(picture.shape[1])
    one = np.uint64(1)
    for i in range(len(pixels)):
        anchor, right, down = np.uint64(anchors[i]) << one, deltas[i, 0], deltas[i, 1]
        x = box[0] + box[2] * (cos * right - sin * down + shape[anchor]) + 0.5
        y = box[1] + box[3] * (sin * right + cos * down + shape[anchor + one]) + 0.5
        if not (0 <= x < side and 0 <= y < side):
            pixels[i] = 0
            continue
        column, row = np.uint64(x), np.uint64(y)
        if mirror:
            column = np.uint64(side - 1) - column
        fine_x = (places[0, column] + places[1, row]) >> 5
        fine_y = (places[2, column] + places[3, row]) >> 5
        left, top, to_right, to_below = fine_x >> 5, fine_y >> 5, fine_x & 31, fine_y & 31
        if 0 <= left < width - 1 and 0 <= top < height - 1:
            x0, y0 = np.uint64(left), np.uint64(top)
            x1, y1 = x0 + one, y0 + one
        else:  # the picture's edge goes on
            x0, x1 = np.uint64(min(max(left, 0), width - 1)), np.uint64(min(max(left + 1, 0), width - 1))
            y0, y1 = np.uint64(min(max(top, 0), height - 1)), np.uint64(min(max(top + 1, 0), height - 1))
        above = (32 - to_right) * np.int64(picture[y0, x0]) + to_right * np.int64(picture[y0, x1])
        below = (32 - to_right) * np.int64(picture[y1, x0]) + to_right * np.int64(picture[y1, x1])
        pixels[i] = ((32 - to_below) * above + to_below * below + 512) >> 10


@compiled
def _find(view: Any, box: Any, trees: Any, pixel_bits: Any) -> Any:
    """Give the points, float64 [N, 2], of the face in a box (left, top, width, height) of uint8 [H, W].

    What other modules fix is an argument: compiled code that is kept on disk would not see it change.
    """
    shape = trees.initial.copy()
    pixels = np.empty(trees.anchors.shape[1], np.int16)
    nodes = np.empty(trees.splits.shape[1], np.uint64)
    for cascade in range(len(trees.splits)):
        around = trees.anchors[cascade], trees.deltas[cascade]
        _look(view, box, (shape, _turn(trees.initial, shape)), around, pixels)
        _descend(trees.splits[cascade], pixel_bits, pixels, nodes)
        _step(trees.leaves[cascade], nodes, shape)
    points = np.empty((len(shape) // 2, 2), np.float64)
    for i in range(len(points)):
        points[i, 0] = box[0] + box[2] * shape[2 * i]
        points[i, 1] = box[1] + box[3] * shape[2 * i + 1]
    return points


@compiled
def _turn(initial: Any, shape: Any) -> Any:
    """Give cosine and sine times scale of the similarity that best leads from the initial shape to another.

    Least squares in closed form (Umeyama 1991 for two dimensions).
    """
    count = len(initial) // 2
    mean_x = mean_y = to_x = to_y = 0.0
    for i in range(count):
        mean_x += initial[2 * i] / count
        mean_y += initial[2 * i + 1] / count
        to_x += shape[2 * i] / count
        to_y += shape[2 * i + 1] / count
    along = across = spread = 0.0
    for i in range(count):
        x, y = initial[2 * i] - mean_x, initial[2 * i + 1] - mean_y
        u, v = shape[2 * i] - to_x, shape[2 * i + 1] - to_y
        along += x * u + y * v
        across += x * v - y * u
        spread += x * x + y * y
    return np.float32(along / spread), np.float32(across / spread)


@compiled
def _look(view: Any, box: Any, placed: Any, around: Any, pixels: Any) -> None:
    """Fill `pixels` with the view's pixels around the points of a shape; 0 outside of it."""
    shape, (cos, sin) = placed
    anchors, deltas = around
    height, width = view.shape
    for i in range(len(pixels)):
        anchor, right, down = np.uint64(anchors[i]) << np.uint64(1), deltas[i, 0], deltas[i, 1]
        x = box[0] + box[2] * (cos * right - sin * down + shape[anchor]) + 0.5
        y = box[1] + box[3] * (sin * right + cos * down + shape[anchor + np.uint64(1)]) + 0.5
        is_inside = 0 <= x < width and 0 <= y < height
        pixels[i] = view[np.uint64(y), np.uint64(x)] if is_inside else 0


@compiled
def _descend(splits: Any, pixel_bits: Any, pixels: Any, nodes: Any) -> None:
    """Fill `nodes` with the leaf of each tree at which the pixels arrive, counted over all trees.

    All trees go down one level at a time: their steps do not wait for one another.
    """
    of_tree, one, bits = np.uint64(splits.shape[1]), np.uint64(1), np.uint64(pixel_bits)
    mask = (one << bits) - one
    flat = splits.ravel()
    nodes[:] = 0
    depth = of_tree
    while depth:
        for tree in range(np.uint64(len(splits))):
            split = np.int64(flat[tree * of_tree + nodes[tree]])
            first, second = np.uint64(split) & mask, (np.uint64(split) >> bits) & mask
            is_right = pixels[first] - pixels[second] <= split >> 2 * pixel_bits
            nodes[tree] += nodes[tree] + one + np.uint64(is_right)
        depth >>= one
    for tree in range(np.uint64(len(splits))):
        nodes[tree] += tree * (of_tree + one) - of_tree


@compiled
def _step(leaves: Any, chosen: Any, shape: Any) -> None:
    """Add the chosen leaf of each tree to the shape, one after another; four a round, which reads the shape once."""
    fours = len(chosen) // 4 * 4
    for i in range(0, fours, 4):
        a, b, c, d = leaves[chosen[i]], leaves[chosen[i + 1]], leaves[chosen[i + 2]], leaves[chosen[i + 3]]
        for k in range(len(shape)):
            shape[k] = (((shape[k] + a[k]) + b[k]) + c[k]) + d[k]
    for i in range(fours, len(chosen)):
        a = leaves[chosen[i]]
        for k in range(len(shape)):
            shape[k] += a[k]
