import io
import os
import tracemalloc
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from align import ImageError, image_suffixes, load_image


def _encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def ramp() -> np.ndarray:
    """uint8 [4, 6, 3] in which every pixel is another colour."""
    y, x = np.mgrid[0:4, 0:6]
    return np.stack([x * 40, y * 60, np.full_like(x, 90)], axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(ramp: np.ndarray, orientation: int, kind: str) -> None:
    undo = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    large = np.repeat(np.repeat(ramp, 16, axis=0), 16, axis=1)  # blocks of JPEG's own size
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](large)))
    loaded = load_image(_encode(stored, kind, exif=exif, **options))
    assert loaded.shape == large.shape
    assert np.abs(loaded.astype(int) - large).max() <= (3 if kind == "JPEG" else 0)


def test_an_orientation_that_exif_does_not_know_leaves_the_picture_as_it_is(ramp: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    assert np.array_equal(load_image(_encode(Image.fromarray(ramp), exif=exif)), ramp)


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
    bytes_as_floats = load_image(_encode(Image.fromarray(np.array([[0, 254.6]], np.float32)), "TIFF"))
    assert bytes_as_floats[0, :, 0].tolist() == [0, 255]
    for values, said in (
        ([0.5, np.nan], "finite numbers"),
        ([0.5, np.inf], "finite numbers"),
        ([0.5, 300], "0 to 1 or 0 to 255"),
        ([0.5, -1], "0 to 65535"),
    ):
        with pytest.raises(ImageError, match=said):
            load_image(_encode(Image.fromarray(np.array([values], np.float32)), "TIFF"))


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint16, 256), (np.int32, 256), (np.int32, 1)])
def test_deep_grey_values_keep_their_order_in_every_band(
    dtype: type, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("align.image._BAND_PX", 100)
    grey = np.random.default_rng(0).integers(0, 256, (37, 41)).astype(np.uint8)
    loaded = load_image(_encode(Image.fromarray(grey.astype(dtype) * dtype(factor)), "TIFF"))
    assert np.array_equal(loaded, np.repeat(grey[:, :, None], 3, axis=2))


def test_lab_and_the_other_colour_spaces_are_turned_to_rgb() -> None:
    white = load_image(_encode(Image.new("LAB", (9, 9), (255, 128, 128)), "TIFF"))
    assert white.min() >= 253
    red = load_image(_encode(Image.new("RGB", (9, 9), (220, 30, 20)).convert("YCbCr"), "TIFF"))
    assert np.abs(red[4, 4].astype(int) - (220, 30, 20)).max() < 4


def test_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    loaded = load_image(_encode(image, "GIF", transparency=1))
    assert loaded[0, 0].tolist() == [10, 20, 30]
    assert loaded[2, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("size", [(1, 1), (30_000, 3), (2, 30_000), (2000, 3000)])
def test_any_shape_within_the_limit_is_read(size: tuple[int, int]) -> None:
    loaded = load_image(_encode(Image.new("RGB", size, "white")))
    assert loaded.shape == (size[1], size[0], 3)
    assert loaded.all()


@pytest.mark.parametrize(
    "kind", ["AVIF", "BMP", "DDS", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP"]
)
def test_every_format_is_read_and_lies_among_the_suffixes(kind: str) -> None:
    image = Image.new("RGB", (32, 32), (200, 30, 40))
    loaded = load_image(_encode(image, kind))
    assert np.abs(loaded[16, 16].astype(int) - (200, 30, 40)).max() < 8
    known = {suffix for suffix, name in Image.registered_extensions().items() if name == kind}
    assert known & image_suffixes()


def test_suffixes_of_what_is_no_picture_are_not_taken_from_a_folder() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif"} <= image_suffixes()
    assert not {".mpg", ".h5", ".hdf", ".grib", ".mp4", ".txt", ".pdf", ""} & image_suffixes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_that_was_cut_short_is_refused(kind: str, astronaut: np.ndarray, tmp_path: Path) -> None:
    whole = _encode(Image.fromarray(astronaut), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"cut\.img: expected a whole picture"):
        load_image(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "found no bytes"), (b"not a picture", "no format that Pillow knows"), (b"\x89PNG\r\n\x1a\n", "Pillow")],
)
def test_what_is_not_a_picture_is_refused_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "photo\nof \x1b[31mus.jpg"
    path.write_bytes(content)
    for source, name in ((path, r"photo\nof \x1b[31mus.jpg: expected a"), (content, "bytes: expected a")):
        with pytest.raises(ImageError) as caught:
            load_image(source)
        assert name in str(caught.value)
        assert said in str(caught.value)
        assert str(caught.value).isprintable()
        assert "0x" not in str(caught.value)


def test_names_that_are_not_utf8_are_read_and_refused_alike(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (3, 2)).save(path)
    assert load_image(path).shape == (2, 3, 3)
    path.write_bytes(b"text")
    with pytest.raises(ImageError, match=r"caf\\xe9\.png: expected a picture"):
        load_image(path)


def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="found a pipe or a device"):
        load_image(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="found a pipe or a device"):
        load_image("/dev/null")


def test_a_path_that_no_system_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="File name too long"):
        load_image(tmp_path / ("x" * 300))
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    with pytest.raises(ImageError, match="symbolic links"):
        load_image(tmp_path / "loop.jpg")
    with pytest.raises(ImageError, match="null"):
        load_image("a\0b.jpg")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="found a folder"):
        load_image(tmp_path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bombs = [_encode(Image.new("1", size)) for size in ((13_400, 13_300), (20_000, 20_000))]
    tracemalloc.start()
    try:
        for bomb in bombs:
            with pytest.raises(ImageError, match="at most 178,000,000 pixels"):
                load_image(bomb)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    monkeypatch.setattr("align.image.MAX_PIXELS", 99)
    with pytest.raises(ImageError, match="at most 99 pixels"):
        load_image(_encode(Image.new("RGB", (10, 10))))


def test_a_large_picture_within_our_limit_is_read_without_a_warning_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    content = _encode(Image.new("RGB", (12, 12)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(content).shape == (12, 12, 3)


_KINDS = [
    "AVIF",
    "BMP",
    "DDS",
    "GIF",
    "ICNS",
    "ICO",
    "JPEG",
    "JPEG2000",
    "PCX",
    "PNG",
    "PPM",
    "SGI",
    "TGA",
    "TIFF",
    "WEBP",
]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes_or_warns(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(_KINDS))
    modes = [mode for mode in ("L", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "F") if (kind, mode) in _encodings()]
    content = bytearray(_encodings()[kind, data.draw(st.sampled_from(modes))])
    for _ in range(data.draw(st.integers(0, 8))):
        head = data.draw(st.booleans())  # most of what can go wrong stands in the first bytes
        content[data.draw(st.integers(0, min(64, len(content)) - 1 if head else len(content) - 1))] = data.draw(
            st.integers(0, 255)
        )
    cut = data.draw(st.none() | st.integers(0, len(content)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            loaded = load_image(bytes(content[:cut]))
        except ImageError as error:
            refused = error
        else:
            refused = None
    if refused is not None:
        assert str(refused).isprintable()
        return
    assert loaded.dtype == np.uint8
    assert loaded.ndim == 3
    assert loaded.shape[2] == 3


@cache
def _encodings() -> dict[tuple[str, str], bytes]:
    """Encode one noisy picture in every format and mode that Pillow writes."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {}
    for kind in _KINDS:
        for mode in ("L", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "F"):
            try:
                found[kind, mode] = _encode(image.convert(mode), kind, exif=exif)
            except (OSError, ValueError, KeyError):
                continue  # this format does not hold this mode
    return found
