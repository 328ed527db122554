import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import align
from align import UsageError
from align.landmarks import CORNERS_IN_BOX, locate


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> align.Face:
    return align.find_faces(astronaut)[0]


def _turned(image: np.ndarray, degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Turn clockwise on the screen about the middle, then resize; give the matrix, too."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, scale)
    matrix[:, 2] += (scale - 1) * np.array([width - 1, height - 1]) / 2
    return align.warp(image, matrix, (round(width * scale), round(height * scale))), matrix


def test_the_astronaut_has_one_face_with_eyes_by_anatomy(face: align.Face) -> None:
    assert face.detector == "hog"
    assert face.landmark_scheme == "dlib5"
    assert face.eyes is not None
    assert face.eyes.left == pytest.approx((203.5, 101), abs=2)  # the pupils, read off the enlarged photo
    assert face.eyes.right == pytest.approx((246, 103), abs=2)


def test_two_passes_are_made_unless_told_otherwise(astronaut: np.ndarray, face: align.Face) -> None:
    luma = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    landmarker = align.open_landmarker("dlib5")
    assert face.eyes == locate(luma, face, landmarker, passes=2).eyes
    assert face.eyes != locate(luma, face, landmarker, passes=1).eyes


def test_a_picture_without_a_face_gives_an_empty_list() -> None:
    assert align.find_faces(np.full((2000, 3000, 3), 128, np.uint8)) == []
    assert align.find_faces(np.zeros((1, 1, 3), np.uint8)) == []


def test_luma_and_rgb_find_the_same_face(astronaut: np.ndarray, face: align.Face) -> None:
    luma = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    found = align.find_faces(luma)
    assert found[0].box == face.box
    assert found[0].eyes == face.eyes


@pytest.mark.parametrize("degrees", [-30, -20, -10, 10, 20, 30])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_a_turned_face_stays_level_in_the_crop(astronaut: np.ndarray, degrees: float, scale: float) -> None:
    head = astronaut[0:260, 90:350]
    upright = align.find_faces(head)[0]
    turned, matrix = _turned(head, degrees, scale)
    found = align.find_faces(turned)
    assert found, "the turned face was not found"
    expected = upright.eyes.xy @ matrix[:, :2].T + matrix[:, 2]
    drift = np.linalg.norm(found[0].eyes.xy - expected, axis=1).max() / found[0].eyes.interocular_px
    assert abs(found[0].eyes.roll_deg - upright.eyes.roll_deg - degrees) < 2.0
    assert drift < 0.05


@pytest.mark.parametrize("degrees", [-45, 45])
def test_a_steep_face_gets_a_third_pass_and_is_right(astronaut: np.ndarray, degrees: float) -> None:
    head = astronaut[0:260, 90:350]
    upright = align.find_faces(head)[0]
    turned, _ = _turned(head, degrees, 1.0)
    face = align.find_faces(turned)[0]
    assert abs(face.eyes.roll_deg - upright.eyes.roll_deg - degrees) < 1.0
    box = replace(face, turn_deg=0)
    landmarker = align.open_landmarker("dlib5")
    assert locate(turned, box, landmarker).eyes == locate(turned, box, landmarker, passes=3).eyes
    assert locate(turned, box, landmarker).eyes != locate(turned, box, landmarker, passes=2).eyes


class _Watched:
    """dlib's five points, and where in the box that it was given it found them."""

    scheme = "dlib5"
    colour = False

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def points(self, view: np.ndarray, box: align.Box) -> np.ndarray:
        points = align.open_landmarker("dlib5").points(view, box)
        self.seen.append((points - (box.x, box.y)) / box.w)
        return points


def test_a_box_that_is_off_is_mended_by_the_points_themselves(astronaut: np.ndarray, face: align.Face) -> None:
    landmarker = _Watched()
    for dx, dy, larger in ((0.15, 0, 1), (0, 0.15, 1), (-0.1, -0.1, 1), (0, 0, 1.25), (0, 0, 0.8)):
        side = face.box.w * larger
        x, y = face.box.center[0] + dx * face.box.w, face.box.center[1] + dy * face.box.h
        off = replace(face, box=align.Box(x - side / 2, y - side / 2, side, side))
        eyes = locate(astronaut, off, landmarker).eyes
        assert np.abs(eyes.xy - face.eyes.xy).max() < 0.03 * face.eyes.interocular_px
        rough, fine, _ = landmarker.seen[-3:]  # then comes the mirror image
        assert np.abs(fine - CORNERS_IN_BOX).max() < 0.03 < np.abs(rough - CORNERS_IN_BOX).max()


def test_the_mirror_image_gives_mirrored_points(astronaut: np.ndarray, face: align.Face) -> None:
    """The last pass averages both, so that a mirrored photo has the mirrored eye line."""
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    width = astronaut.shape[1]
    landmarker = align.open_landmarker("dlib5")
    box = replace(face, box=align.Box(width - 1 - face.box.x - face.box.w, face.box.y, face.box.w, face.box.h))
    there = locate(mirrored, box, landmarker)
    back = np.column_stack([width - 1 - there.landmarks[:, 0], there.landmarks[:, 1]])[[2, 3, 0, 1, 4]]
    assert np.abs(back - face.landmarks).max() < 0.01 * face.eyes.interocular_px
    assert there.yaw_deg == pytest.approx(-face.yaw_deg, abs=1)


def test_the_licence_limit_of_the_68_points_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    align.open_landmarker.cache_clear()
    align.open_landmarker("dlib68")
    assert "excludes commercial use" in capsys.readouterr().err


def test_the_68_points_agree_with_the_five(astronaut: np.ndarray, face: align.Face) -> None:
    other = align.find_faces(astronaut, landmarks="dlib68")[0]
    assert other.landmark_scheme == "ibug68"
    assert other.landmarks.shape == (68, 2)
    assert np.abs(other.eyes.xy - face.eyes.xy).max() < 0.06 * face.eyes.interocular_px
    assert abs(other.eyes.roll_deg - face.eyes.roll_deg) < 2


class _Pupils:
    """A landmarker of a user's own: points painted into the picture, blue channel."""

    scheme = "dlib5"
    colour = True

    def points(self, view: np.ndarray, box: align.Box) -> np.ndarray:
        assert view.ndim == 3
        assert box.w == box.h
        return np.argwhere(view[:, :, 2] > 128)[:, ::-1].astype(float)[[0, 1, 2, 3, 4]]


def test_a_landmarker_of_ones_own_is_shown_colour_where_it_wants_it(astronaut: np.ndarray, face: align.Face) -> None:
    blue = np.zeros_like(astronaut)
    blue[:, :, 2] = 200
    assert locate(blue, face, _Pupils(), passes=1).landmarks.shape == (5, 2)
    assert locate(np.full((300, 300), 200, np.uint8), face, _Pupils(), passes=1).landmarks.shape == (5, 2)


def test_the_second_pass_lowers_the_roll_error(photos: Path) -> None:
    """Over turned photos, two passes beat one; the reference is the upright face."""
    errors = {1: [], 2: []}
    landmarker = align.open_landmarker("dlib5")
    detector = align.open_detector("hog")
    for path in sorted((photos / "london").glob("*_03.jpg"))[:6]:
        image = cv2.cvtColor(align.load_image(path), cv2.COLOR_RGB2GRAY)
        upright = locate(image, detector.detect(image)[0], landmarker)
        for degrees in (-25, -15, 15, 25):
            turned, _ = _turned(image, degrees, 0.5)
            for face in detector.detect(turned)[:1]:
                for passes, found in errors.items():
                    eyes = locate(turned, face, landmarker, passes=passes).eyes
                    found.append(abs(eyes.roll_deg - upright.eyes.roll_deg - degrees))
    assert len(errors[2]) >= 20
    assert np.mean(errors[2]) < 0.4
    assert np.mean(errors[2]) < 0.9 * np.mean(errors[1])


def test_pupils_marked_by_hand_are_near_the_eyes_found(photos: Path) -> None:
    with (photos / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["eye_source"] == "hand-marked pupils"][:20]
    worst = []
    for row in rows:
        faces = align.find_faces(align.load_image(photos / row["path"]))
        assert len(faces) == 1, row["path"]
        truth = np.array([[float(row["eye1_x"]), float(row["eye1_y"])], [float(row["eye2_x"]), float(row["eye2_y"])]])
        between = np.linalg.norm(truth[0] - truth[1])
        off = (faces[0].eyes.xy - truth) / between
        worst.append(np.abs(off - (0, 0.035)).max())  # the contour's middle stands a little below the pupil
    assert np.mean(worst) < 0.05


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"),
        (np.zeros(4, np.uint8), r"\[4\]"),
        ([[1, 2]], "list"),
        (None, "NoneType"),
    ],
)
def test_other_arrays_are_refused(image: np.ndarray, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        align.find_faces(image)
    eyes = align.Eyes((30, 50), (70, 50))
    with pytest.raises(UsageError, match=what):
        align.align_face(image, align.Face(align.Box(0, 0, 100, 100), 1.0, "test", eyes=eyes))


def test_an_unknown_detector_is_refused_with_the_nearest_names(astronaut: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"detector must be one of blazeface, .* \(got 'hgo'\); did you mean hog\?"):
        align.find_faces(astronaut, detector="hgo")


class _Marks:
    """A landmarker that is exact: it gives the middle of each of five dots, found in the view by their brightness."""

    scheme = "dlib5"
    colour = False

    def points(self, view: np.ndarray, _: align.Box) -> np.ndarray:
        weights = np.where(view > 40, view, 0).astype(float)
        count, labels = cv2.connectedComponents((view > 40).astype(np.uint8))
        y, x = np.mgrid[0 : view.shape[0], 0 : view.shape[1]]
        middles = [
            (
                (x * weights)[labels == i].sum() / weights[labels == i].sum(),
                (y * weights)[labels == i].sum() / weights[labels == i].sum(),
            )
            for i in range(1, count)
        ]
        eyes = sorted(sorted(middles, key=lambda middle: middle[1])[:4])
        nose = max(middles, key=lambda middle: middle[1])
        return np.array([eyes[3], eyes[2], eyes[0], eyes[1], nose])


@pytest.mark.parametrize("side", [90, 320, 640])
def test_nothing_is_lost_on_the_way_into_the_view_and_back(side: int) -> None:
    """With an exact landmarker the points are exact, mirror image and all, and dots outside the box are seen."""
    marks = np.array([(0.87, 0.3), (0.66, 0.31), (-0.12, 0.3), (0.34, 0.29), (0.5, 1.1)]) * side + side * 0.4
    y, x = np.mgrid[0 : 2 * side, 0 : 2 * side]
    blur = 2 * (side / 50) ** 2
    picture = sum(250 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / blur) for cx, cy in marks)
    face = align.Face(align.Box(side * 0.4, side * 0.4, side, side), 1.0, "test")
    found = locate(np.clip(picture, 0, 255).astype(np.uint8), face, _Marks(), passes=1)
    assert np.abs(found.landmarks - marks).max() < 0.06 * max(side / 320, 1)


def test_a_face_is_a_value() -> None:
    points = np.ones((5, 2))
    face = align.Face(align.Box(0, 0, 50, 50), 0.1, "test", landmarks=points, landmark_scheme="dlib5")
    assert face == replace(face)
    assert len({face, replace(face)}) == 1
    points[0] = 9
    assert face.landmarks[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        face.landmarks[0, 0] = 5


def test_an_unknown_choice_of_faces_is_refused() -> None:
    with pytest.raises(UsageError, match=r"faces must be one of largest, central, all \(got 'best'\)"):
        align.choose_faces([align.Face(align.Box(0, 0, 50, 50), 0.1, "test")], "best", 9, 9)


def test_choosing_faces() -> None:
    big = align.Face(align.Box(0, 0, 50, 50), 0.1, "test")
    middle = align.Face(align.Box(80, 80, 40, 40), 0.2, "test")
    assert align.choose_faces([middle, big], "largest", 200, 200) == [big]
    assert align.choose_faces([middle, big], "central", 200, 200) == [middle]
    assert align.choose_faces([middle, big], "all", 200, 200) == [big, middle]
    assert align.choose_faces([], "largest", 200, 200) == []
