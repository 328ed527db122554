"""One contract for every detector; those whose weights no package ships run on made ones laid out like them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import align
from align import DETECTORS, MODELS, Search, UsageError
from align.detectors import dlib_hog
from align.landmarks import locate
from align.models import ModelFile, models_used_by
from align.upright import upright

from .made_models import MAKERS, fitting_card

REAL = ("cnn", "haar", "hog", "yunet")
"""Detectors whose true weights come with a package, or with the test data."""

QUICK = Search(min_face=80, turns=False)
"""No view larger than a face of 80 pixels needs: the convolutional detectors take seconds a megapixel."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, ModelFile]:
    """Made model files, each with its card."""
    folder = tmp_path_factory.mktemp("made-models")
    for name, make in MAKERS.items():
        make(folder / name)
    return {path: fitting_card(path) for path in folder.iterdir()}


@pytest.fixture
def store(made: dict[Path, ModelFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model store with made files, and YuNet's real one where the test data is at hand."""
    folder = tmp_path / "store"
    folder.mkdir()
    for path, card in made.items():
        (folder / path.name).symlink_to(path)
        monkeypatch.setitem(MODELS, path.name, card)
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    yunet = Path(os.environ.get("EYELINE_TEST_DATA", beside)) / "models" / "face_detection_yunet_2023mar.onnx"
    if yunet.is_file():
        shutil.copy(yunet, folder)
    monkeypatch.setenv("EYELINE_MODELS", str(folder))
    align.open_detector.cache_clear()
    align.open_landmarker.cache_clear()
    return folder


def _open(name: str, store: Path) -> align.Detector:
    if name == "yunet" and not (store / "face_detection_yunet_2023mar.onnx").is_file():
        pytest.skip("no file of YuNet: set EYELINE_TEST_DATA to a folder that holds models/")
    return align.open_detector(name)


@pytest.fixture(scope="module")
def opened() -> dict[str, align.Detector]:
    """The detectors that were opened: to load and check a network takes as long as most of what is done with it."""
    return {}


@pytest.fixture(params=sorted(DETECTORS))
def detector(request: pytest.FixtureRequest, store: Path, opened: dict[str, align.Detector]) -> align.Detector:
    return opened.get(request.param) or opened.setdefault(request.param, _open(request.param, store))


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, store: Path, opened: dict[str, align.Detector]) -> align.Detector:
    return opened.get(request.param) or opened.setdefault(request.param, _open(request.param, store))


@pytest.fixture(scope="module")
def head(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[0:240, 100:340])


def test_every_face_is_a_valid_record_in_source_pixels(detector: align.Detector, head: np.ndarray) -> None:
    faces = detector.detect(head, QUICK)
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    height, width = head.shape[:2]
    for face in faces:
        assert face.detector == detector.name
        assert face.scale > 0
        assert face.turn_deg == 0
        assert face.eyes is None
        left, top, right, bottom = face.box.xyxy
        assert left < width and right > 0 and top < height and bottom > 0  # noqa: PT018
        assert np.isfinite([*face.box.xyxy, face.score]).all()
    for index, face in enumerate(faces):
        assert all(face.box.iou(other.box) <= 0.4 for other in faces[:index])


def test_looking_twice_and_together_gives_the_same(detector: align.Detector, head: np.ndarray) -> None:
    other = np.ascontiguousarray(head[:, ::-1])
    alone = [detector.detect(picture, QUICK) for picture in (head, other)]
    together = detector.detect_batch([head, other], QUICK)
    for one, many in zip(alone, together, strict=True):
        assert len(one) == len(many)
        for a, b in zip(one, many, strict=True):
            assert np.allclose(a.box.xyxy, b.box.xyxy, atol=0.05)
            assert a.score == pytest.approx(b.score, abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (16, 16), (200, 40)])
def test_pictures_of_any_shape_and_luma_are_taken(detector: align.Detector, shape: tuple[int, int]) -> None:
    grey = np.full(shape, 90, np.uint8)
    in_colour = detector.detect(np.repeat(grey[:, :, None], 3, axis=2), QUICK)
    assert len(detector.detect(grey, QUICK)) == len(in_colour)


