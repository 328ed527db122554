import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from align import AlignmentRefusedError, Box, CropSpec, Eyes, Face, align_face, warp
from align.eyeline import invert, similarity, transform_points
from curate.outcome import DropReason

_COORDINATE = st.floats(-2000, 2000)
_POINTS = st.tuples(_COORDINATE, _COORDINATE, _COORDINATE, _COORDINATE).map(lambda v: np.reshape(v, (2, 2)))


@given(_POINTS, _POINTS)
def test_a_similarity_moves_two_points_exactly_and_back(source: np.ndarray, target: np.ndarray) -> None:
    assume(np.linalg.norm(source[0] - source[1]) > 1)
    assume(np.linalg.norm(target[0] - target[1]) > 1)
    matrix = similarity(source, target)
    assert np.allclose(transform_points(matrix, source), target, atol=1e-6)
    assert np.allclose(transform_points(invert(matrix), target), source, atol=1e-5)
    turn = matrix[:, :2]
    assert np.allclose(turn @ turn.T, np.linalg.det(turn) * np.eye(2), atol=1e-6 * np.abs(turn).max() ** 2 + 1e-9)
    assert np.linalg.det(turn) > 0  # never mirrored


@given(st.integers(0, 1000), st.integers(3, 9))
def test_a_similarity_of_many_points_is_that_of_least_squares(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(-300, 300, (2, count, 2))
    (x, y), one, none = source.T, np.ones(count), np.zeros(count)
    equations = np.concatenate([np.stack([x, -y, one, none], axis=1), np.stack([y, x, none, one], axis=1)])
    cos, sin, right, down = np.linalg.lstsq(equations, target.T.ravel(), rcond=None)[0]
    assert np.allclose(similarity(source, target), [[cos, -sin, right], [sin, cos, down]], atol=1e-8)


def test_one_point_twice_has_no_similarity() -> None:
    with pytest.raises(ValueError, match="two different points"):
        similarity(np.zeros((2, 2)), np.array([[0.0, 0.0], [1.0, 0.0]]))


@pytest.mark.parametrize(
    ("eyes", "nose", "reason"),
    [
        (None, None, "no_eyes"),
        (Eyes((50, 50), (55, 50)), None, "profile"),
        (Eyes((10, 50), (110, 50)), None, "implausible"),
        (Eyes((30, 50), (70, 50)), (50, 20), "implausible"),  # the nose above the eyes
        (Eyes((30, 50), (70, 50)), (74, 75), "profile"),  # the nose beyond the right eye
        (Eyes((30, 50), (70, 50)), (26, 75), "profile"),  # the nose beyond the left eye
    ],
)
def test_profiles_and_impossible_geometry_are_refused_with_a_reason(
    eyes: Eyes | None, nose: tuple[float, float] | None, reason: str
) -> None:
    face = Face(Box(0, 0, 100, 100), 1.0, "test", eyes=eyes)
    if nose is not None:
        corners = np.array([(75, 50), (65, 50), (25, 50), (35, 50), nose], dtype=np.float64)
        face = replace(face, landmarks=corners, landmark_scheme="dlib5")
    with pytest.raises(AlignmentRefusedError) as caught:
        align_face(np.zeros((100, 100, 3), np.uint8), face)
    assert caught.value.reason == reason
    assert reason in set(DropReason)  # a manifest can hold it


@pytest.mark.parametrize("turn_deg", [0, 30, 90, 180])
@pytest.mark.parametrize("nose_aside", [-0.2, 0.0, 0.3])
def test_yaw_and_the_drop_of_the_nose_do_not_depend_on_roll_or_size(turn_deg: float, nose_aside: float) -> None:
    corners = np.array([(0.65, 0), (0.35, 0), (-0.65, 0), (-0.35, 0), (nose_aside, 0.7)]) * 80
    angle = np.radians(turn_deg)
    corners = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 300
    eyes = Eyes.from_array(np.stack([corners[2:4].mean(axis=0), corners[:2].mean(axis=0)]))
    face = Face(Box(200, 200, 200, 200), 1.0, "test", eyes=eyes, landmarks=corners, landmark_scheme="dlib5")
    assert face.nose_drop == pytest.approx(0.7)
    assert face.yaw_deg == pytest.approx(np.degrees(np.arctan(nose_aside / 0.38)))
    assert math.remainder(eyes.roll_deg - turn_deg, 360) == pytest.approx(0, abs=1e-9)


def test_a_face_turned_by_45_degrees_is_still_aligned_and_a_lying_box_is_read_as_it_lies() -> None:
    nose = 0.38 * np.tan(np.radians(45)) * 40
    corners = np.array([(75, 50), (65, 50), (25, 50), (35, 50), (50 + nose, 75)])
    face = Face(
        Box(0, 0, 100, 100), 1.0, "t", eyes=Eyes((30, 50), (70, 50)), landmarks=corners, landmark_scheme="dlib5"
    )
    assert face.yaw_deg == pytest.approx(45)
    assert align_face(np.zeros((100, 100, 3), np.uint8), face).image.shape == (224, 224, 3)
    lying = Face(Box(0, 0, 300, 100), 1.0, "t", turn_deg=90, eyes=Eyes((50, 20), (50, 60)))
    assert align_face(np.zeros((100, 300, 3), np.uint8), lying).image.shape == (224, 224, 3)


def test_a_face_of_unknown_points_has_no_yaw() -> None:
    eyes = Eyes((30, 50), (70, 50))
    assert Face(Box(0, 0, 100, 100), 1.0, "test", eyes=eyes).yaw_deg is None
    assert (
        Face(Box(0, 0, 100, 100), 1.0, "t", eyes=eyes, landmarks=np.zeros((3, 2)), landmark_scheme="x").yaw_deg is None
    )


@given(
    st.floats(-180, 180),
    st.floats(0.1, 8),
    st.floats(-500, 500),
    st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=9),
)
def test_a_similarity_of_many_points_is_found_again(
    degrees: float, scale: float, shift: float, points: list[tuple[float, float]]
) -> None:
    source = np.array(points)
    assume(np.ptp(source, axis=0).max() > 1)
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity(source, source @ turn.T + shift)
    assert np.allclose(matrix, np.column_stack([turn, (shift, shift)]), atol=1e-6 * scale * 100)


