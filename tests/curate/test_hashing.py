"""The hashes are imagehash's, bit for bit, whatever the size and mode, and whichever way the pictures are resized."""

import imagehash
import numpy as np
import pytest
import scipy.fftpack
from PIL import Image

from align import UsageError
from curate import hashing, lanczos

REFERENCES = {
    "ahash": imagehash.average_hash,
    "dhash": imagehash.dhash,
    "phash": imagehash.phash,
    "whash": imagehash.whash,
}
EVERY_HASH = pytest.mark.parametrize("algorithm", sorted(REFERENCES))
BOTH_SIZES = pytest.mark.parametrize("bits", [64, 256])
MODES = ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "I;16"]


def reference(algorithm, images, bits):
    return [str(REFERENCES[algorithm](image, hash_size=int(bits**0.5))) for image in images]


def compute(algorithm, images, bits):
    return hashing.to_hex(hashing.ALGORITHMS[algorithm](images, bits))


def scene(rng, width, height):
    """Draw a picture with large and small structure, as photographs have; some of them clipped, some faint."""
    coarse = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    grain = rng.normal(scale=rng.choice([0, 3, 20]), size=(height, width, 3))
    levels = (np.asarray(coarse) - 128.0) * rng.choice([0.05, 1.0, 4.0]) + 128
    return Image.fromarray(np.clip(levels + grain, 0, 255).astype(np.uint8))


def in_mode(image, mode, rng):
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (image.height, image.width), dtype=np.uint16))
    if mode in {"RGBA", "LA"}:
        image = image.convert(mode)
        image.putalpha(Image.fromarray(rng.integers(0, 256, (image.height, image.width), dtype=np.uint8)))
        return image
    return image.convert(mode)


@pytest.fixture(scope="module")
def thousand():
    """1,000 pictures of odd sizes in every mode, down to one pixel and up to tall and wide strips."""
    rng = np.random.default_rng(7)
    sides = rng.integers(1, 160, (1000, 2))
    sides[:40, 0] = rng.integers(1, 5, 40)
    sides[40:80, 1] = rng.integers(400, 900, 40)
    return [in_mode(scene(rng, int(w), int(h)), MODES[k % len(MODES)], rng) for k, (w, h) in enumerate(sides)]


@EVERY_HASH
@BOTH_SIZES
def test_any_size_and_mode_hash_as_imagehash_does(algorithm, bits, thousand):
    images = thousand if algorithm == "phash" else thousand[::3]
    assert compute(algorithm, images, bits) == reference(algorithm, images, bits)


@EVERY_HASH
@BOTH_SIZES
@pytest.mark.parametrize(("height", "width", "channels"), [(112, 112, 3), (48, 48, 1), (37, 91, 1), (10, 200, 3)])
def test_batches_hash_as_imagehash_does(algorithm, bits, height, width, channels):
    rng = np.random.default_rng(height)
    images = [scene(rng, width, height).convert("RGB" if channels == 3 else "L") for _ in range(300)]
    stack = np.stack([np.asarray(image) for image in images])
    wanted = reference(algorithm, images, bits)
    assert compute(algorithm, stack, bits) == wanted
    assert compute(algorithm, list(stack), bits) == wanted
    assert compute(algorithm, stack[:5], bits) == wanted[:5]


def test_batches_are_resized_by_the_compiled_pass_in_the_order_of_pillow():
    """Without this the batch would be as slow as imagehash, and no other test would notice."""
    across_then_down = lanczos.order_of_passes((112, 112, 3), (64, 64))
    assert across_then_down == "horizontal first"
    tall = lanczos.order_of_passes((900, 12, 1), (64, 64))
    pillow_12_or_older = int(Image.__version__.split(".")[0]) < 13
    assert tall == ("horizontal first" if pillow_12_or_older else "vertical first")


def test_a_resize_that_is_not_reproduced_is_left_to_pillow(monkeypatch):
    """Stands for a later Pillow that resizes otherwise: the bits must stay those of the installed one."""
    images = [scene(np.random.default_rng(k), 50, 41) for k in range(300)]
    lanczos.order_of_passes.cache_clear()
    monkeypatch.setattr(lanczos, "compiled_shrink", lambda stack, to, **_: np.zeros((len(stack), *to), np.uint8))
    stack = np.stack([np.asarray(image) for image in images])
    assert compute("phash", stack, 256) == reference("phash", images, 256)
    assert lanczos.order_of_passes((41, 50, 3), (64, 64)) is None
    lanczos.order_of_passes.cache_clear()


def test_the_compiled_pass_equals_pillow_over_many_shapes():
    rng = np.random.default_rng(3)
    for _ in range(150):
        height, width = (int(side) for side in rng.integers(1, 300, 2))
        to = tuple(int(side) for side in rng.choice([8, 9, 16, 17, 32, 64, 128], 2))
        stack = rng.integers(0, 256, (3, height, width, int(rng.choice([1, 3]))), dtype=np.uint8)
        wanted = np.stack([lanczos.pillow_shrink(picture, to) for picture in stack])
        order = lanczos.order_of_passes(stack.shape[1:], to)
        assert order is not None
        got = lanczos.compiled_shrink(stack, to, vertical_first=order == "vertical first")
        np.testing.assert_array_equal(got, wanted, err_msg=f"{stack.shape} to {to}")


