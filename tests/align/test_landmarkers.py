"""dlib's shape predictors without dlib: its own points where they are rounded, and more than those where not."""

import subprocess
import sys
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import align
from align import Box, ModelError, find_model
from align.landmarkers import regression_trees
from align.landmarkers.fan import Fan
from align.landmarkers.regression_trees import ShapePredictor
from align.landmarkers.tree_file import PIXEL_BITS, read_ensemble
from align.landmarks import FINE_PX, _points

FILES = {
    "dlib5": "shape_predictor_5_face_landmarks.dat",
    "ibug68": "shape_predictor_68_face_landmarks.dat",
}
SIDE = 240


def _train(path: Path) -> None:
    """Let dlib learn three points of noise: cascades, trees, leaves, pixels and points of other numbers than usual."""
    options = dlib.shape_predictor_training_options()
    options.cascade_depth, options.tree_depth, options.num_trees_per_cascade_level = 3, 2, 7
    options.feature_pool_size, options.num_test_splits, options.oversampling_amount = 30, 5, 5
    options.random_seed = "eyeline"
    rng = np.random.default_rng(0)
    images, truths = [], []
    for _ in range(12):
        x, y = (int(v) for v in rng.integers(30, 60, 2))
        image = np.zeros((100, 100), np.uint8)
        image[y:, x:] = 200
        images.append(image)
        parts = [dlib.point(x, y), dlib.point(x, y + 20), dlib.point(x + 20, y)]
        truths.append([dlib.full_object_detection(dlib.rectangle(10, 10, 90, 90), parts)])
    dlib.train_shape_predictor(images, truths, options).save(str(path))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "small.dat"
    _train(path)
    return path


