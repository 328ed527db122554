import bz2
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from align import MODELS, ModelError, find_model
from align.lock import held
from align.models import PINNED, UNVERIFIED, VERIFIED, ModelFile
from align.store import _MAGIC, WRONG, check_models, fetch

from .model_server import BODY, NPY, QUICK, Script, refuse

pytestmark = pytest.mark.usefixtures("cache")


# Files compressed on the server


@pytest.fixture
def packed(server: Script, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    server.load(bz2.compress(BODY))
    monkeypatch.setitem(MODELS, "model.dat", server.card(BODY, url="/model.dat.bz2"))
    return cache / "model.dat"


@pytest.mark.parametrize("steps", [(), ("cut",), ("cut", "cut"), ("corrupt_cut",), ("old_cut",)])
def test_a_compressed_file_is_stored_unpacked(server: Script, packed: Path, steps: tuple[str, ...]) -> None:
    server.load(bz2.compress(BODY), *steps)
    fetch("model.dat", patience=QUICK)
    assert packed.read_bytes() == BODY
    assert [path.name for path in packed.parent.iterdir()] == ["model.dat"]
    if steps == ("cut",):
        assert server.ranges[1] == f"bytes={len(bz2.compress(BODY)) // 2}-"


@pytest.mark.usefixtures("packed")
def test_a_bomb_is_stopped_at_the_size_of_the_card(server: Script, tmp_path: Path) -> None:
    server.load(bz2.compress(bytes(50_000_000)))
    with start_fetch(tmp_path / "to", MODELS["model.dat"], limit=300_000) as process:  # more would be a full disk
        assert "expected 200,000 bytes when unpacked (found more)" in process.communicate(timeout=20)[1]
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("body", [b"BZh9 no such thing", bz2.compress(BODY)[:-9], bz2.compress(BODY[:-1]), b""])
def test_a_broken_archive_is_refused(server: Script, packed: Path, body: bytes) -> None:
    server.load(body)
    refuse(packed)
    assert list(packed.parent.iterdir()) == []


def test_a_shipped_model_comes_compressed_where_no_package_has_it(
    server: Script, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mmod_human_face_detector.dat"
    body = find_model(name).read_bytes()
    server.load(bz2.compress(body))
    monkeypatch.setitem(MODELS, name, replace(MODELS[name], url=f"{server.url}/{name}.bz2"))
    assert fetch(name).place == "package"
    assert server.asked == []
    monkeypatch.setattr("align.models.package_root", lambda _: None)
    assert fetch(name).path == cache / name
    assert (cache / name).read_bytes() == body


def test_the_real_yunet_is_fetched(server: Script, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "face_detection_yunet_2023mar.onnx"
    real = photos.parent / "models" / name
    if not real.is_file():
        pytest.skip("no YuNet: put it into models/ of the folder that EYELINE_TEST_DATA names")
    server.load(real.read_bytes(), "lfs")
    monkeypatch.setitem(MODELS, name, replace(MODELS[name], url=f"{server.url}/raw/main/{name}"))
    monkeypatch.setattr("align.models.package_root", lambda _: None)
    with pytest.raises(ModelError, match="git-LFS"):
        fetch(name)
    assert fetch(name).state == VERIFIED


# Files whose sha256 nobody publishes


@pytest.fixture
def anchors(server: Script, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    server.load(NPY)
    monkeypatch.setitem(MODELS, "a.npy", server.card(NPY, "a.npy", "/anchors.npy?raw=true", sha256=None, size=None))
    return cache / "a.npy"


def test_a_file_of_unknown_sha256_is_pinned_at_its_first_fetch(server: Script, anchors: Path) -> None:
    assert fetch("a.npy").state == PINNED
    pin = anchors.with_name("a.npy.sha256")
    assert pin.read_text() == f"{hashlib.sha256(NPY).hexdigest()}  a.npy\n"
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", pin.name], cwd=pin.parent, check=True, capture_output=True)
    anchors.unlink()
    server.load(NPY + b"newer")
    with pytest.raises(ModelError, match="that of the first fetch"):
        fetch("a.npy")
    assert not anchors.exists()
    pin.unlink()
    assert fetch("a.npy").state == PINNED


@pytest.mark.parametrize("step", ["whole_chunked", "e404", "html", "lfs", "gzip"])
def test_a_file_of_unknown_sha256_must_declare_its_size_and_be_of_its_kind(
    server: Script, anchors: Path, step: str
) -> None:
    server.load(NPY, step)
    refuse(anchors)
    server.load(BODY)
    assert r"expected a .npy file" in refuse(anchors)
    assert list(anchors.parent.iterdir()) == []


def test_a_file_put_there_by_hand_is_used_but_not_called_verified(server: Script, anchors: Path) -> None:
    anchors.parent.mkdir(parents=True)
    anchors.write_bytes(NPY)
    assert find_model("a.npy") == anchors
    assert fetch("a.npy").state == UNVERIFIED
    assert server.asked == []


def test_every_card_without_sha256_has_a_kind_that_can_be_told() -> None:
    for card in MODELS.values():
        assert card.sha256 or Path(card.name).suffix in _MAGIC


# Folders


@pytest.mark.usefixtures("target")
def test_a_wrong_file_of_the_user_is_refused_and_stays(
    server: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "model.dat").write_bytes(b"mine")
    with pytest.raises(ModelError, match="expected sha256"):
        fetch("model.dat", mine)
    monkeypatch.setenv("EYELINE_MODELS", str(mine))
    with pytest.raises(ModelError, match="expected sha256"):
        fetch("model.dat")
    assert (mine / "model.dat").read_bytes() == b"mine"
    assert server.asked == []


def test_a_wrong_file_in_the_cache_is_replaced(server: Script, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half a mod")
    fetch("model.dat")
    assert target.read_bytes() == BODY
    target.write_bytes(b"half a mod")
    server.load(BODY, "e404")
    refuse(target)


@pytest.mark.usefixtures("target")
def test_the_store_that_is_named_is_the_one_that_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path / "store"))
    got = fetch("model.dat")
    assert (got.place, got.path) == ("EYELINE_MODELS", tmp_path / "store" / "model.dat")
    assert find_model("model.dat") == got.path


@pytest.mark.usefixtures("target", "anchors")
def test_what_is_here_is_copied_into_another_folder_without_the_network(server: Script, tmp_path: Path) -> None:
    server.load(BODY)
    fetch("model.dat")
    server.load(NPY)
    fetch("a.npy")
    server.asked.clear()
    assert fetch("model.dat", tmp_path / "to").state == VERIFIED
    assert fetch("a.npy", tmp_path / "to").state == PINNED
    assert (tmp_path / "to" / "model.dat").read_bytes() == BODY
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["a.npy", "a.npy.sha256", "model.dat"]
    assert server.asked == []


def test_a_wrong_copy_elsewhere_is_not_copied(server: Script, target: Path, tmp_path: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_bytes(b"wrong")
    assert fetch("model.dat", tmp_path / "to").state == VERIFIED
    assert len(server.asked) == 1


@pytest.mark.usefixtures("target")
def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="expected a folder that can be written") as caught:
        fetch("model.dat", tmp_path / "file" / "below")
    assert os.strerror(errno.ENOTDIR) in str(caught.value)


FETCH = """
import fcntl, os, resource, sys
from pathlib import Path
from align import MODELS, ModelError, models, store
from align.models import ModelFile
folder, url, sha256, size, limit, user = sys.argv[1:]
card = ModelFile("model.dat", sha256, int(size), "", "yes", url, ())
MODELS[card.name] = card
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
if int(user):
    os.seteuid(int(user))
try:
    store.fetch(card.name, Path(folder))
except ModelError as error:
    sys.exit(str(error))
"""


def start_fetch(folder: Path, card: ModelFile, limit: int = 0, user: int = 0) -> "subprocess.Popen[str]":
    """Fetch in another process, which may write `limit` bytes a file, as `user`."""
    args = [str(folder), card.url, card.sha256, str(card.size), str(limit), str(user)]
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, *args],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.usefixtures("target")
def test_a_full_disk_is_one_sentence_and_no_file(server: Script, tmp_path: Path, compressed: bool) -> None:
    card = server.card(BODY, url="/m.bz2" if compressed else "/m")
    server.load(bz2.compress(BODY) if compressed else BODY)
    limit = 50_000
    with start_fetch(tmp_path / "to", card, limit) as process:
        told = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert os.strerror(errno.EFBIG) in told
    assert "Traceback" not in told
    assert not (tmp_path / "to" / "model.dat").exists()


@pytest.mark.usefixtures("target")
def test_a_folder_that_cannot_be_written_is_one_sentence() -> None:
    with tempfile.TemporaryDirectory() as parent:  # tmp_path is closed to the user that root becomes here
        Path(parent).chmod(0o755)
        folder = Path(parent) / "models"
        folder.mkdir(mode=0o555)
        with start_fetch(folder, MODELS["model.dat"], user=0 if os.geteuid() else 65534) as process:
            told = process.communicate(timeout=20)[1]
        assert process.returncode == 1
        assert os.strerror(errno.EACCES) in told
        assert "choose another folder" in told
        assert "Traceback" not in told


@pytest.mark.usefixtures("target")
def test_a_killed_fetch_started_again_ends_with_the_right_file(server: Script, tmp_path: Path) -> None:
    server.load(BODY, "stall")
    folder = tmp_path / "to"
    with start_fetch(folder, MODELS["model.dat"]) as process:
        part = folder / "model.dat.part"
        until = time.monotonic() + 20
        while not (part.is_file() and part.stat().st_size) and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
    assert 0 < part.stat().st_size < len(BODY)
    assert not (folder / "model.dat").exists()
    fetch("model.dat", folder)
    assert (folder / "model.dat").read_bytes() == BODY
    assert server.ranges[1].startswith("bytes=")
    assert [path.name for path in folder.iterdir()] == ["model.dat"], "the killed one's lock is gone, too"


@pytest.mark.usefixtures("target")
def test_two_fetches_at_once_make_one_download(server: Script, tmp_path: Path) -> None:
    server.load(BODY, "drip", "drip")
    folder = tmp_path / "to"
    with start_fetch(folder, MODELS["model.dat"]) as one, start_fetch(folder, MODELS["model.dat"]) as other:
        assert one.communicate(timeout=30)[1] == ""
        assert other.communicate(timeout=30)[1] == ""
    assert (folder / "model.dat").read_bytes() == BODY
    assert server.ranges == [None]
    assert [path.name for path in folder.iterdir()] == ["model.dat"]


def test_many_threads_at_once_make_one_download(server: Script, target: Path) -> None:
    server.load(BODY, "drip")
    threads = [threading.Thread(target=fetch, args=("model.dat",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == BODY
    assert len(server.asked) == 1


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align.lock._PAUSE_S", 0)
    inside: list[int] = []
    crowds: list[int] = []

    def work() -> None:
        for _ in range(60):
            with held(tmp_path / "lock"):
                inside.append(1)
                time.sleep(0.0002)
                crowds.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert crowds == [1] * 360
    assert not (tmp_path / "lock").exists()


def test_every_copy_is_checked(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path / "store"))
    assert [(row.place, row.state) for row in check_models(["model.dat"])] == [(None, None)]
    fetch("model.dat")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"wrong")
    rows = list(check_models(["model.dat"]))
    assert [(row.place, row.state) for row in rows] == [("EYELINE_MODELS", VERIFIED), ("cache", WRONG)]
    assert "expected sha256" in rows[1].error
