"""The benchmarks: each can be listed and started, their arithmetic is right, and the quickest one runs."""

import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import align
from benchmarks import _faces, alias, align_speed, detect, eyes, roll
from benchmarks.__main__ import main, names

ROOT = Path(__file__).resolve().parents[2]
LEVEL = np.array([[10.0, 20.0], [30.0, 20.0]])
"""Eyes 20 px apart on a level line."""

HEAD = "path,identity,expression,w,h,eye1_x,eye1_y,eye2_x,eye2_y,eye_source,licence\n"


@pytest.fixture(params=names())
def benchmark_module(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(f"benchmarks.{request.param.replace('-', '_')}")


def test_every_benchmark_says_in_one_line_what_it_prints_and_has_a_main(benchmark_module: ModuleType) -> None:
    first_line = (benchmark_module.__doc__ or "").splitlines()[0]
    assert first_line.endswith(".")
    assert callable(benchmark_module.main)


def test_a_dash_and_an_underscore_name_the_same_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert "align-speed" in names()
    for name in ("align-speed", "align_speed"):
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert "--all" in capsys.readouterr().out


def test_an_unknown_benchmark_and_an_unknown_option_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert main(["nothing"]) == 2
    assert "python -m benchmarks roll: " in capsys.readouterr().out
    assert main(["alias", "--all"]) == 2
    assert "takes no options (got --all)" in capsys.readouterr().err


def test_without_photos_a_benchmark_ends_with_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EYELINE_TEST_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=r"expected photos in .*faces \(not found\); set EYELINE_TEST_DATA"):
        main(["eyes"])


