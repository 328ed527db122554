"""Perceptual hashes of 64 and 256 bits in batches: aHash, dHash, pHash and wHash, bit for bit those of imagehash.

Two pictures are near-identical when few bits differ; a hash knows the picture, never the person. Flat pictures hash
to noise, so ask `is_flat` first. Bits stand in imagehash's order (rows, then columns): the first is the most
significant bit of the first word, and `to_hex` equals `str` of imagehash's result.

What costs time in imagehash is Pillow's resize, one picture after the other. Here the pictures of one size go through
the same fixed-point arithmetic in one compiled pass. That pass must first reproduce the installed Pillow on a noise
picture of the size in question; where it does not, Pillow itself resizes, so the bits are the same either way.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial, reduce
from operator import add
from typing import Any, TypeVar, cast

import numba
import numpy as np
import pywt  # type: ignore[import-untyped]
import scipy.fftpack
from numpy.typing import NDArray
from PIL import Image

from align import UsageError

VERSION = 1
"""Raised when a hash of ours would change: hashes of two versions must never be compared."""

STORED_BYTES = 32
"""The width of the manifest's `hash` column; a shorter hash is followed by zeros."""

MIN_CONTRAST = 4.0
"""Grey levels of standard deviation. At 4, noise of 2 levels moved pHash by 28 of 256 bits at worst, at 3 by 40."""

Images = NDArray[np.uint8] | Sequence[NDArray[np.uint8] | Image.Image]
Words = NDArray[np.uint64]
_Pixels = NDArray[np.uint8]
_Bits = NDArray[np.bool_]
_Taps = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
_Function = TypeVar("_Function", bound=Callable[..., Any])

_HASH_SIZES = {64: 8, 256: 16}
_FIXED_BITS = 22  # Pillow's fixed point: 32 bits less 8 of the pixel and 2 of headroom
_UNROLL = 4
_COMPILED_FROM = 256  # so many pictures of one size repay the loading of the compiled pass
_CHUNK_PIXELS = 1 << 20  # memory bound: pictures are converted and hashed this many pixels at a time
_TIE = 1e-5  # well above the rounding of a matrix DCT: 1e-9 was seen, of values up to 4e6


def phash(images: Images, bits: int = 256) -> Words:
    """Hash pictures by the signs of their low frequencies around the median (imagehash.phash, highfreq_factor 4).

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3] (RGB), or a list of uint8 arrays and PIL images of any sizes and modes.
        bits: 64 or 256.

    Returns:
        uint64 [N, bits // 64].

    Raises:
        UsageError: `bits` is another number, or a picture is empty or of another shape or type.
    """
    size = _hash_size(bits)
    return _hash_each(images, bits, lambda _: (4 * size, 4 * size), partial(_low_frequencies, size=size))


def ahash(images: Images, bits: int = 256) -> Words:
    """Hash pictures by which cells are above the mean (imagehash.average_hash); arguments as for `phash`."""
    size = _hash_size(bits)

    def above_mean(cells: _Pixels) -> _Bits:
        return np.asarray(cells > cells.mean(axis=(1, 2))[:, None, None])

    return _hash_each(images, bits, lambda _: (size, size), above_mean)


def dhash(images: Images, bits: int = 256) -> Words:
    """Hash pictures by which cells are brighter than their left neighbour (imagehash.dhash); arguments as `phash`."""
    size = _hash_size(bits)
    return _hash_each(images, bits, lambda _: (size + 1, size), lambda cells: cells[..., 1:] > cells[..., :-1])


def whash(images: Images, bits: int = 256) -> Words:
    """Hash pictures by their Haar wavelet's low band around its median (imagehash.whash); arguments as for `phash`."""
    size = _hash_size(bits)

    def scaled(side: int) -> tuple[int, int]:
        natural = max(1 << (side.bit_length() - 1), size)
        return natural, natural

    return _hash_each(images, bits, scaled, partial(_low_wavelets, size=size))


ALGORITHMS: dict[str, Callable[[Images, int], Words]] = {"ahash": ahash, "dhash": dhash, "phash": phash, "whash": whash}