@pytest.fixture(scope="module")
def luma(astronaut: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module", params=["dlib5", "ibug68", "trained"])
def path(request: pytest.FixtureRequest, trained: Path) -> Path:
    return trained if request.param == "trained" else find_model(FILES[request.param])


def _views(luma: np.ndarray, count: int) -> list[tuple[np.ndarray, tuple[int, int, int, int]]]:
    """The astronaut's face turned and resized, and boxes more or less about it, some of them beyond the view."""
    rng = np.random.default_rng(7)
    views = []
    for _ in range(count):
        matrix = cv2.getRotationMatrix2D((225, 102), rng.uniform(-60, 60), rng.uniform(0.4, 3))
        matrix[:, 2] += SIDE / 2 - np.array([225, 102])
        border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
        view = cv2.warpAffine(luma, matrix, (SIDE + 20, SIDE), borderMode=border, borderValue=250)
        width = int(rng.integers(16, SIDE))
        left, top = (int(v) for v in (SIDE - width) // 2 + rng.integers(-width, width, 2) // 2)
        views.append((view, (left, top, width, width + int(rng.integers(-3, 4)))))
    return views


def test_rounded_points_are_dlibs_own(path: Path, luma: np.ndarray) -> None:
    ours, theirs = ShapePredictor(path, "any"), dlib.shape_predictor(str(path))
    for view, (left, top, width, height) in _views(luma, 150):
        points = ours.points(view, Box(left, top, width, height))
        parts = theirs(view, dlib.rectangle(left, top, left + width, top + height)).parts()
        expected = np.array([(part.x, part.y) for part in parts])
        away_from_half = np.abs(points % 1 - 0.5) > 1e-3  # there dlib's matrices round differently in the last bit
        assert points.dtype == np.float64
        assert points.shape == expected.shape
        assert (np.floor(points + 0.5) == expected)[away_from_half].all()


def test_points_stand_between_pixels_and_so_do_boxes(path: Path, luma: np.ndarray) -> None:
    """Each pixel made into four is the same picture: every point stands where it stood."""
    predictor = ShapePredictor(path, "any")
    for view, (left, top, width, height) in _views(luma, 40):
        box = Box(left + 0.3, top - 0.4, width + 0.15, height)
        twice = Box(2 * box.x + 0.5, 2 * box.y + 0.5, 2 * box.w, 2 * box.h)
        points = predictor.points(view, box)
        again = predictor.points(view.repeat(2, axis=0).repeat(2, axis=1), twice)
        assert np.abs((again - 0.5) / 2 - points).max() < 1e-9
        moved = predictor.points(view, Box(box.x + 0.1, box.y, box.w, box.h))
        assert (moved != points).any()


def test_a_view_may_be_a_part_of_a_picture(luma: np.ndarray) -> None:
    predictor = ShapePredictor(find_model(FILES["dlib5"]), "dlib5")
    here = predictor.points(luma[20:200, 130:320], Box(40, 30, 100, 100))
    alone = predictor.points(luma[20:200, 130:320].copy(), Box(40, 30, 100, 100))
    assert (here == alone).all()
    predictor.points(luma, Box(40.5, 30, 100.0, 100))
    assert len(regression_trees._find.signatures) == 1  # compiled once for all


def test_outside_of_the_picture_is_black(luma: np.ndarray) -> None:
    predictor = ShapePredictor(find_model(FILES["dlib5"]), "dlib5")
    part = luma[60:150, 190:260]  # the box goes beyond all four sides
    framed = cv2.copyMakeBorder(part, 90, 90, 90, 90, cv2.BORDER_CONSTANT, value=0)
    points = predictor.points(np.ascontiguousarray(part), Box(-12, -15, 95, 120))
    assert np.abs(predictor.points(framed, Box(78, 75, 95, 120)) - 90 - points).max() < 1e-9
    far = predictor.points(luma, Box(1e6, -1e6, 90, 90))
    assert np.isfinite(far).all()


class _ByViews:
    """The same landmarker, to which each view is shown."""

    scheme, colour = "dlib5", False

    def __init__(self, landmarker: align.Landmarker) -> None:
        self.points = landmarker.points


def test_points_through_a_view_are_those_of_the_view_bit_for_bit(luma: np.ndarray) -> None:
    """Faces in the middle, across each edge and beyond a corner, upright and leaning, much and little enlarged."""
    landmarker = align.open_landmarker("dlib5")
    rng = np.random.default_rng(3)
    (face,) = align.find_faces(luma)
    for number in range(60):
        side = rng.uniform(12, 240)
        x, y = (225, 102) if number % 3 == 0 else rng.uniform(-100, 600, 2)
        where = Box(x - side / 2, y - side / 2, side, side), rng.uniform(-180, 180), FINE_PX
        by_views = _points(luma, _ByViews(landmarker), where, mirrored=True)
        assert (_points(luma, landmarker, where, mirrored=True) == by_views).all()
    assert (
        align.follow(luma, face, landmarker).landmarks == align.follow(luma, face, _ByViews(landmarker)).landmarks
    ).all()


def test_a_face_that_is_larger_than_the_view_is_shown_smoothed(luma: np.ndarray) -> None:
    """Reading single pixels of it would alias."""
    landmarker = align.open_landmarker("dlib5")
    large = cv2.resize(luma, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    where = Box(900, 300, 700, 700), 3.0, FINE_PX
    by_views = _points(large, _ByViews(landmarker), where, mirrored=True)
    assert (_points(large, landmarker, where, mirrored=True) == by_views).all()


def test_the_trees_have_the_sizes_that_they_were_trained_with(trained: Path) -> None:
    trees = read_ensemble(trained.read_bytes(), "small.dat")
    assert trees.initial.shape == (6,)
    assert trees.anchors.shape == (3, 30)
    assert trees.deltas.shape == (3, 30, 2)
    assert trees.splits.shape == (3, 7, 3)
    assert trees.leaves.shape == (3, 7 * 4, 6)


def _damaged(data: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        read_ensemble(data, "part.dat")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_or_goes_on_is_refused(trained: Path) -> None:
    data = trained.read_bytes()
    for end in (0, 1, 2, 5, 40, len(data) // 3, len(data) // 2, len(data) - 40, len(data) - 1):
        _damaged(data[:end], r"^part\.dat: expected .* at byte \d+ .*cut off or is not a shape predictor of dlib's")
    _damaged(data + b"\x01\x01", "expected the end at byte .*found 2 bytes more")
    _damaged(find_model(FILES["dlib5"]).read_bytes()[:-1], "cut off")


def _number(value: int) -> bytes:
    """Write an integer as dlib does."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def _real(mantissa: int, exponent: int = 0) -> list[int]:
    return [mantissa, exponent]


def _file(**changes: object) -> bytes:
    """A predictor of two points, two cascades of two trees with one split each, and three pixels."""
    parts: dict[str, list[int]] = {
        "version": [1],
        "shape": [-4, -1],
        "initial": 4 * _real(1, -1),
        "cascades": [2],
        "trees": [2],
        "splits": [1],
        "split": [0, 2, *_real(3, -1)],
        "ends": [2],
        "leaf": [-4, -1, *4 * _real(1)],
        "anchors": [2, 3, 0, 1, 0, 3, 1, 1, 0],
        "deltas": [2, 3, *6 * _real(1, -2), 3, *6 * _real(1, -3)],
    } | changes
    tree = parts["splits"] + parts["split"] + parts["ends"] + parts["leaf"] + [-4, -1, *4 * _real(-1)]
    usual = [1, 0, 1, *_real(0), 2, *2 * [-4, -1, *4 * _real(1)]]
    numbers = parts["version"] + parts["shape"] + parts["initial"] + parts["cascades"]
    numbers += 2 * (parts["trees"] + usual + tree) + parts["anchors"] + parts["deltas"]
    return b"".join(map(_number, numbers))


def test_a_file_is_read_as_it_was_written() -> None:
    trees = read_ensemble(_file(), "made.dat")
    assert trees.initial.tolist() == [0.5] * 4
    assert trees.anchors.tolist() == [[0, 1, 0], [1, 1, 0]]
    assert (trees.deltas[0] == 0.25).all()
    assert (trees.deltas[1] == 0.125).all()
    assert trees.splits.tolist() == [[[1 << PIXEL_BITS], [(1 << 2 * PIXEL_BITS) + (2 << PIXEL_BITS)]]] * 2
    assert trees.leaves[1].tolist() == [[1] * 4, [1] * 4, [1] * 4, [-1] * 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": [2]}, "expected version 1 .*found 2"),
        ({"shape": [-4, -2]}, "expected a column of x and y of 2 points or more .*found 4 x 2 numbers"),
        ({"shape": [4, -1]}, "expected a column"),
        ({"shape": [-3, -1], "initial": 3 * _real(1)}, "expected a column"),
        ({"shape": [-2, -1], "initial": 2 * _real(1)}, "expected a column"),
        ({"initial": 4 * _real(1, 32_000)}, "expected before it numbers that float32 can hold"),
        ({"cascades": [0]}, "expected a number from 1 to 2048 .*found 0"),
        ({"cascades": [-2]}, "expected a number from 1 to 2048 .*found -2"),
        ({"trees": [1 << 40]}, "expected a number from 1 to 2048"),
        ({"trees": [2_000]}, r"expected \d+ integers .*found \d+ bytes"),
        ({"splits": [3]}, "expected before it 2 trees of 1 splits and 2 leaves of 4 numbers .*found others"),
        ({"ends": [3]}, "found others"),
        ({"leaf": [-2, -1, *4 * _real(1)]}, "found others"),
        ({"leaf": [-4, 1, *4 * _real(1)]}, "found others"),
        ({"leaf": [-4, -1, *3 * _real(1), 1, 32_002]}, "expected before it numbers that float32 can hold"),
        ({"split": [0, 3, *_real(1)]}, "expected before it pixels from 0 to 2 .*found 0 to 3"),
        ({"split": [-1, 2, *_real(1)]}, "found -1 to 2"),
        ({"anchors": [2, 3, 0, 1, 0, 3, 1, 2, 0]}, "expected before it points from 0 to 1 .*found 0 to 2"),
        ({"anchors": [2, 3, 0, 1, -1, 3, 1, 1, 0]}, "found -1 to 1"),
        ({"anchors": [2, 3, 0, 1, 0, 2, 1, 1]}, "expected before it 2 cascades of one size .*found 2 of 2 sizes"),
        ({"anchors": [1, 3, 0, 1, 0]}, "found 1 of 1 sizes"),
    ],
)
def test_what_no_predictor_has_is_refused(changes: dict[str, list[int]], message: str) -> None:
    _damaged(_file(**changes), message)


def test_a_tree_that_is_not_full_is_refused() -> None:
    numbers = [1, -4, -1, *4 * _real(1), 1, 2, 2, *2 * [0, 1, *_real(1)]]
    _damaged(b"".join(map(_number, numbers)), "expected as many splits as a full tree has .*found 2")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_byte_that_is_wrong_gives_an_error_or_trees_that_stay_inside(place: int, value: int) -> None:
    data = bytearray(_file())
    data[place % len(data)] = value
    try:
        trees = read_ensemble(bytes(data), "hurt.dat")
    except ModelError:
        return
    assert trees.anchors.max() < len(trees.initial) // 2
    mask = (1 << PIXEL_BITS) - 1
    assert (trees.splits & mask).max() < trees.anchors.shape[1]
    assert (trees.splits >> PIXEL_BITS & mask).max() < trees.anchors.shape[1]


def test_numba_is_loaded_with_a_landmarker_and_dlib_is_not() -> None:
    code = (
        "import sys, align, align.landmarks; early = 'numba' in sys.modules;"
        "landmarker = align.open_landmarker('dlib5'); import numpy as np;"
        "landmarker.points(np.zeros((50, 50), np.uint8), align.Box(5, 5, 40, 40));"
        "print(early, 'numba' in sys.modules, 'dlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]


def test_the_68_points_are_opened_by_their_scheme() -> None:
    assert align.open_landmarker("dlib68").scheme == "ibug68"
    assert align.open_landmarker("dlib5").scheme == "dlib5"


class _Corners:
    """Stands for FAN, whose weights no package ships: finds two corners of the box and the bright spot."""

    def get_landmarks_from_image(self, view: np.ndarray, detected_faces: list[list[float]]) -> list[np.ndarray]:
        left, top, right, bottom = detected_faces[0]
        y, x = np.nonzero(view[..., 0] > 128)
        return [np.trunc([(left, top), (right, bottom), (x.mean(), y.mean())])]


def test_fan_sees_twice_the_size_and_its_points_come_back_to_half_a_pixel() -> None:
    fan = Fan.__new__(Fan)
    fan._network = _Corners()
    view = np.zeros((90, 120, 3), np.uint8)
    view[30:41, 50:71] = 255
    corners = fan.points(view, Box(10.25, 20.75, 40.5, 41))
    assert corners[:2].tolist() == [[10.25, 20.75], [50.75, 61.75]]
    assert corners[2] == pytest.approx((60, 35), abs=0.5)
    assert fan.points(view, Box(10.0, 20.5, 40, 40))[0].tolist() == [9.75, 20.25]  # truncated at half a pixel
