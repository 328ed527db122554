"""Perceptual hashes of 64 and 256 bits in batches: aHash, dHash, pHash and wHash, bit for bit those of imagehash.

Two pictures are near-identical when few bits differ; a hash knows the picture, never the person. Flat pictures hash
to noise, so ask `is_flat` first. Bits stand in imagehash's order (rows, then columns): the first is the most
significant bit of the first word, and `to_hex` equals `str` of imagehash's result.

What costs time in imagehash is Pillow's resize, one picture after the other; `lanczos` does it for many at once.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from align import UsageError

from .lanczos import Pixels, shrink

VERSION = 1
"""Raised when a hash of ours would change: hashes of two versions must never be compared."""

STORED_BYTES = 32
"""The width of the manifest's `hash` column; a shorter hash is followed by zeros."""

MIN_CONTRAST = 4.0
"""Grey levels of standard deviation. At 4, noise of 2 levels moved pHash by 28 of 256 bits at worst, at 3 by 40."""

Images = NDArray[np.uint8] | Sequence[NDArray[np.uint8] | Image.Image]
Words = NDArray[np.uint64]
_Bits = NDArray[np.bool_]

_HASH_SIZES = {64: 8, 256: 16}
_COMPILED_FROM = 256  # so many pictures of one size repay the loading of the compiled pass
_CHUNK_PIXELS = 1 << 20  # memory bound: pictures are converted and hashed this many pixels at a time
_PRODUCT = 1 << 18  # multiplications of one matrix product; OpenBLAS wakes its other threads for more, which costs time
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

    def above_mean(cells: Pixels) -> _Bits:
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


def _hash_size(bits: int) -> int:
    if bits not in _HASH_SIZES:
        raise UsageError(f"hash: bits must be one of {sorted(_HASH_SIZES)} (got {bits})")
    return _HASH_SIZES[bits]


def _hash_each(
    images: Images, bits: int, scaled: Callable[[int], tuple[int, int]], rule: Callable[[Pixels], _Bits]
) -> Words:
    """Shrink every picture to the cells that `scaled` asks for, and pack the bits that `rule` finds in them."""
    h = np.zeros((len(images), bits // 64), np.uint64)
    for rows, cells in _shrink_each(images, scaled):
        packed = np.packbits(rule(cells).reshape(len(rows), bits), axis=1)
        h[rows] = packed.view(">u8")
    return h


def _low_frequencies(cells: Pixels, size: int) -> _Bits:
    """Compare the `size` x `size` lowest DCT-II coefficients with their median, with the bits of scipy's transform.

    Two matrix products are faster than whole transforms, but round otherwise: where a coefficient is so near the
    median that rounding could decide (symmetric and flat pictures), the transform that imagehash calls does.
    """
    count, n, _ = cells.shape
    basis = 2 * np.cos(np.pi / (2 * n) * np.outer(np.arange(size), 2 * np.arange(n) + 1))
    low = np.empty((count, size, size))
    step = _PRODUCT // (n * n * size)
    block = np.empty((min(count, step), n, n))  # used again and again, so that it stays in the cache
    for start in range(0, count, step):
        part = block[: min(step, count - start)]
        part[:] = cells[start : start + len(part)]
        across = (part.reshape(-1, n) @ basis.T).reshape(-1, n, size)
        np.matmul(basis, across, out=low[start : start + len(part)])
    ordered = np.sort(low.reshape(count, -1), axis=1)  # faster than a partition: numpy sorts doubles by vectors
    median = (ordered[:, size * size // 2 - 1] + ordered[:, size * size // 2]) / 2
    excess = low - median[:, None, None]
    above: _Bits = excess > 0
    for row in np.flatnonzero((np.abs(excess) < _TIE).any(axis=(1, 2))):
        import scipy.fftpack  # a fifth of a second to import, seldom needed

        exact = scipy.fftpack.dct(scipy.fftpack.dct(cells[row], axis=0), axis=1)[:size, :size]
        above[row] = exact > np.median(exact)
    return above


def _low_wavelets(cells: Pixels, size: int) -> _Bits:
    """Take the mean brightness out of the Haar decomposition and compare its low band with the median."""
    import pywt

    levels = cells.shape[1].bit_length() - 1
    bands = pywt.wavedec2(cells / 255.0, "haar", level=levels)
    bands[0] *= 0
    without_mean = pywt.waverec2(bands, "haar")
    low = pywt.wavedec2(without_mean, "haar", level=levels - (size.bit_length() - 1))[0]
    return np.asarray(low > np.median(low, axis=(1, 2), keepdims=True))


def _shrink_each(images: Images, scaled: Callable[[int], tuple[int, int]]) -> Iterator[tuple[NDArray[np.intp], Pixels]]:
    """Yield rows and their pictures in grey, resized to `scaled(shorter side)` = (width, height), a chunk at a time."""
    for (height, width, _), rows in _rows_by_shape(images).items():
        to = scaled(min(height, width))
        step = max(1, _CHUNK_PIXELS // max(height * width, to[0] * to[1]))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            yield part, shrink(_stack(images, part), to, worth_compiling=len(rows) >= _COMPILED_FROM)


def _rows_by_shape(images: Images) -> dict[tuple[int, int, int], NDArray[np.intp]]:
    """Sort pictures by (height, width, channels); PIL images count as grey, for Pillow converts them."""
    if isinstance(images, np.ndarray):
        return {_shape(images[0], "images"): np.arange(len(images))} if len(images) else {}
    rows: dict[tuple[int, int, int], list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(_shape(image, f"images[{row}]"), []).append(row)
    return {shape: np.asarray(numbers, np.intp) for shape, numbers in rows.items()}


def _shape(image: Pixels | Image.Image, where: str) -> tuple[int, int, int]:
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


def _stack(images: Images, rows: NDArray[np.intp]) -> Pixels:
    """Put pictures of one shape into uint8 [N, H, W, channels]."""
    if isinstance(images, np.ndarray):
        stack = images[rows[0] : rows[-1] + 1]
    else:
        chosen = [images[row] for row in rows]
        stack = np.stack([np.asarray(p.convert("L")) if isinstance(p, Image.Image) else p for p in chosen])
    return np.ascontiguousarray(stack.reshape(*stack.shape[:3], -1))