@pytest.mark.parametrize(
    "picture",
    [
        np.full((100, 120), 1e12),
        np.full((100, 120), np.nan, np.float32),
        np.full((100, 120), -30_000, np.int16),
        np.zeros((0, 5), np.uint8),
        np.zeros((90, 90, 4), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"image must be uint8 \[H, W, 3\] or \[H, W\]"):
        align.open_detector("hog").detect(picture, QUICK)


def test_the_real_ones_find_the_astronaut_where_she_is(real: align.Detector, head: np.ndarray) -> None:
    face = real.detect(head, QUICK)[0]
    x, y = face.box.center
    assert (x, y) == pytest.approx((126, 122), abs=16)  # between the eyes and the mouth, read off the photo
    assert 70 < np.sqrt(face.box.area) < 130
    moved = cv2.copyMakeBorder(head, 40, 0, 24, 0, cv2.BORDER_REPLICATE)
    there = real.detect(moved, QUICK)[0]
    assert there.box.center == pytest.approx((x + 24, y + 40), abs=12)


def test_the_real_ones_find_nothing_in_a_blank(real: align.Detector) -> None:
    assert real.detect(np.full((300, 200, 3), 128, np.uint8), QUICK) == []


@pytest.mark.parametrize("turn", [90, 180, -90])
@pytest.mark.parametrize("name", ["hog", "yunet"])
def test_a_lying_head_is_found_with_its_turn_and_eyes_by_anatomy(
    name: str, turn: int, store: Path, head: np.ndarray
) -> None:
    _open(name, store)
    upright = align.find_faces(head, name)[0]
    lying = np.ascontiguousarray(np.rot90(head, -turn // 90))
    face = align.find_faces(lying, name)[0]
    assert (face.turn_deg - turn) % 360 == 0
    assert abs((face.eyes.roll_deg - upright.eyes.roll_deg - turn + 180) % 360 - 180) < 1.5
    there = align.align_face(lying, face, align.CropSpec(size=112)).image.astype(float)
    here = align.align_face(head, upright, align.CropSpec(size=112)).image.astype(float)
    assert np.abs(there - here).mean() < 8


@pytest.mark.parametrize("turn", [0, 90, 180, -90])
@pytest.mark.parametrize("wrong", [0, 90, 180])
def test_which_way_up_a_face_is_does_not_depend_on_what_was_said(head: np.ndarray, turn: int, wrong: int) -> None:
    lying = np.ascontiguousarray(np.rot90(head, -turn // 90))
    x, y = {0: (126, 122), 90: (240 - 1 - 122, 126), 180: (240 - 1 - 126, 240 - 1 - 122), -90: (122, 240 - 1 - 126)}[
        turn
    ]
    face = align.Face(align.Box(x - 48, y - 48, 96, 96), 1.0, "any", turn_deg=wrong)
    assert (upright(lying, face).turn_deg - turn) % 360 == 0


def test_a_face_that_the_referee_does_not_see_stays_as_it_is() -> None:
    face = align.Face(align.Box(20, 20, 60, 60), 1.0, "any", turn_deg=90)
    assert upright(np.full((100, 100), 90, np.uint8), face) == face


@pytest.mark.parametrize("name", ["sfd", "retinaface"])
@pytest.mark.usefixtures("store")
def test_the_network_is_shown_blue_green_red_less_its_means(name: str, head: np.ndarray) -> None:
    backend = align.open_detector(name)._backend
    seen = []
    network = backend._detector.face_detector
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numpy().copy()))
    backend.boxes([head])
    expected = head.astype(np.float32)[:, :, ::-1].transpose(2, 0, 1) - np.reshape([104, 117, 123], (3, 1, 1))
    assert np.allclose(seen[0][0], expected)


@pytest.mark.usefixtures("store")
def test_blazeface_is_shown_red_green_blue_tiles_between_minus_one_and_one(head: np.ndarray) -> None:
    backend = align.open_detector("blazeface")._backend
    seen = []
    backend._detector.face_detector.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numpy().copy()))
    backend.boxes([head])
    tiles = np.concatenate(seen)
    assert tiles.shape == (9, 3, 128, 128)
    expected = head[:128, :128].astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
    assert np.allclose(tiles[0], expected, atol=1e-5)
    assert np.allclose(tiles[-1], head[-128:, -128:].astype(np.float32).transpose(2, 0, 1) / 127.5 - 1, atol=1e-5)


@pytest.mark.usefixtures("store")
def test_scrfd_is_shown_red_green_blue_at_the_pictures_own_size() -> None:
    """The made network finds red; a detector that swaps the channels would find blue."""
    backend = align.open_detector("scrfd")._backend
    picture = np.full((120, 200, 3), 127, np.uint8)
    picture[32:64, 64:96] = (250, 120, 10)
    picture[64:96, 128:160] = (10, 120, 250)
    (rows,) = backend.boxes([picture])
    surest = rows[np.argmax(rows[:, 4])]
    assert ((surest[0] + surest[2]) / 2, (surest[1] + surest[3]) / 2) == pytest.approx((79.5, 47.5), abs=17)
    centres = (rows[:, :2] + rows[:, 2:4]) / 2
    off_red = np.abs(centres - (79.5, 47.5)).max(axis=1) > 34
    assert not (off_red & (rows[:, 4] > 0.6)).any()


@pytest.mark.usefixtures("store")
def test_fan_gives_68_points_of_an_enlarged_face_and_never_downloads(
    head: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made weights know no face; what is checked is where the points may lie and what the network is shown."""
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: pytest.fail("a download was tried"))
    landmarker = align.open_landmarker("fan")
    seen = []
    landmarker._network.face_alignment_net.register_forward_pre_hook(lambda _, x: seen.append(x[0].numpy().copy()))
    face = locate(head, align.open_detector("hog").detect(head)[0], landmarker, passes=1)
    assert face.landmark_scheme == "ibug68"
    assert face.landmarks.shape == (68, 2)
    assert np.isfinite(face.landmarks).all()
    assert all(shown.shape == (1, 3, 256, 256) for shown in seen)
    assert len(seen) == 2  # the face and its mirror image
    assert seen[0].mean(axis=(0, 2, 3))[0] > seen[0].mean(axis=(0, 2, 3))[2]  # her skin and suit are red, not blue


@pytest.mark.parametrize("name", ["hog", "haar", "yunet", "cnn"])
@pytest.mark.usefixtures("store")
def test_a_detector_that_knows_no_gpu_refuses_one(name: str) -> None:
    with pytest.raises(UsageError, match="runs on the CPU alone"):
        align.open_detector(name, device="cuda")


@pytest.mark.parametrize("name", ["sfd", "blazeface", "retinaface", "scrfd"])
@pytest.mark.usefixtures("store")
def test_a_gpu_that_is_not_there_is_said_in_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match=r"torch sees no CUDA device here"):
        align.open_detector(name, device="cuda")


@pytest.mark.parametrize("name", ["sfd", "blazeface", "retinaface", "scrfd"])
def test_a_missing_model_is_said_with_its_path_and_where_to_get_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path / "nothing"))
    align.open_detector.cache_clear()
    with pytest.raises(align.ModelError, match="eyeline-align models fetch") as caught:
        align.open_detector(name)
    assert models_used_by(name)[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def _hog_cache() -> Path:
    (path,) = (Path(os.environ["XDG_CACHE_HOME"]) / "eyeline").glob("hog-*.bin")
    return path


@pytest.mark.parametrize("damage", [lambda data: data, lambda data: data[:-9], lambda _: b"", lambda data: b"x" + data])
def test_hog_is_kept_unpacked_and_finds_the_same_whatever_became_of_the_file(
    damage: Callable[[bytes], bytes], astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hog_cache().unlink()
    first = dlib_hog.Hog()
    path = _hog_cache()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    unpacked: list[int] = []
    unpack = dlib_hog._unpack
    monkeypatch.setattr(dlib_hog, "_unpack", lambda: unpacked.append(1) or unpack())
    luma = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    assert (dlib_hog.Hog().boxes([luma])[0] == first.boxes([luma])[0]).all()
    assert bool(unpacked) == (damage(whole) != whole)
    assert path.read_bytes() == whole


def test_hog_is_opened_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert dlib_hog.Hog().name == "hog"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", _no_home)
    assert dlib_hog.Hog().name == "hog"


def _no_home() -> Path:
    raise RuntimeError("no home")
