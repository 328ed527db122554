"""The same augmentation on a CPU, compiled: a thread takes a picture from its bytes to the end while it is in cache.

Torch's operations, one after the other, wait for all threads at the end of each, which on a shared machine costs more
than the work, and each brings the whole batch through memory.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from align import compiled

from .colour import FILL_MEAN, FILL_STD, LUMA, WHITE, bank
from .detail import BLUR_REACH, shrink_matrix

_AT_ONCE = 8
"""Pictures that a thread takes before it asks for more: so few that no thread waits long for the last one."""


class Inputs(NamedTuple):
    """What the compiled steps read; numpy arrays, the first dimension of all but `shrink` and `bank` is N."""

    images: Any
    matrices: Any
    shrink_at: Any
    sigma_px: Any
    saturation: Any
    contrast: Any
    brightness: Any
    noise: Any
    noise_starts: Any
    boxes: Any
    fill_starts: Any
    shrink: Any
    bank: Any


def augment_on_cpu(images: Tensor, draws: Any) -> Tensor:
    """Augment a batch by as many threads as torch has.

    Args:
        images: uint8 [N, 3, S, S], on the CPU.
        draws: `Draws`, of what to do.

    Returns:
        float32 [N, 3, S, S].
    """
    count, side = len(images), images.shape[-1]
    sides, shrink_at = draws.sides_px.unique(return_inverse=True)
    shrink = [shrink_matrix(side, small) for small in sides.tolist()]
    steps = (
        images,
        _in_pixels(draws.matrices, side),
        torch.where(draws.sides_px < side, shrink_at, -1),
        draws.sigma_px,
        draws.saturation,
        draws.contrast,
        draws.brightness,
        draws.noise,
        draws.noise_starts,
        draws.boxes,
        draws.fill_starts,
        torch.stack(shrink) if shrink else torch.zeros(0, side, side),
        bank(images[0].numel(), images.device) if count else torch.zeros(1),
    )
    inputs = Inputs(*(tensor.contiguous().numpy() for tensor in steps))
    constants = np.array([*LUMA, WHITE, FILL_MEAN, FILL_STD, BLUR_REACH], np.float32)
    out = np.empty(images.shape, np.float32)  # in huge pages, which torch does not ask for
    starts = iter(range(0, count, _AT_ONCE))

    def work() -> None:
        for start in starts:  # shared: each start goes to the thread that asks first
            _augment(inputs, (start, min(start + _AT_ONCE, count)), constants, out)

    helpers = min(torch.get_num_threads(), -(-count // _AT_ONCE)) - 1
    helping = [_pool(os.getpid(), helpers).submit(work) for _ in range(helpers)]
    work()
    for helper in helping:
        helper.result()
    return torch.from_numpy(out)


def _in_pixels(matrices: Tensor, side: int) -> Tensor:
    """Bring matrices of coordinates from -1 to 1 to pixels, the centre of the first one at 0; float64."""
    half = side / 2
    to_pixels = np.array([[half, 0, half - 0.5], [0, half, half - 0.5], [0, 0, 1]])
    return torch.from_numpy(to_pixels @ matrices.double().numpy() @ np.linalg.inv(to_pixels))


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a fork has no threads of its parent's
    """Keep threads for the next batch: to start them costs as much as several pictures."""
    return ThreadPoolExecutor(threads, "augment")


@compiled
def _augment(inputs: Any, part: Any, constants: Any, out: Any) -> None:
    """Augment the pictures of a batch from the first of `part` up to the second."""
    side = out.shape[-1]
    words = np.zeros(side * side + side + 1, np.uint32)
    line = (np.empty(side, np.uint32), np.empty(side, np.float32), np.empty(side, np.float32))
    corners = np.empty((4, side), np.uint32)
    for n in range(part[0], part[1]):
        picture = out[n]
        _join(inputs.images[n], words)
        _warp((words, line, corners), inputs.matrices[n], picture)
        if inputs.shrink_at[n] >= 0:
            _lose_detail(picture, inputs.shrink[inputs.shrink_at[n]])
        if inputs.sigma_px[n] > 0:
            _lose_detail(picture, _blur_matrix(side, inputs.sigma_px[n], constants[6]))
        tint = (inputs.saturation[n], inputs.contrast[n], inputs.brightness[n])
        start = inputs.noise_starts[n]
        values = picture.size
        noise = inputs.bank[start : start + values].reshape(picture.shape)
        _finish(picture, tint, inputs.noise[n], noise, constants)
        fill = inputs.bank[inputs.fill_starts[n] : inputs.fill_starts[n] + values].reshape(picture.shape)
        _erase(picture, inputs.boxes[n], fill, constants)


@compiled
def _join(image: Any, words: Any) -> None:
    """Put the three bytes of each pixel into one word, so that one access reads a pixel."""
    size = image.shape[1] * image.shape[2]
    red, green, blue = image[0].reshape(size), image[1].reshape(size), image[2].reshape(size)
    for i in range(size):
        words[i] = np.uint32(red[i]) | np.uint32(green[i]) << np.uint32(8) | np.uint32(blue[i]) << np.uint32(16)


@compiled
def _warp(room: Any, matrix: Any, out: Any) -> None:
    """Resample one picture, bilinear; its border is repeated.

    Each loop is one that the compiler turns into vector instructions, or one that only reads words from many places.
    """
    words, line, corners = room
    first, right_by, below_by = line
    side = out.shape[-1]
    byte, low = np.uint32(8), np.uint32(255)
    for y in range(side):
        _look_up(matrix, y, side, line)
        for corner, beyond in enumerate((0, 1, side, side + 1)):
            found = corners[corner]
            for x in range(side):
                found[x] = words[np.uint64(first[x]) + np.uint64(beyond)]
        red, green, blue = out[0, y], out[1, y], out[2, y]
        for x in range(side):
            d = right_by[x] * below_by[x]
            b, c = right_by[x] - d, below_by[x] - d
            a = np.float32(1) - right_by[x] - c
            p, q, r, s = corners[0, x], corners[1, x], corners[2, x], corners[3, x]
            red[x] = _real(p & low) * a + _real(q & low) * b + _real(r & low) * c + _real(s & low) * d
            p, q, r, s = p >> byte, q >> byte, r >> byte, s >> byte
            green[x] = _real(p & low) * a + _real(q & low) * b + _real(r & low) * c + _real(s & low) * d
            p, q, r, s = p >> byte, q >> byte, r >> byte, s >> byte
            blue[x] = _real(p) * a + _real(q) * b + _real(r) * c + _real(s) * d


@compiled
def _real(word: Any) -> Any:
    """Convert by way of a signed integer, for which there is a vector instruction."""
    return np.float32(np.int32(word))


@compiled
def _look_up(matrix: Any, y: Any, side: Any, line: Any) -> None:
    """Find where each pixel of a line comes from: the first of four pixels, and how far it lies from there."""
    first, right_by, below_by = line
    ax, ay, az = np.float32(matrix[0, 0]), np.float32(matrix[1, 0]), np.float32(matrix[2, 0])
    bx = np.float32(matrix[0, 1] * y + matrix[0, 2])
    by = np.float32(matrix[1, 1] * y + matrix[1, 2])
    bz = np.float32(matrix[2, 1] * y + matrix[2, 2])
    none, last = np.float32(0), np.float32(side - 1)
    for x in range(side):
        at = np.float32(np.int32(x))
        depth = np.divide(np.float32(1), az * at + bz)  # unlike / it raises nothing, which would keep the loop scalar
        at_x = min(max((ax * at + bx) * depth, none), last)
        at_y = min(max((ay * at + by) * depth, none), last)
        left, top = np.int32(at_x), np.int32(at_y)
        first[x] = np.uint32(top * np.int32(side) + left)
        right_by[x] = at_x - np.float32(left)
        below_by[x] = at_y - np.float32(top)


@compiled
def _blur_matrix(side: Any, sigma_px: Any, reach: Any) -> Any:
    """Build the matrix that blurs a column; weights at the ends are brought to a sum of 1."""
    matrix = np.zeros((side, side), np.float32)
    taps = np.zeros(side, np.float32)
    count = 0
    for away in range(side):
        distance = np.float32(away) / max(sigma_px, np.float32(1e-3))
        if distance > reach:
            break
        taps[away] = np.exp(np.float32(-0.5) * distance * distance)
        count += 1
    for y in range(side):
        first, after = max(0, y - count + 1), min(side, y + count)
        for k in range(first, after):
            matrix[y, k] = taps[abs(y - k)]
        matrix[y] /= matrix[y, first:after].sum()
    return matrix


@compiled
def _lose_detail(picture: Any, matrix: Any) -> None:
    """Multiply the columns and the rows of one picture by a matrix."""
    side = len(matrix)
    first, after = np.full(side, side), np.zeros(side, np.int64)  # of the weights of a row, the others are zero
    for y in range(side):
        for k in range(side):
            if matrix[y, k] != 0:
                first[y], after[y] = min(first[y], k), k + 1
    for channel in range(3):
        columns_done = _multiply(matrix, (first, after), picture[channel])
        picture[channel] = _multiply(matrix, (first, after), columns_done.T.copy()).T


@compiled
def _multiply(matrix: Any, within: Any, plane: Any) -> Any:
    """Multiply a square matrix, of which only a part of each row is not zero, by a plane."""
    side = len(matrix)
    first, after = within
    product = np.zeros((side, side), np.float32)
    for y in range(side):
        row = product[y]
        for k in range(first[y], after[y]):
            weight, line = matrix[y, k], plane[k]
            for x in range(side):
                row[x] += weight * line[x]
    return product


@compiled
def _finish(picture: Any, tint: Any, deviation: Any, noise: Any, constants: Any) -> None:
    """Recolour one picture, add its noise and clamp it to the scale."""
    saturation, contrast, brightness = tint
    red, green, blue, white = constants[0], constants[1], constants[2], constants[3]
    height, width = picture.shape[1:]
    sums = np.zeros((3, width), np.float32)
    for channel in range(3):
        for y in range(height):
            for x in range(width):
                sums[channel, x] += picture[channel, y, x]
    means = [sums[channel].sum() / np.float32(height * width) for channel in range(3)]
    luma = red * means[0] + green * means[1] + blue * means[2]
    rest = np.float32(1) - saturation
    mean = saturation * (means[0] + means[1] + means[2]) / np.float32(3) + rest * luma
    offset = mean * (np.float32(1) - contrast) + brightness
    own, shared = contrast * saturation, contrast * rest
    for y in range(height):
        for x in range(width):
            r, g, b = picture[0, y, x], picture[1, y, x], picture[2, y, x]
            base = shared * (red * r + green * g + blue * b) + offset
            picture[0, y, x] = min(max(own * r + base + deviation * noise[0, y, x], np.float32(0)), white)
            picture[1, y, x] = min(max(own * g + base + deviation * noise[1, y, x], np.float32(0)), white)
            picture[2, y, x] = min(max(own * b + base + deviation * noise[2, y, x], np.float32(0)), white)


@compiled
def _erase(picture: Any, box: Any, fill: Any, constants: Any) -> None:
    """Cover a rectangle of one picture with noise."""
    white, middle, spread = constants[3], constants[4], constants[5]
    for channel in range(3):
        for y in range(box[0], box[2]):
            for x in range(box[1], box[3]):
                value = middle + spread * fill[channel, y, x]
                picture[channel, y, x] = min(max(value, np.float32(0)), white)