def test_the_index_is_read_with_and_without_pupils(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faces").mkdir()
    rows = "london/1.jpg,L1,neutral,9,9,1.5,2,3,4,hand-marked pupils,CC\nzoom/2.jpg,l,,9,9,,,,,,CC0\n"
    (tmp_path / "faces" / "index.csv").write_text(HEAD + rows)
    monkeypatch.setenv("EYELINE_TEST_DATA", str(tmp_path))
    marked, bare = _faces.read_index()
    assert marked.path == tmp_path / "faces" / "london" / "1.jpg"
    assert (marked.set_name, marked.expression, marked.eye_source) == ("london", "neutral", _faces.HAND_MARKED)
    assert marked.pupils is not None
    assert marked.pupils.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert bare.pupils is None


def test_a_quarter_turn_is_clockwise_and_its_canvas_holds_the_picture() -> None:
    matrix, size = _faces.turning(100, 50, 90, 2)
    assert size == (100, 200)
    top_left, top_right = np.array([[0, 0, 1], [99, 0, 1]]) @ matrix.T
    # pixel 0 is two pixels wide now, 0 and 1: its centre stands at 0.5
    assert top_left == pytest.approx([98.5, 0.5])
    assert top_right == pytest.approx([98.5, 198.5])


@pytest.mark.parametrize("turn_deg", [-45, 10, 90, 180])
def test_a_placed_photo_shows_its_eyes_where_they_are_said_to_be(turn_deg: float) -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    true = np.array([[60.0, 50.0], [100.0, 50.0]])
    for (x, y), colour in zip(true, ((255, 0, 0), (0, 255, 0)), strict=True):
        cv2.circle(picture, (int(x), int(y)), 6, colour, -1)
    placed = _faces.place(_faces.Subject(picture, align.Box(40, 20, 80, 80), true), 40, turn_deg)
    for channel in (0, 1):
        weight = placed.picture[:, :, channel].astype(float)
        y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
        middle = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
        assert placed.eyes[channel] == pytest.approx(middle, abs=0.2)
    assert _faces.roll_of(placed.eyes) == pytest.approx(math.remainder(turn_deg, 360), abs=1e-6) or turn_deg == 180
    assert math.dist(*placed.eyes) == pytest.approx(20)


def test_eyes_are_the_same_up_to_a_quarter_of_their_distance() -> None:
    assert _faces.are_same_eyes(LEVEL + np.array([0, 4.9]), LEVEL)
    assert not _faces.are_same_eyes(LEVEL + np.array([[0, 0], [0, 5.1]]), LEVEL)
    assert not _faces.are_same_eyes(LEVEL[::-1], LEVEL)


@pytest.mark.parametrize(
    ("box", "turn_deg", "hit"),
    [
        (align.Box(5, 5, 40, 40), 0, True),
        (align.Box(5, 5, 79, 79), 45, True),
        (align.Box(5, 5, 81, 81), 0, False),  # more than twice as wide
        (align.Box(9, 15, 22, 15), 0, False),  # less than half
        (align.Box(12, 5, 40, 40), 0, False),  # without the left eye
        (align.Box(5, 21, 40, 40), 0, False),  # below the eyes
        (align.Box(5, 5, 40, 40), 90, False),  # taken for a lying head
        (align.Box(5, 5, 40, 40), 180, False),
    ],
)
def test_a_hit_holds_both_eyes_and_has_the_faces_roll_and_size(box: align.Box, turn_deg: int, hit: bool) -> None:
    face = align.Face(box, 1.0, "test", turn_deg=turn_deg)
    assert _faces.is_hit(face, _faces.Placed(np.zeros((9, 9, 3), np.uint8), LEVEL, 40)) is hit


def test_angles_wrap_around() -> None:
    assert _faces.angle_between(-170, 170) == pytest.approx(20)
    assert _faces.angle_between(10, 25) == pytest.approx(-15)
    assert _faces.roll_of(np.array([[0.0, 0.0], [1.0, 1.0]])) == pytest.approx(45)
    assert roll.error_deg(-179, 179) == pytest.approx(2)
    assert roll.error_deg(None, 0) is None


def test_the_spread_of_errors() -> None:
    assert _faces.spread(list(range(101))) == (50, 95, 100)
    assert all(math.isnan(value) for value in _faces.spread([]))


def test_the_roll_is_that_of_the_face_nearest_to_the_true_eyes() -> None:
    far, near = (LEVEL + 15, 1.0), (LEVEL + 3, 2.0)
    assert roll.nearest_roll([far, near], LEVEL) == 2.0
    assert roll.nearest_roll([far], LEVEL) is None
    assert roll.nearest_roll([], LEVEL) is None


def test_roll_counts_what_a_method_misses_and_what_it_gets_wrong() -> None:
    """A method that always says 0 is off by the angle; one that sees only the upright photo misses the others."""
    subject = _faces.Subject(np.zeros((60, 60, 3), np.uint8), align.Box(0, 0, 40, 40), LEVEL)

    def says_level(picture: NDArray[np.uint8]) -> roll.Candidates:
        middle = (np.array(picture.shape[1::-1]) - 1) / 2
        return [(middle[None], 0.0)]

    def sees_upright(picture: NDArray[np.uint8]) -> roll.Candidates:
        return [(LEVEL, 0.0)] if picture is subject.image else []

    def says_ten(picture: NDArray[np.uint8]) -> roll.Candidates:
        return [(LEVEL, 0.0)] if picture is subject.image else [(says_level(picture)[0][0], 10.0)]

    errors = roll.measure([subject], {"level": says_level, "upright": sees_upright, "ten": says_ten})
    assert errors["ten", 40, False] == [40, 30, 20, 0, 10, 20]
    assert errors["level", 40, False] == [30, 20, 10, 10, 20, 30]
    assert errors["level", 160, True] == [45, 45]
    assert errors["upright", 80, False] == [None] * 6


def test_offsets_are_in_eye_distances_along_and_across_the_eye_line() -> None:
    upright = LEVEL + np.array([[2.0, 0.0], [0.0, 4.0]])
    sideways = np.stack([-upright[:, 1], upright[:, 0]], axis=1)  # turned by 90 degrees
    true = np.stack([LEVEL, np.stack([-LEVEL[:, 1], LEVEL[:, 0]], axis=1)])
    offsets = eyes.relative(np.stack([upright, sideways]), true)
    assert np.allclose(offsets, [[0.1, 0.2j], [0.1, 0.2j]])
    assert eyes.worse_eye(offsets) == pytest.approx([0, 0])  # all of it is constant


def test_the_worse_eye_counts_once_the_mean_offset_is_taken_off() -> None:
    offsets = np.array([[0.1, 0.3j], [0.3, 0.3j], [0.2, 0.6j]])
    assert eyes.worse_eye(offsets) == pytest.approx([0.1, 0.1, 0.2])


def test_roll_differences_are_signed_and_without_their_mean() -> None:
    level, lower_right = [0, 0], [0, 0.1j]
    tilt = math.degrees(math.atan(0.1))
    assert eyes.roll_differences(np.array([level, lower_right])) == pytest.approx([-tilt / 2, tilt / 2])


def test_the_residual_is_in_percent_of_the_plates_contrast() -> None:
    size = 256
    assert alias.residual_percent(np.full((size, size), 127, np.uint8), 2) == pytest.approx(0.5 / 180 * 100)
    checks = np.where(np.indices((size, size)).sum(axis=0) % 2, 217, 37).astype(np.uint8)
    assert alias.residual_percent(checks, 2) == pytest.approx(50, abs=0.3)
    inner = np.full((size, size), 127, np.uint8)
    inner[64:192, 64:192] = checks[64:192, 64:192]  # half as fine as the whole: the crop can carry it
    assert alias.residual_percent(inner, 2) == pytest.approx(0.5 / 180 * 100)


@pytest.mark.parametrize("name", alias.WARPS)
@pytest.mark.parametrize("axis", [0, 1])
def test_every_library_is_given_the_same_geometry(name: str, axis: int) -> None:
    """A ramp shows where each pixel of the crop looked, so that the warps differ by their filters alone."""
    ramp = np.indices((255, 255))[axis].astype(np.uint8)
    seen = alias.WARPS[name](ramp, alias.reducing(3), (85, 85)).astype(float)
    off = seen - (3 * np.indices((85, 85))[axis] + 1)
    # dlib's own pyramid moves the picture by up to half a pixel of the crop
    assert abs(off[8:-8, 8:-8].mean()) <= (1.6 if "dlib" in name else 0.1)


def test_a_detectors_tally_counts_hits_false_boxes_and_second_boxes() -> None:
    placed = _faces.Placed(np.zeros((50, 100, 3), np.uint8), LEVEL, 40)
    right = align.Face(align.Box(5, 5, 40, 40), 2.0, "test", scale=2.0, turn_deg=45)
    second = align.Face(align.Box(6, 6, 42, 42), 1.0, "test")
    upside_down = align.Face(align.Box(5, 5, 40, 40), 0.5, "test", turn_deg=180)
    wrong = align.Face(align.Box(60, 5, 40, 40), 3.0, "test")
    tally = detect.Tally()
    tally.add([wrong, right, second, upside_down], placed, 1)
    tally.add([], placed, 3)
    assert (tally.pictures, len(tally.hits), tally.false, tally.ms) == (2, 1, 3, [1, 3])
    assert tally.views.split() == ["200", "(200", "to", "200),", "turned", "100%"]
    empty = _faces.Placed(placed.picture, np.empty((0, 2)), 0)
    nobody = detect.Tally()
    nobody.add([right], empty, 1)
    assert (nobody.hits, nobody.false, nobody.views) == ([], 1, "")


def test_the_plain_scripts_crop_has_the_eyes_where_ours_has_them(astronaut: NDArray[np.uint8]) -> None:
    """The script is a fair peer only where it makes the same crop."""
    face = align.find_faces(astronaut)[0]
    assert face.eyes is not None
    ours = align.align_face(astronaut, face, align_speed.SPEC).image.astype(int)
    theirs = align_speed.rotated_crop(astronaut, *face.eyes.xy)
    assert theirs.shape == ours.shape
    assert np.abs(ours - theirs).mean() < 4


def test_both_contestants_of_align_speed_find_the_astronaut(astronaut: NDArray[np.uint8]) -> None:
    nothing = np.zeros((100, 100, 3), np.uint8)
    for contestant in (align_speed.eyeline, align_speed.PlainScript()):
        assert [crop.shape for crop in contestant([nothing, astronaut])] == [(224, 224, 3)]


def test_the_benchmark_of_aliasing_runs_and_ours_meets_its_target() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "alias"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours, linear = (
        [float(number) for number in line.split()[-3:]]
        for name in ("eyeline: align.warp", "cv2.warpAffine, linear")
        for line in done.stdout.splitlines()
        if line.strip().startswith(name)
    )
    assert max(ours) <= alias.TARGET < min(linear)
