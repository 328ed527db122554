"""Pillow's Lanczos resize for many pictures of one size at once, bit for bit.

The pictures go through Pillow's fixed-point arithmetic in one compiled pass. That pass must first reproduce the
installed Pillow on a noise picture of the size in question; where it does not, Pillow itself resizes.
"""

import math
from functools import lru_cache, reduce
from operator import add

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from align import compiled

Pixels = NDArray[np.uint8]
_Taps = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]

_FIXED_BITS = 22  # Pillow's fixed point: 32 bits less 8 of the pixel and 2 of headroom
_UNROLL = 4
_BLOCK_PIXELS = 1 << 18


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
    """Do the same for uint8 [N, H, W, channels] in the compiled passes, in either order.

    A pass weighs whole rows of pixels, which suits the processor; to go across, pictures are laid on their side. A few
    pictures are done at a time, so that what is between the passes stays in the processor's cache.
    """
    count, height, width, channels = stack.shape
    across, down = _lanczos_taps(width, to[0]), _lanczos_taps(height, to[1])
    out = np.empty((count, to[1], to[0]), np.uint8)
    step = max(1, _BLOCK_PIXELS // (height * width))
    for start in range(0, count, step):
        part = stack[start : start + step]
        if channels == 1:
            grey = part[..., 0]
        else:
            grey = np.empty(part.shape[:3], np.uint8)
            _to_grey(part.reshape(-1), grey.reshape(-1))
        if vertical_first:
            out[start : start + step] = _resize_across(_resize_down(grey, down), across)
        else:
            out[start : start + step] = _resize_down(_resize_across(grey, across), down)
    return out


def _resize_across(stack: Pixels, side: _Taps) -> Pixels:
    """Resize uint8 [N, H, W] to [N, H, to]: pictures side by side, each lying, are one picture to resize down."""
    count, height, width = stack.shape
    lying = cv2.transpose(np.ascontiguousarray(stack).reshape(count * height, width))
    resized = _resize_down(lying.reshape(1, width, count * height), side)
    return np.asarray(cv2.transpose(resized[0]), np.uint8).reshape(count, height, -1)


def _resize_down(stack: Pixels, side: _Taps) -> Pixels:
    """Resize uint8 [N, H, W] to [N, to, W]."""
    count, height, width = stack.shape
    padded = np.zeros((count * height + _UNROLL, width), np.uint8)  # a group of taps may reach beyond the last row
    padded[: count * height] = stack.reshape(count * height, width)
    out = np.empty((count, len(side[0]), width), np.uint8)
    _resize_rows(padded, side, np.empty(width, np.int32), out)
    return out


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
def _to_grey(colours: Pixels, grey: Pixels) -> None:
    """Fill `grey` [P] from `colours` [3 * P] with Pillow's luma: ITU-R 601-2 in 16-bit fixed point."""
    for x in range(len(grey)):
        red, green, blue = np.uint32(colours[3 * x]), np.uint32(colours[3 * x + 1]), np.uint32(colours[3 * x + 2])
        total = red * np.uint32(19595) + green * np.uint32(38470) + blue * np.uint32(7471) + np.uint32(0x8000)
        grey[x] = total >> np.uint32(16)


@compiled
def _resize_rows(stacked: Pixels, side: _Taps, sums: NDArray[np.int32], out: Pixels) -> None:
    """Fill `out` [N, to, W] with weighted sums of the rows of N pictures one below the other, rounded and clipped."""
    starts, sizes, taps = side
    height = (len(stacked) - _UNROLL) // len(out)
    columns = stacked.shape[1]
    for i in range(len(out)):
        for cell in range(len(starts)):
            sums[:] = 1 << (_FIXED_BITS - 1)
            for tap in range(0, sizes[cell], _UNROLL):
                t0, t1, t2, t3 = taps[cell, tap], taps[cell, tap + 1], taps[cell, tap + 2], taps[cell, tap + 3]
                row = i * height + starts[cell] + tap
                r0, r1, r2, r3 = stacked[row], stacked[row + 1], stacked[row + 2], stacked[row + 3]
                for x in range(columns):
                    sums[x] += t0 * r0[x] + t1 * r1[x] + t2 * r2[x] + t3 * r3[x]
            line = out[i, cell]
            for x in range(columns):
                line[x] = min(max(sums[x] >> _FIXED_BITS, 0), 255)