def test_the_similarity_of_five_points_is_the_least_squares_one() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    rows = [((x, -y, 1, 0), (y, x, 0, 1)) for x, y in source]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows).reshape(10, 4), target.ravel(), rcond=None)[0]
    assert np.allclose(similarity(source, target), [[a, -b, tx], [b, a, ty]])


def test_roll_is_positive_clockwise_on_the_screen() -> None:
    assert Eyes((0, 0), (10, 10)).roll_deg == pytest.approx(45)
    assert Eyes((10, 0), (0, 0)).roll_deg == pytest.approx(180)


@pytest.mark.parametrize("bad", [{"w": 0.0}, {"h": -1.0}, {"x": float("nan")}, {"y": float("inf")}])
def test_a_box_that_is_none_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Box"):
        Box(**{"x": 0.0, "y": 0.0, "w": 1.0, "h": 1.0, **bad})


def _zone_plate(side: int) -> np.ndarray:
    """A chirp whose frequency grows from the middle to the Nyquist limit at the edge."""
    r = np.arange(side) - (side - 1) / 2
    square = r[:, None] ** 2 + r[None, :] ** 2
    return np.rint(127.5 + 90 * np.cos(np.pi * square / side)).astype(np.uint8)


@pytest.mark.parametrize("reduction", [2, 3.7, 8])
def test_the_warp_does_not_alias(reduction: float) -> None:
    side = 512
    size = int(side / reduction)
    scale = 1 / reduction
    matrix = np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5]])
    small = warp(_zone_plate(side), matrix, (size, size)).astype(float)
    r = np.abs(np.arange(size) - (size - 1) / 2) / (size / 2)
    beyond = np.maximum(r[:, None], r[None, :]) > 1.3 / reduction  # finer than the crop's pixels can carry
    beyond &= np.maximum(r[:, None], r[None, :]) < 0.9
    assert np.abs(small[beyond] - 127.5).mean() <= 0.01 * 180


@pytest.mark.parametrize("scale", [0.15, 0.4, 0.8, 1.5, 2.5])
@pytest.mark.parametrize("degrees", [0, 17])
def test_looking_only_at_what_the_crop_shows_changes_no_pixel(
    astronaut: np.ndarray, scale: float, degrees: float
) -> None:
    """The warp smooths and reads a part of the picture; the whole picture smoothed and warped gives the same."""
    matrix = cv2.getRotationMatrix2D((225.0, 120.0), degrees, scale)
    matrix[:, 2] += np.array([20, 20]) - (225, 120)
    smooth = astronaut
    if scale < 1:
        smooth = cv2.GaussianBlur(astronaut, (0, 0), 0.5 * np.sqrt(1 / scale**2 - 1), borderType=cv2.BORDER_REPLICATE)
    flags = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    expected = cv2.warpAffine(smooth, matrix, (40, 40), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    off = np.abs(warp(astronaut, matrix, (40, 40)).astype(int) - expected)
    if scale <= 2:
        assert off.max() <= 1
    else:  # enlarged first, then warped: nearly a bicubic warp
        assert np.mean(off**2.0) < 255**2 / 10**4.8  # 48 dB
        assert off.max() < 30


@pytest.mark.parametrize("border", ["replicate", "reflect", "constant"])
def test_a_crop_beyond_the_picture_shows_its_border(border: str) -> None:
    picture = np.full((40, 40, 3), 200, np.uint8)
    face = Face(Box(0, 0, 40, 40), 1.0, "test", eyes=Eyes((5, 5), (25, 5)))
    crop = align_face(picture, face, CropSpec(size=64, border=border))
    assert crop.image[0, 0].tolist() == ([0, 0, 0] if border == "constant" else [200, 200, 200])
    assert crop.image[32, 32].tolist() == [200, 200, 200]


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 3.0])
def test_eyes_stand_where_the_template_puts_them(scale: float) -> None:
    """Paint two dots as eyes; in the crop they must stand on the template's places, at any reduction."""
    spec = CropSpec(template="tight", size=100, colour="grey")
    distance = 42 / scale
    side = int(distance * 4)
    left = np.array([side * 0.35, side * 0.4])
    right = left + distance * np.array([np.cos(0.3), np.sin(0.3)])
    y, x = np.mgrid[0:side, 0:side]
    picture = np.zeros((side, side))
    for cx, cy in (left, right):
        picture += 255 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * max(distance / 20, 1) ** 2))
    face = Face(Box(0, 0, distance * 2.2, distance * 2.2), 1.0, "test", eyes=Eyes(tuple(left), tuple(right)))
    image = align_face(np.clip(picture, 0, 255).astype(np.uint8), face, spec).image.astype(float)
    for half, expected in ((slice(0, 50), spec.eyes_px[0]), (slice(50, 100), spec.eyes_px[1])):
        part = np.zeros_like(image)
        part[:, half] = image[:, half]
        total = part.sum()
        found = (part * np.arange(100)[None, :]).sum() / total, (part * np.arange(100)[:, None]).sum() / total
        assert np.allclose(found, expected, atol=0.15)