def test_every_colour_turns_to_the_grey_of_pillow():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, len(levels), -1, 3)
    same_size = (colours.shape[2], colours.shape[1])
    got = lanczos.compiled_shrink(colours, same_size, vertical_first=False)
    np.testing.assert_array_equal(got[0], np.asarray(Image.fromarray(colours[0]).convert("L")))


@EVERY_HASH
@BOTH_SIZES
def test_near_ties_fall_as_in_imagehash(algorithm, bits):
    """Flat, symmetric, two-level and nearly flat pictures, where the last bit of a float would decide."""
    rng = np.random.default_rng(1)
    flat = [np.full((64, 64), level, np.uint8) for level in (0, 1, 127, 255)]
    ramps = [np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)), np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)).T]
    halves = [np.where(np.arange(64)[:, None] < cut, 0, 255).repeat(64, 1).astype(np.uint8) for cut in (8, 16, 32, 33)]
    quarter = rng.integers(0, 256, (40, 32, 32), dtype=np.uint8)
    mirrored = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    mirrored = list(np.concatenate([mirrored, mirrored[:, :, ::-1]], axis=2))
    faint = list(rng.integers(100, 102, (40, 64, 64), dtype=np.uint8))
    pictures = [*flat, *ramps, *halves, *mirrored, *faint] * 3
    assert len(pictures) >= hashing._COMPILED_FROM
    wanted = reference(algorithm, [Image.fromarray(picture) for picture in pictures], bits)
    assert compute(algorithm, np.stack(pictures), bits) == wanted


@BOTH_SIZES
def test_photographs_need_no_second_transform(bits, monkeypatch):
    """A median that is off by one would be mended by it, picture after picture, and only cost time."""
    stack = np.stack([np.asarray(scene(np.random.default_rng(k), 112, 112)) for k in range(60)])
    stack = stack[~hashing.is_flat(stack)]
    wanted = hashing.phash(stack, bits)
    again = []
    dct = scipy.fftpack.dct
    monkeypatch.setattr(scipy.fftpack, "dct", lambda *given, **more: again.append(1) or dct(*given, **more))
    np.testing.assert_array_equal(hashing.phash(stack, bits), wanted)
    assert len(again) <= len(stack) / 10


@BOTH_SIZES
def test_bytes_and_hex_keep_every_bit_in_order(bits):
    rng = np.random.default_rng(0)
    h = rng.integers(0, 2**64, (20, bits // 64), dtype=np.uint64)
    stored = hashing.to_bytes(h)
    assert {len(value) for value in stored} == {32}
    assert [value.hex().rstrip("0") for value in stored] == [text.rstrip("0") for text in hashing.to_hex(h)]
    np.testing.assert_array_equal(hashing.from_bytes(stored, bits), h)
    assert [f"{int(row[0]):016x}" for row in h] == [text[:16] for text in hashing.to_hex(h)]
    assert hashing.from_bytes([], bits).shape == (0, bits // 64)


def test_flat_and_dark_pictures_are_told_from_content():
    rng = np.random.default_rng(0)
    face = np.asarray(scene(np.random.default_rng(2), 112, 112))
    black, grey = np.zeros_like(face), np.full_like(face, 90)
    noisy_black = rng.integers(0, 8, face.shape, dtype=np.uint8)
    faint = (face // 64 + 90).astype(np.uint8)
    assert hashing.is_flat([black, grey, noisy_black, faint, face]).tolist() == [True, True, True, True, False]
    assert hashing.is_flat([faint], min_contrast=0.1).tolist() == [False]


def test_a_hash_is_named_by_algorithm_bits_and_version():
    assert hashing.hash_kind("phash", 256) == "phash256/1"
    with pytest.raises(UsageError, match=r"expected one of .*'phash'.* \(got 'psash'\)"):
        hashing.hash_kind("psash", 256)
    with pytest.raises(UsageError, match=r"bits must be one of \[64, 256\] \(got 128\)"):
        hashing.hash_kind("phash", 128)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((4, 4), np.float32)], r"images\[0\]: expected uint8 .* .found float32 \(4, 4\)"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)], r"images\[1\]: .* .found uint8 \(4, 4, 4\)"),
        ([np.zeros((0, 4), np.uint8)], "found one of 4 x 0 pixels"),
        (np.zeros((2, 4), np.uint8), "images"),
        (["face.png"], "found str"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_place(images, message):
    with pytest.raises(UsageError, match=message):
        hashing.phash(images)


@EVERY_HASH
def test_no_pictures_give_no_hashes(algorithm):
    assert hashing.ALGORITHMS[algorithm]([], 256).shape == (0, 4)
    assert hashing.ALGORITHMS[algorithm](np.zeros((0, 8, 8), np.uint8), 64).shape == (0, 1)


def test_the_result_does_not_depend_on_how_pictures_are_chunked(monkeypatch):
    stack = np.random.default_rng(0).integers(0, 256, (300, 20, 30), dtype=np.uint8)
    whole = hashing.phash(stack)
    monkeypatch.setattr(hashing, "_CHUNK_PIXELS", 7 * 64 * 64)
    np.testing.assert_array_equal(hashing.phash(stack), whole)
