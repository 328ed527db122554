import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from align import ImageError, load_image


def _encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def ramp() -> np.ndarray:
    """uint8 [4, 6, 3] in which every pixel is another colour."""
    y, x = np.mgrid[0:4, 0:6]
    return np.stack([x * 40, y * 60, np.full_like(x, 90)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(ramp: np.ndarray, orientation: int) -> None:
    undo = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](ramp)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(load_image(_encode(stored, exif=exif)), ramp)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_becomes_uint8_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((5, 7), 200 * 256, np.uint16))
    else:
        image = Image.new("RGB", (7, 5), (200, 200, 200)).convert(mode)
    loaded = load_image(_encode(image))
    assert loaded.shape == (5, 7, 3)
    assert loaded.dtype == np.uint8
    expected = 255 if mode == "1" else 200
    assert abs(int(loaded[2, 3, 1]) - expected) <= (60 if mode == "1" else 4)


def test_cmyk_keeps_its_colours() -> None:
    red = Image.new("RGB", (8, 8), (220, 30, 20)).convert("CMYK")
    loaded = load_image(_encode(red, "JPEG", quality=95))
    assert np.abs(loaded.astype(int) - (220, 30, 20)).max() < 12


def test_transparent_pixels_become_white() -> None:
    image = Image.new("RGBA", (3, 3), (10, 20, 30, 0))
    image.putpixel((1, 1), (10, 20, 30, 255))
    loaded = load_image(_encode(image))
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert loaded[1, 1].tolist() == [10, 20, 30]


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    loaded = load_image(_encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert loaded[0, 0].tolist() == [255, 0, 0]


def test_floats_must_be_finite_and_in_a_known_range() -> None:
    fine = load_image(_encode(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF"))
    assert fine[0, 0].tolist() == [128, 128, 128]
    with pytest.raises(ImageError, match="grey values from 0 to 65535"):
        load_image(_encode(Image.fromarray(np.array([[0.5, np.nan]], np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_that_was_cut_short_is_refused(kind: str, astronaut: np.ndarray, tmp_path: Path) -> None:
    whole = _encode(Image.fromarray(astronaut), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"cut\.img: expected a whole picture"):
        load_image(path)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_not_a_picture_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="found a folder"):
        load_image(tmp_path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align.image.MAX_PIXELS", 99)
    bomb = _encode(Image.new("RGB", (10, 10)))
    with pytest.raises(ImageError, match="at most 99 pixels"):
        load_image(bomb)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_mutated_file_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(data.draw(st.sampled_from(["L", "RGB"])))
    content = bytearray(_encode(image, data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = load_image(bytes(content))
        except ImageError:
            return
    assert loaded.dtype == np.uint8
    assert loaded.shape[2] == 3
