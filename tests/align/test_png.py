"""PNG files and the Huffman codes inside them, against the decoders and the compressor of other libraries."""

import io
import zlib
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from align.encoding import encode
from align.huffman import _code_lengths, _codes, huffman_zlib
from align.png import encode_png


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=3000))
def test_any_bytes_come_back(data: bytes) -> None:
    assert zlib.decompress(huffman_zlib(np.frombuffer(data, np.uint8))) == data


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 255), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_bytes_of_any_spread_come_back_about_as_small_as_zlib_makes_them(spread: int, repeat: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = np.clip(rng.normal(128, spread, 20_000 * repeat), 0, 255).astype(np.uint8)
    packed = huffman_zlib(data)
    assert zlib.decompress(packed) == data.tobytes()
    theirs = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    assert len(packed) <= len(theirs.compress(data.tobytes()) + theirs.flush()) * 1.001 + 150


def _lengths(counts: list[int], longest: int = 15) -> np.ndarray:
    lengths = np.zeros(len(counts), np.uint32)
    _code_lengths(np.array(counts, np.int64), lengths, longest)
    return lengths


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=257), st.integers(9, 15))
def test_the_codes_fill_the_space_and_none_is_too_long(counts: list[int], longest: int) -> None:
    counts[0], counts[1] = max(counts[0], 1), max(counts[1], 1)
    lengths = _lengths(counts, longest)
    used = lengths[lengths > 0]
    assert [length > 0 for length in lengths] == [count > 0 for count in counts]
    assert used.max() <= longest
    assert (2.0 ** -used.astype(float)).sum() == 1  # Kraft: no bit is wasted, and no code begins another
    codes = np.zeros(len(counts), np.uint32)
    _codes(lengths, codes, longest)
    written = [f"{code:0{length}b}"[::-1] for code, length in zip(codes, lengths, strict=True) if length]
    ordered = sorted(written)
    assert not any(b.startswith(a) for a, b in pairwise(ordered))


def test_rare_bytes_get_the_longest_codes_and_a_steep_spread_stays_within_the_limit() -> None:
    assert _lengths([1, 1, 2, 4, 8]).tolist() == [4, 4, 3, 2, 1]
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = _lengths(fibonacci)
    assert lengths.max() == 15
    assert (np.diff(lengths.astype(int)) <= 0).all()
    steep = np.repeat(np.arange(24, dtype=np.uint8), fibonacci[:24])
    assert zlib.decompress(huffman_zlib(steep)) == steep.tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (7, 300), (300, 7, 3), (64, 64, 3)])
def test_opencv_and_pillow_read_the_pixels(shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    for picture in (noise, noise // 32, np.zeros_like(noise)):
        data = encode_png(picture)
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(decoded if picture.ndim == 2 else decoded[..., ::-1], picture)
        with Image.open(io.BytesIO(data)) as opened:
            assert np.array_equal(np.asarray(opened), picture)


def test_a_photo_is_smaller_than_opencv_makes_it(astronaut: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), astronaut[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert len(encode(astronaut, ".png")) < path.stat().st_size


def test_a_part_of_a_picture_and_one_that_is_not_contiguous_are_encoded(astronaut: np.ndarray) -> None:
    part = astronaut[10:60, 20:90]
    assert encode_png(part) == encode_png(part.copy())
    mirrored = astronaut[:, ::-1]
    assert encode_png(mirrored) == encode_png(mirrored.copy())
