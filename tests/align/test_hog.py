"""dlib's frontal face detector without dlib's search: the same boxes, and errors where its file is another."""

from collections.abc import Callable

import cv2
import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import ModelError
from align.detectors import hog_cells
from align.detectors.dlib_hog import Hog
from align.detectors.hog_cells import BEFORE, cells, shrink
from align.detectors.hog_model import HogModel, read_hog
from align.detectors.hog_scan import Found, _edge, _hits, _is_same, scan
from align.dlib_stream import Stream

HEAD = 52
"""Bytes before the weights; the last two tell how many filters there are."""


@pytest.fixture(scope="module")
def theirs() -> dlib.fhog_object_detector:
    return dlib.get_frontal_face_detector()


@pytest.fixture(scope="module")
def state(theirs: dlib.fhog_object_detector) -> bytes:
    return bytes(theirs.__getstate__()[0])


@pytest.fixture(scope="module")
def model(state: bytes) -> HogModel:
    return read_hog(state, "dlib")


@pytest.fixture(scope="module")
def luma(astronaut: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY))


def _views(luma: np.ndarray, count: int) -> list[np.ndarray]:
    """The astronaut turned, mirrored, resized, and cut so that her face is at times at the picture's edge or beyond."""
    rng = np.random.default_rng(3)
    views = []
    for number in range(count):
        matrix = cv2.getRotationMatrix2D((225, 102), rng.uniform(-50, 50), rng.uniform(0.5, 2.2))
        width, height = (int(side) for side in rng.integers(64, 420, 2))
        matrix[:, 2] += np.array([width, height]) * rng.uniform(0.0, 1.0, 2) - np.array([225, 102])
        view = cv2.warpAffine(luma, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        views.append(cv2.flip(view, 1) if number % 2 else view)
    return views


def _dlibs(detector: dlib.fhog_object_detector, picture: np.ndarray, least: float) -> list[Found]:
    found = zip(*detector.run(picture, 0, least), strict=True)
    return [Found(r.left(), r.top(), r.right(), r.bottom(), score, number) for r, score, number in found]


@pytest.mark.parametrize("least", [0.0, -0.6])
def test_boxes_and_the_filters_that_saw_them_are_dlibs_own(
    least: float, luma: np.ndarray, model: HogModel, theirs: dlib.fhog_object_detector
) -> None:
    seen = set()
    for view in _views(luma, 60):
        ours, dlibs = scan(view, model, least), _dlibs(theirs, view, least)
        assert [found[:4] + found[5:] for found in ours] == [found[:4] + found[5:] for found in dlibs], view.shape
        assert [found.score for found in ours] == pytest.approx([found.score for found in dlibs], abs=1e-5)
        seen |= {(found.filter, found.left < 0, found.top < 0) for found in ours}
    assert len({number for number, _, _ in seen}) >= 3
    assert {place[1:] for place in seen} >= {(False, False), (True, False), (False, True)}


@settings(max_examples=30, deadline=None)
@given(st.integers(9, 150), st.integers(9, 150), st.integers(0, 2**32 - 1))
def test_a_picture_is_reduced_as_dlib_reduces_it(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width), np.uint8)
    flat = np.full_like(picture, rng.integers(0, 256))
    for one in (picture, flat):
        assert np.array_equal(shrink(one), dlib.pyramid_down(6)(one))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (19, 19), (20, 20), (64, 20), (63, 200), (79, 79)])
def test_pictures_too_small_for_a_face_show_none(shape: tuple[int, int], model: HogModel) -> None:
    assert scan(np.random.default_rng(0).integers(0, 256, shape, np.uint8), model) == []


def test_a_picture_of_two_cells_has_none_with_neighbours() -> None:
    assert cells(np.zeros((19, 200), np.uint8)) is None
    assert cells(np.zeros((200, 19), np.uint8)) is None
    assert cells(np.zeros((20, 20), np.uint8)) is not None


def test_each_place_of_the_window_is_asked_about_once(luma: np.ndarray, model: HogModel) -> None:
    planes = cells(luma[:120, :200])
    assert planes is not None
    hits = _hits(planes, model[:4], np.full(5, -1e9))
    places = [(number, row, column) for number in range(5) for row in range(13) for column in range(23)]
    assert [tuple(place) for place in hits[:, :3].astype(int).tolist()] == places


def test_edges_before_the_picture_are_rounded_as_those_in_it() -> None:
    assert [_edge(cell, 0) for cell in (-3, -2, -1, 0, 1)] == [-19, -11, 5, 13, 21]
    assert _edge(-3, 1) == -23  # from -22.5
    assert _edge(6, 1) == 74  # from 73.5


