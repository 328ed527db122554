"""Reads the shape predictors that dlib writes.

Such a file is a run of dlib's numbers: a version; the initial shape; for each cascade its trees, each a list of splits
(two pixels and a threshold) and a list of leaves (a step of the whole shape); for each cascade the point to which each
pixel belongs; and for each cascade how far from that point it lies. Source of the layout: dlib's shape_predictor.h.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..dlib_stream import Stream

PIXEL_BITS = 11
"""Bits that number a pixel: dlib's own predictors have 500 and 800."""

_VERSION = 1
_FEWEST = 2  # points that tell a turn
_MOST = 1 << PIXEL_BITS  # cascades, trees, pixels
_SPLIT = 4  # two pixels, mantissa and exponent
_REAL = 2
_HEAD = 2  # rows and columns of a matrix, which dlib writes negative
_FURTHEST = 256  # no two pixels differ by as much


class Ensemble(NamedTuple):
    """Regression trees in cascades: C cascades of T trees of L leaves, which look at F pixels, for N points.

    Attributes:
        initial: float32 [2 * N], x and y of each point in turn, as shares of the box.
        anchors: uint16 [C, F], the point to which each pixel belongs.
        deltas: float32 [C, F, 2], where it lies from there in the initial shape.
        splits: int32 [C, T, L - 1], a pixel in the lowest `PIXEL_BITS` bits, another in the next, a threshold above; go
            left where the first is larger by more than that. Node i of a tree has the children 2 * i + 1 and 2 * i + 2.
            So packed, a cascade's splits fit the first cache.
        leaves: float32 [C, T * L, 2 * N], what is added to the shape, tree by tree.
    """

    initial: NDArray[np.float32]
    anchors: NDArray[np.uint16]
    deltas: NDArray[np.float32]
    splits: NDArray[np.int32]
    leaves: NDArray[np.float32]


def read_ensemble(data: bytes, name: str) -> Ensemble:
    """Read a shape predictor.

    Args:
        data: The whole file.
        name: The file's name, for errors.

    Returns:
        The trees.

    Raises:
        ModelError: The bytes end early, do not follow the layout, or the trees differ in size.
    """
    stream = Stream(data, name, "a shape predictor of dlib's")
    if (version := stream.integer()) != _VERSION:
        raise stream.wrong(f"version {_VERSION}", version)
    rows, columns = stream.integers(_HEAD)
    if columns != -1 or rows > -2 * _FEWEST or rows % 2:
        raise stream.wrong(f"a column of x and y of {_FEWEST} points or more", f"{-rows} x {-columns} numbers")
    initial = stream.reals(-rows)
    forests = [_forest(stream, len(initial)) for _ in range(_count(stream))]
    pixels, thresholds, leaves = (_stacked(stream, part, len(forests)) for part in zip(*forests, strict=True))
    anchors = _stacked(stream, [stream.many(_count(stream)) for _ in range(_count(stream))], len(forests))
    deltas = _stacked(stream, [stream.reals(2 * _count(stream)) for _ in range(_count(stream))], len(forests))
    if stream.at != len(data):
        raise stream.wrong("the end", f"{len(data) - stream.at} bytes more")
    _require_below(stream, "points", anchors, len(initial) // 2)
    _require_below(stream, "pixels", pixels, anchors.shape[1])
    splits = (thresholds << 2 * PIXEL_BITS) | (pixels[..., 1] << PIXEL_BITS) | pixels[..., 0]
    deltas = deltas.reshape(*anchors.shape, 2)
    return Ensemble(initial, anchors.astype(np.uint16), deltas, splits.astype(np.int32), leaves)


def _count(stream: Stream) -> int:
    """Read how many there are of what follows."""
    count = stream.integer()
    if not 1 <= count <= _MOST:
        raise stream.wrong(f"a number from 1 to {_MOST}", count)
    return count


def _forest(stream: Stream, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Read the trees of one cascade, all as deep as the first.

    Returns:
        The pixels that they compare, [T, L - 1, 2], their thresholds, [T, L - 1], and their leaves, [T * L, size].
    """
    count, start = _count(stream), stream.at
    nodes = _count(stream)
    ends = nodes + 1
    if ends & nodes:
        raise stream.wrong("as many splits as a full tree has", nodes)
    stream.at = start
    of_splits, of_leaf = nodes * _SPLIT, _HEAD + size * _REAL
    trees = stream.many(count * (2 + of_splits + ends * of_leaf)).reshape(count, -1)
    leaves = trees[:, 2 + of_splits :].reshape(-1, of_leaf)
    are_alike = (trees[:, 0] == nodes).all() and (trees[:, 1 + of_splits] == ends).all()
    if not are_alike or (leaves[:, :_HEAD] != (-size, -1)).any():
        raise stream.wrong(f"before it {count} trees of {nodes} splits and {ends} leaves of {size} numbers", "others")
    splits = trees[:, 1 : 1 + of_splits].reshape(count, nodes, _SPLIT)
    # one whole number is more than another by more than a threshold where it is by more than the whole number below it
    thresholds = np.floor(stream.as_reals(splits[..., 2:])[..., 0]).clip(-_FURTHEST, _FURTHEST)
    return splits[..., :2], thresholds.astype(np.int64), stream.as_reals(leaves[:, _HEAD:])


def _stacked(stream: Stream, parts: Sequence[NDArray[Any]], cascades: int) -> NDArray[Any]:
    """Put the parts of all cascades into one array."""
    shapes = {part.shape for part in parts}
    if len(parts) != cascades or len(shapes) != 1:
        raise stream.wrong(f"before it {cascades} cascades of one size", f"{len(parts)} of {len(shapes)} sizes")
    return np.stack(parts)


def _require_below(stream: Stream, what: str, places: NDArray[Any], count: int) -> None:
    if places.min() < 0 or places.max() >= count:
        raise stream.wrong(f"before it {what} from 0 to {count - 1}", f"{places.min()} to {places.max()}")