def hash_kind(algorithm: str, bits: int) -> str:
    """Name a hash as the manifest's `hash_kind` does: `phash256/1` is algorithm, bits and our version.

    Raises:
        UsageError: There is no such hash.
    """
    if algorithm not in ALGORITHMS:
        raise UsageError(f"hash: expected one of {sorted(ALGORITHMS)} (got {algorithm!r})")
    _hash_size(bits)
    return f"{algorithm}{bits}/{VERSION}"


def to_bytes(h: Words) -> list[bytes]:
    """Pack hashes for the manifest: most significant bit first, zeros behind up to `STORED_BYTES`."""
    stored = np.zeros((len(h), STORED_BYTES), np.uint8)
    stored[:, : 8 * h.shape[1]] = h.astype(">u8").view(np.uint8).reshape(len(h), -1)
    return [row.tobytes() for row in stored]


def from_bytes(stored: Sequence[bytes], bits: int = 256) -> Words:
    """Unpack hashes that `to_bytes` packed: uint64 [N, bits // 64].

    Raises:
        UsageError: One is not `STORED_BYTES` long.
    """
    _hash_size(bits)
    for row, value in enumerate(stored):
        if len(value) != STORED_BYTES:
            raise UsageError(
                f"hash of row {row}: expected {STORED_BYTES} bytes (found {len(value)}); hash the set again"
            )
    packed = np.frombuffer(b"".join(stored), ">u8").reshape(-1, STORED_BYTES // 8)
    return packed[:, : bits // 64].astype(np.uint64)


def to_hex(h: Words) -> list[str]:
    """Write hashes as imagehash does, `bits / 4` hexadecimal digits each."""
    return [value[: 8 * h.shape[1]].hex() for value in to_bytes(h)]


def is_flat(images: Images, min_contrast: float = MIN_CONTRAST) -> _Bits:
    """Tell pictures that are (nearly) one grey: their hashes collide with one another and must not be compared.

    Args:
        images: As for `phash`.
        min_contrast: Standard deviation in grey levels of the picture shrunk to 32 x 32, where noise is averaged out.

    Returns:
        bool [N].
    """
    flat: _Bits = np.zeros(len(images), np.bool_)
    for rows, cells in _shrink_each(images, lambda _: (32, 32)):
        flat[rows] = cells.std(axis=(1, 2)) < min_contrast
    return flat


def compiled(function: _Function) -> _Function:
    """Compile a function by numba when it is first called; kept on disk where some cache folder can be written."""
    try:
        return cast("_Function", numba.njit(cache=True)(function))
    except RuntimeError:  # numba found no folder to write to: a read-only install without a home
        return cast("_Function", numba.njit(function))


def _hash_size(bits: int) -> int:
    if bits not in _HASH_SIZES:
        raise UsageError(f"hash: bits must be one of {sorted(_HASH_SIZES)} (got {bits})")
    return _HASH_SIZES[bits]


def _hash_each(
    images: Images, bits: int, scaled: Callable[[int], tuple[int, int]], rule: Callable[[_Pixels], _Bits]
) -> Words:
    """Shrink every picture to the cells that `scaled` asks for, and pack the bits that `rule` finds in them."""
    h = np.zeros((len(images), bits // 64), np.uint64)
    for rows, cells in _shrink_each(images, scaled):
        packed = np.packbits(rule(cells).reshape(len(rows), bits), axis=1)
        h[rows] = packed.view(">u8")
    return h


def _low_frequencies(cells: _Pixels, size: int) -> _Bits:
    """Compare the `size` x `size` lowest DCT-II coefficients with their median, with the bits of scipy's transform.

    Two matrix products are faster than whole transforms, but round otherwise: where a coefficient is so near the
    median that rounding could decide (symmetric and flat pictures), the transform that imagehash calls does.
    """
    n = cells.shape[1]
    basis = 2 * np.cos(np.pi / (2 * n) * np.outer(np.arange(size), 2 * np.arange(n) + 1))
    low = basis @ (cells.astype(np.float64).reshape(-1, n) @ basis.T).reshape(len(cells), n, size)
    excess = low - np.median(low, axis=(1, 2), keepdims=True)
    above: _Bits = excess > 0
    for row in np.flatnonzero((np.abs(excess) < _TIE).any(axis=(1, 2))):
        exact = scipy.fftpack.dct(scipy.fftpack.dct(cells[row], axis=0), axis=1)[:size, :size]
        above[row] = exact > np.median(exact)
    return above


def _low_wavelets(cells: _Pixels, size: int) -> _Bits:
    """Take the mean brightness out of the Haar decomposition and compare its low band with the median."""
    levels = cells.shape[1].bit_length() - 1
    bands = pywt.wavedec2(cells / 255.0, "haar", level=levels)
    bands[0] *= 0
    without_mean = pywt.waverec2(bands, "haar")
    low = pywt.wavedec2(without_mean, "haar", level=levels - (size.bit_length() - 1))[0]
    return np.asarray(low > np.median(low, axis=(1, 2), keepdims=True))


def _shrink_each(
    images: Images, scaled: Callable[[int], tuple[int, int]]
) -> Iterator[tuple[NDArray[np.intp], _Pixels]]:
    """Yield rows and their pictures in grey, resized to `scaled(shorter side)` = (width, height), a chunk at a time."""
    for (height, width, _), rows in _rows_by_shape(images).items():
        to = scaled(min(height, width))
        step = max(1, _CHUNK_PIXELS // max(height * width, to[0] * to[1]))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            yield part, _shrink(_stack(images, part), to, worth_compiling=len(rows) >= _COMPILED_FROM)


def _rows_by_shape(images: Images) -> dict[tuple[int, int, int], NDArray[np.intp]]:
    """Sort pictures by (height, width, channels); PIL images count as grey, for Pillow converts them."""
    if isinstance(images, np.ndarray):
        return {_shape(images[0], "images"): np.arange(len(images))} if len(images) else {}
    rows: dict[tuple[int, int, int], list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(_shape(image, f"images[{row}]"), []).append(row)
    return {shape: np.asarray(numbers, np.intp) for shape, numbers in rows.items()}


def _shape(image: _Pixels | Image.Image, where: str) -> tuple[int, int, int]:
    if isinstance(image, Image.Image):
        height, width, channels = image.height, image.width, 1
    elif isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] in ((), (3,)) and image.ndim > 1:
        height, width, channels = (*image.shape, 1)[:3]
    else:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(f"{where}: expected uint8 [H, W] or [H, W, 3], or a PIL image (found {found})")
    if not height * width:
        raise UsageError(f"{where}: expected a picture (found one of {width} x {height} pixels)")
    return height, width, channels


def _stack(images: Images, rows: NDArray[np.intp]) -> _Pixels:
    """Put pictures of one shape into uint8 [N, H, W, channels]."""
    if isinstance(images, np.ndarray):
        stack = images[rows[0] : rows[-1] + 1]
    else:
        chosen = [images[row] for row in rows]
        stack = np.stack([np.asarray(p.convert("L")) if isinstance(p, Image.Image) else p for p in chosen])
    return np.ascontiguousarray(stack.reshape(*stack.shape[:3], -1))


def _shrink(stack: _Pixels, to: tuple[int, int], *, worth_compiling: bool) -> _Pixels:
    """Turn uint8 [N, H, W, channels] to grey and resize it to (width, height) as Pillow's Lanczos filter does."""
    order = _order_of_passes(stack.shape[1:], to) if worth_compiling else None
    if order is None:
        return np.stack([_pillow_shrink(picture, to) for picture in stack])
    return _compiled_shrink(stack, to, vertical_first=order == "vertical first")


def _pillow_shrink(picture: _Pixels, to: tuple[int, int]) -> _Pixels:
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.convert("L").resize(to, Image.Resampling.LANCZOS))


@lru_cache(maxsize=256)
def _order_of_passes(shape: tuple[int, ...], to: tuple[int, int]) -> str | None:
    """Find the order in which the compiled passes reproduce the installed Pillow at this size; None where neither does.

    Pillow went across, then down, up to release 12; from 13 on it begins with the side that shrinks more by far.
    """
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    noise[1] = np.where(noise[1] < 128, 0, 255)  # the overshoot of the filter is clipped here
    wanted = np.stack([_pillow_shrink(picture, to) for picture in noise])
    for order in ("horizontal first", "vertical first"):
        if np.array_equal(_compiled_shrink(noise, to, vertical_first=order == "vertical first"), wanted):
            return order
    return None


def _compiled_shrink(stack: _Pixels, to: tuple[int, int], *, vertical_first: bool) -> _Pixels:
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
def _shrink_stack(stack: _Pixels, first: _Taps, second: _Taps, out: _Pixels, vertical_first: int) -> None:
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
