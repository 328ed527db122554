"""The same augmentation on a CPU, compiled: a thread takes a picture from its bytes to the end while it is in cache.

Torch's operations, one after the other, wait for all threads at the end of each, which on a shared machine costs more
than the work, and each brings the whole batch through memory.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from align import compiled

from .colour import FILL_MEAN, FILL_STD, LUMA, WHITE, bank
from .detail import detail_matrices, loses_detail


class Inputs(NamedTuple):
    """What the compiled steps read; numpy arrays, the first dimension of all but `bank` is N."""

    images: Any
    matrices: Any
    detail_at: Any
    saturation: Any
    contrast: Any
    brightness: Any
    noise: Any
    noise_starts: Any
    boxes: Any
    fill_starts: Any
    detail: Any
    bank: Any


def augment_on_cpu(images: Tensor, draws: Any) -> Tensor:
    """Augment a batch by as many threads as torch has.

    Args:
        images: uint8 or float32 [N, 3, S, S], on the CPU.
        draws: `Draws`, of what to do.

    Returns:
        float32 [N, 3, S, S].
    """
    count, side = len(images), images.shape[-1]
    where = loses_detail(side, draws.sides_px, draws.sigma_px)
    detail_at = torch.full((count,), -1, dtype=torch.int64)
    detail_at[where] = torch.arange(len(where))
    detail = detail_matrices(side, draws.sides_px[where], draws.sigma_px[where])
    given = (images.contiguous(), draws.matrices, detail_at, draws.saturation, draws.contrast, draws.brightness)
    noise = (draws.noise, draws.noise_starts, draws.boxes, draws.fill_starts, detail)
    numbers = bank(images[0].numel(), images.device) if count else torch.zeros(1)
    inputs = Inputs(*(tensor.contiguous().numpy() for tensor in (*given, *noise, numbers)))
    out = torch.empty(images.shape, dtype=torch.float32)
    constants = np.array([*LUMA, WHITE, FILL_MEAN, FILL_STD], np.float32)

    def augment(part: Any) -> None:
        _augment(inputs, part, constants, out.numpy())

    threads = max(1, min(torch.get_num_threads(), count))
    parts = np.array_split(np.arange(count), threads * 4 if threads > 1 else 1)
    if threads == 1:
        augment(parts[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(augment, parts))
    return out


@compiled
def _augment(inputs: Any, part: Any, constants: Any, out: Any) -> None:
    """Augment the pictures `part` of a batch."""
    for n in part:
        picture = out[n]
        _warp(inputs.images[n], inputs.matrices[n], picture)
        if inputs.detail_at[n] >= 0:
            _lose_detail(picture, inputs.detail[inputs.detail_at[n]])
        tint = (inputs.saturation[n], inputs.contrast[n], inputs.brightness[n])
        start = inputs.noise_starts[n]
        values = picture.size
        noise = inputs.bank[start : start + values].reshape(picture.shape)
        _finish(picture, tint, inputs.noise[n], noise, constants)
        fill = inputs.bank[inputs.fill_starts[n] : inputs.fill_starts[n] + values].reshape(picture.shape)
        _erase(picture, inputs.boxes[n], fill, constants)


@compiled
def _warp(image: Any, matrix: Any, out: Any) -> None:
    """Resample one picture of at least 2 x 2, bilinear; its border is repeated."""
    height, width = image.shape[1:]
    planes, written = image.astype(np.float32).reshape(image.size), out.reshape(out.size)
    plane, beside, line = np.uint64(height * width), np.uint64(1), np.uint64(width)
    across = (2 * np.arange(width) + 1) / width - 1
    first = np.empty(width, np.uint64)
    right_by, below_by = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        _look_up(matrix, ((2 * y + 1) / height - 1, across), (height, width), (first, right_by, below_by))
        for x in range(width):
            at, to = first[x], np.uint64(y * width + x)
            right, below = right_by[x], below_by[x]
            for _ in range(3):
                upper = planes[at] + (planes[at + beside] - planes[at]) * right
                lower = planes[at + line] + (planes[at + line + beside] - planes[at + line]) * right
                written[to] = upper + (lower - upper) * below
                at += plane
                to += plane


@compiled
def _look_up(matrix: Any, line: Any, size: Any, found: Any) -> None:
    """Find where each pixel of a line comes from: the first of four pixels, and how far it lies from there."""
    down, across = line
    height, width = size
    first, right_by, below_by = found
    ax, ay, az = np.float64(matrix[0, 0]), np.float64(matrix[1, 0]), np.float64(matrix[2, 0])
    bx, by, bz = (
        matrix[0, 1] * down + matrix[0, 2],
        matrix[1, 1] * down + matrix[1, 2],
        matrix[2, 1] * down + matrix[2, 2],
    )
    for x in range(width):
        depth = 1 / (az * across[x] + bz)
        at_x = min(max(((ax * across[x] + bx) * depth + 1) * (0.5 * width) - 0.5, 0.0), width - 1.0)
        at_y = min(max(((ay * across[x] + by) * depth + 1) * (0.5 * height) - 0.5, 0.0), height - 1.0)
        left, top = min(np.int64(at_x), width - 2), min(np.int64(at_y), height - 2)
        first[x] = top * width + left
        right_by[x] = at_x - left
        below_by[x] = at_y - top


@compiled
def _lose_detail(picture: Any, matrix: Any) -> None:
    """Multiply the columns and the rows of one picture by a matrix."""
    for channel in range(3):
        columns_done = _multiply(matrix, picture[channel])
        picture[channel] = _multiply(matrix, columns_done.T.copy()).T


@compiled
def _multiply(matrix: Any, plane: Any) -> Any:
    """Multiply a square matrix, most of it zero, by a plane."""
    side = len(matrix)
    product = np.zeros((side, side), np.float32)
    for y in range(side):
        for k in range(side):
            weight = matrix[y, k]
            if weight != 0:
                for x in range(side):
                    product[y, x] += weight * plane[k, x]
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
