from pathlib import Path

import cv2
import numpy as np
import pytest

import align
from align import Gates, Quality, UsageError, measure


def test_blur_lowers_sharpness_and_size_hardly_matters(astronaut: np.ndarray) -> None:
    face = np.ascontiguousarray(astronaut[50:190, 150:290])
    at_112 = cv2.resize(face, (112, 112), interpolation=cv2.INTER_AREA)
    sharp = measure(at_112)
    assert measure(cv2.GaussianBlur(at_112, (0, 0), 2)).sharpness < 0.2 * sharp.sharpness
    doubled = cv2.resize(at_112, (224, 224), interpolation=cv2.INTER_CUBIC)
    assert measure(doubled).sharpness == pytest.approx(sharp.sharpness, rel=0.35)


def test_sharpness_is_the_variance_of_the_laplacian_on_the_harshest_picture_as_well() -> None:
    noise = np.where(np.random.default_rng(0).random((112, 112)) < 0.5, 0, 255).astype(np.uint8)
    p = np.pad(noise.astype(np.float64), 1, mode="reflect")
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]
    assert measure(noise).sharpness == pytest.approx(laplacian.var())


def test_brightness_and_contrast_are_those_of_the_luma() -> None:
    halves = np.zeros((112, 112, 3), np.uint8)
    halves[:, 56:] = 200
    quality = measure(halves)
    assert quality.brightness == pytest.approx(100)
    assert quality.contrast == pytest.approx(100)
    assert measure(halves[:, :, 0]) == quality


@pytest.mark.parametrize(
    ("quality", "interocular", "reason"),
    [
        (Quality(100, 100, 30), 40, None),
        (Quality(100, 100, 1), 40, "blank"),
        (Quality(100, 100, 30), 10, "too_small"),
        (Quality(5, 100, 30), 40, "blurred"),
        (Quality(100, 20, 30), 40, "dark"),
        (Quality(100, 240, 30), 40, "bright"),
        (Quality(100, 100, 30), None, None),
    ],
)
def test_gates_give_a_reason(quality: Quality, interocular: float | None, reason: str | None) -> None:
    gates = Gates(min_interocular=20, min_sharpness=15, min_brightness=40, max_brightness=220)
    assert gates.reason(quality, interocular) == reason


def test_open_gates_let_everything_but_blank_pictures_through() -> None:
    assert Gates().reason(Quality(0, 0, 5), 1) is None
    assert Gates(min_contrast=None).reason(Quality(0, 0, 0), 1) is None
    assert Gates().reason(Quality(0, 0, 0), 1) == "blank"


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_threshold_must_be_a_number(value: float) -> None:
    with pytest.raises(UsageError, match="min_sharpness must be a number >= 0"):
        Gates(min_sharpness=value)


def test_a_faces_numbers_need_no_colour_and_fall_with_blur(astronaut: np.ndarray) -> None:
    face = align.find_faces(astronaut)[0]
    numbers = align.measure(align.canonical_crop(astronaut, face))
    luma = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    assert align.measure(align.canonical_crop(luma, face)).sharpness == pytest.approx(numbers.sharpness, rel=0.02)
    blurred = align.measure(align.canonical_crop(cv2.GaussianBlur(astronaut, (0, 0), 2), face))
    assert blurred.sharpness < 0.5 * numbers.sharpness


@pytest.mark.parametrize("scale", [0.75, 0.5, 0.4])
def test_a_faces_numbers_hardly_depend_on_the_size_of_the_photo(photos: Path, scale: float) -> None:
    image = align.load_image(photos / "london" / "001_03.jpg")
    numbers = align.measure(align.canonical_crop(image, align.find_faces(image)[0]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    again = align.measure(align.canonical_crop(small, align.find_faces(small)[0]))
    assert again.sharpness == pytest.approx(numbers.sharpness, rel=0.35)
    assert again.brightness == pytest.approx(numbers.brightness, rel=0.02)
    assert again.contrast == pytest.approx(numbers.contrast, rel=0.05)


def test_a_turned_head_is_a_profile_to_the_gate() -> None:
    quality = align.Quality(100.0, 100.0, 50.0)
    gates = align.Gates(max_yaw_deg=30)
    assert gates.reason(quality, 50, -31) == "profile"
    assert gates.reason(quality, 50, 31) == "profile"
    assert gates.reason(quality, 50, 29) is None
    assert gates.reason(quality) is None


@pytest.mark.parametrize("bad", ["2", True, -1, float("nan")])
def test_a_gate_that_is_no_number_is_refused(bad: object) -> None:
    with pytest.raises(align.UsageError, match="min_contrast must be a number >= 0"):
        align.Gates(min_contrast=bad)