def test_a_flat_picture_has_nothing_in_its_cells_and_a_cut_out_one_is_taken_as_it_is(luma: np.ndarray) -> None:
    assert not np.asarray(cells(np.full((80, 96), 77, np.uint8))).any()
    part = luma[40:200, 60:260]
    found = np.asarray(cells(part))
    assert (found == cells(part.copy())).all()
    assert found.shape == (31, 18 + 9, 23 + 9)
    assert not found[:, :BEFORE].any()
    assert not found[:, -BEFORE - 1 :].any()
    assert found[:, BEFORE].any()
    assert not found[:, :, :BEFORE].any()
    assert not found[:, :, -BEFORE - 1 :].any()


def test_a_picture_that_may_not_be_written_is_no_reason_to_compile_again(luma: np.ndarray, model: HogModel) -> None:
    found = scan(luma, model)
    fixed = luma.copy()
    fixed.setflags(write=False)
    for view in (fixed, fixed[::1, :], np.flip(np.flip(luma, 1).copy(), 1), np.asfortranarray(luma)):
        assert scan(view, model) == found
    for function in (hog_cells._histograms, hog_cells._shrink):
        assert len(function.signatures) == 1


def test_the_same_faces_are_found_each_time_and_by_many_threads(luma: np.ndarray, model: HogModel) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: tuple(scan(luma, model)), range(8)))
    assert len(found[0]) == 1
    assert set(found) == {found[0]}


def test_products_add_up_to_the_weights_that_dlib_keeps(model: HogModel, state: bytes) -> None:
    numbers = Stream(state[HEAD:], "dlib", "weights").many(5 * (2 + 2 * 3101)).reshape(5, -1)[:, 2:]
    weights = np.ldexp(numbers[:, ::2].astype(float), numbers[:, 1::2])
    squares = np.zeros((5, 31, 10, 10))
    for row, column, plane, owner in zip(model.rows, model.columns, model.planes, model.owners, strict=True):
        squares[owner, plane] += np.outer(column, row)
    assert squares.reshape(5, -1) == pytest.approx(weights[:, :-1], abs=1e-6)
    assert (model.thresholds == weights[:, -1]).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: b"\x01\x03" + state[2:], r"expected before it \(2, 1\) at byte 4 \(found \(3, 1\)\)"),
        (lambda state: state.replace(b"\x01\x08", b"\x01\x04", 1), r"expected before it \(8, 0, 80, 80"),
        (lambda state: state[:1000], "expected 6202 integers"),
        (lambda state: state + b"\x01\x01", "expected the end .* 2 bytes more"),
        (lambda state: state[: HEAD - 2] + b"\x01\x00" + state[HEAD:], "a number of filters from 1 to 100"),
        (lambda state: state[: HEAD - 2] + b"\x01\x04" + state[HEAD:], "expected the end"),
        (lambda _: b"", "expected an integer"),
    ],
)
def test_a_file_of_another_layout_is_refused(damage: Callable[[bytes], bytes], message: str, state: bytes) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        read_hog(damage(state), "some.svm")
    assert "some.svm" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_boxes_that_share_too_much_are_one_face() -> None:
    one = Found(0, 0, 99, 99, 1.0, 0)
    assert _is_same(one, Found(5, 5, 104, 104, 1.0, 0), (0.5, 1.0))
    assert not _is_same(one, Found(60, 0, 159, 99, 1.0, 0), (0.5, 1.0))
    assert not _is_same(one, Found(200, 0, 299, 99, 1.0, 0), (0.0, 0.0))
    assert _is_same(one, Found(10, 10, 30, 30, 1.0, 0), (0.5, 0.9))


def test_the_detector_gives_edges_of_pixels(luma: np.ndarray, theirs: dlib.fhog_object_detector) -> None:
    (row,) = Hog().boxes([luma])[0]
    (face,) = _dlibs(theirs, luma, 0.0)
    assert row[:4].tolist() == [face.left - 0.5, face.top - 0.5, face.right + 0.5, face.bottom + 0.5]
    assert row[4] == pytest.approx(face.score, abs=1e-4)


def test_the_table_of_gradients_has_the_nearest_direction() -> None:
    direction, length = (table.reshape(512, 512) for table in hog_cells._gradients())
    y, x = np.mgrid[-256:256, -256:256]
    angle = np.degrees(np.arctan2(y, x)) % 360
    off = np.abs((angle - 20.0 * direction + 180) % 360 - 180)
    assert off[np.hypot(x, y) > 0].max() <= 10.1
    assert (length == np.hypot(x, y).astype(np.float32)).mean() > 0.9
