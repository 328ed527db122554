import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import align
from align.encoding import encode

PICTURES = st.one_of(
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))),
)


@given(PICTURES)
def test_a_png_gives_the_same_pixels_back_in_another_decoder(picture: np.ndarray) -> None:
    with Image.open(io.BytesIO(encode(picture, ".png"))) as opened:
        opened.verify()  # the checksums of its chunks
    with Image.open(io.BytesIO(encode(picture, ".png"))) as opened:
        assert opened.mode == ("RGB" if picture.ndim == 3 else "L")
        assert np.array_equal(np.asarray(opened), picture)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_are_near_the_picture(astronaut: np.ndarray, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"face{suffix}"
    align.write_image(path, astronaut)
    again = align.load_image(path)
    assert again.shape == astronaut.shape
    assert 0 < np.abs(again.astype(int) - astronaut).mean() < 4


def test_a_photo_is_no_larger_than_opencv_makes_it(astronaut: np.ndarray) -> None:
    import cv2

    assert len(encode(astronaut, ".png")) <= len(cv2.imencode(".png", astronaut[:, :, ::-1])[1])


def test_an_unknown_suffix_is_refused_before_a_file_is_made(astronaut: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(align.UsageError, match=r"\.png, \.jpg or \.webp \(got '\.bmp'\)"):
        align.write_image(tmp_path / "face.bmp", astronaut)
    assert not list(tmp_path.iterdir())
