"""Pillow's Lanczos resize for many pictures of one size at once, bit for bit.

The pictures go through Pillow's fixed-point arithmetic in one compiled pass. That pass must first reproduce the
installed Pillow on a noise picture of the size in question; where it does not, Pillow itself resizes.
"""

import math
from functools import lru_cache, reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .compiled import compiled

Pixels = NDArray[np.uint8]
_Taps = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]

_FIXED_BITS = 22  # Pillow's fixed point: 32 bits less 8 of the pixel and 2 of headroom
_UNROLL = 4


def shrink(stack: Pixels, to: tuple[int, int], *, worth_compiling: bool) -> Pixels:
    """Turn uint8 [N, H, W, channels] to grey and resize it to (width, height) as Pillow's Lanczos filter does."""
    order = order_of_passes(stack.shape[1:], to) if worth_compiling else None
    if order is None:
        return np.stack([pillow_shrink(picture, to) for picture in stack])
    return compiled_shrink(stack, to, vertical_first=order == "vertical first")


def pillow_shrink(picture: Pixels, to: tuple[int, int]) -> Pixels:
    """Let Pillow turn uint8 [H, W, channels] to grey and resize it to (width, height)."""
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.convert("L").resize(to, Image.Resampling.LANCZOS))


@lru_cache(maxsize=256)
def order_of_passes(shape: tuple[int, ...], to: tuple[int, int]) -> str | None:
    """Find the order in which the compiled passes reproduce the installed Pillow at this size; None where neither does.

    Pillow went across, then down, up to release 12; from 13 on it begins with the side that shrinks more by far.
    """
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    noise[1] = np.where(noise[1] < 128, 0, 255)  # the overshoot of the filter is clipped here
    wanted = np.stack([pillow_shrink(picture, to) for picture in noise])
    for order in ("horizontal first", "vertical first"):
        if np.array_equal(compiled_shrink(noise, to, vertical_first=order == "vertical first"), wanted):
            return order
    return None


def compiled_shrink(stack: Pixels, to: tuple[int, int], *, vertical_first: bool) -> Pixels:
    """Do the same for uint8 [N, H, W, channels] in the compiled passes, in either order."""
    across, down = _lanczos_taps(stack.shape[2], to[0]), _lanczos_taps(stack.shape[1], to[1])
    first, second = (down, across) if vertical_first else (across, down)
    out = np.empty((len(stack), len(second[0]), len(first[0])), np.uint8)
    _shrink_stack(stack, first, second, out, int(vertical_first))
    return out.transpose(0, 2, 1) if vertical_first else out


@lru_cache(maxsize=256)
def _lanczos_taps(n: int, to: int) -> _Taps:
    """Give Pillow's filter from `n` pixels to `to`: first pixels and counts [to], fixed-point taps [to, k].

    The order of the floating-point operations is that of Pillow's Resample.c; taps are followed by zeros.
    """
    scale = n / to
    stretch = max(scale, 1.0)
    reach = 3.0 * stretch
    starts, sizes = np.zeros(to, np.int32), np.zeros(to, np.int32)
    taps = np.zeros((to, (math.ceil(reach) * 2 // _UNROLL + 1) * _UNROLL), np.int32)
    for cell in range(to):
        centre = (cell + 0.5) * scale
        start, stop = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), n)
        weights = [_lanczos((pixel - centre + 0.5) * (1.0 / stretch)) for pixel in range(start, stop)]
        total = reduce(add, weights)
        fixed = [weight / total * (1 << _FIXED_BITS) for weight in weights]
        starts[cell], sizes[cell] = start, stop - start
        taps[cell, : stop - start] = [int(tap + math.copysign(0.5, tap)) for tap in fixed]
    return starts, sizes, taps


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0


def _sinc(x: float) -> float:
    return math.sin(x * math.pi) / (x * math.pi) if x else 1.0


@compiled
def _shrink_stack(stack: Pixels, first: _Taps, second: _Taps, out: Pixels, vertical_first: int) -> None:
    """Fill `out` [N, second, first] with `stack` [N, H, W, channels] in grey, resized by one side, then the other."""
    count, height, width, channels = stack.shape
    rows, columns = (height, width) if vertical_first else (width, height)
    grey = np.zeros((rows + _UNROLL, columns), np.int32)
    half = np.zeros((columns + _UNROLL, len(first[0])), np.int32)
    sums = np.empty(max(columns, len(first[0])), np.int32)
    line = np.empty(width, np.int32)
    for i in range(count):
        for y in range(height):
            picture_row = stack[i, y]
            for x in range(width):
                line[x] = picture_row[x, 0]
            if channels == 3:  # Pillow's luma: ITU-R 601-2 in 16-bit fixed point
                for x in range(width):
                    green, blue = np.int32(picture_row[x, 1]), np.int32(picture_row[x, 2])
                    line[x] = (line[x] * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
            if vertical_first:
                grey[y] = line
            else:
                grey[:width, y] = line
        _resize_rows(grey, first, sums, half)
        _resize_rows(half, second, sums, out[i].T)


@compiled
def _resize_rows(source: NDArray[np.int32], side: _Taps, sums: NDArray[np.int32], out: NDArray[Any]) -> None:
    """Fill `out` [columns, to] with weighted sums of the rows of `source`, rounded and clipped to 0..255."""
    starts, sizes, taps = side
    columns = source.shape[1]
    for cell in range(len(starts)):
        sums[:columns] = 1 << (_FIXED_BITS - 1)
        for tap in range(0, sizes[cell], _UNROLL):
            t0, t1, t2, t3 = taps[cell, tap], taps[cell, tap + 1], taps[cell, tap + 2], taps[cell, tap + 3]
            row = starts[cell] + tap
            r0, r1, r2, r3 = source[row], source[row + 1], source[row + 2], source[row + 3]
            for x in range(columns):
                sums[x] += t0 * r0[x] + t1 * r1[x] + t2 * r2[x] + t3 * r3[x]
        for x in range(columns):
            out[x, cell] = min(max(sums[x] >> _FIXED_BITS, 0), 255)
