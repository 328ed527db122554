import hashlib
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from align import MODELS, ModelError
from align.hub import serve_to_torch_hub
from align.models import ModelFile

S3FD = "s3fd-619a316812.pth"
BLAZE = ["blazeface.pth", "blazeface_anchors.npy"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "home-cache" / "eyeline" / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def put(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, state: object) -> Path:
    """Store a state dict as the named model and make its card fit."""
    torch.save(state, cache / name)
    sha256 = hashlib.sha256((cache / name).read_bytes()).hexdigest()
    monkeypatch.setitem(MODELS, name, ModelFile(**{**vars(MODELS[name]), "sha256": sha256}))
    return cache / name


def test_face_alignment_reads_the_checked_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.detection.sfd.sfd_detector import SFDDetector

    net = s3fd()
    path = put(cache, monkeypatch, S3FD, net.state_dict())
    before = torch.hub.get_dir()
    with serve_to_torch_hub([S3FD]) as checkpoints:
        assert Path(torch.hub.get_dir()) == checkpoints.parent
        assert [entry.name for entry in checkpoints.iterdir()] == [S3FD]
        assert (checkpoints / S3FD).samefile(path)
        detector = SFDDetector("cpu")
    loaded = detector.face_detector.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())
    assert torch.hub.get_dir() == before
    assert not checkpoints.exists()
    assert path.is_file()


def test_fan_is_built_from_the_checked_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import face_alignment
    from face_alignment.models import FAN

    net = FAN(4)
    fan = "2DFAN4-11f355bf06.pth.tar"
    put(cache, monkeypatch, fan, net.state_dict())
    put(cache, monkeypatch, BLAZE[0], _blaze_state())
    np.save(cache / BLAZE[1], np.zeros((896, 4), np.float32))
    with serve_to_torch_hub([fan, *BLAZE]):
        built = face_alignment.FaceAlignment(1, device="cpu", face_detector="blazeface", compile=False)
    loaded = built.face_alignment_net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())


def _blaze_state() -> dict[str, torch.Tensor]:
    from face_alignment.detection.blazeface.net_blazeface import BlazeFace

    return BlazeFace().state_dict()


def test_a_wrong_file_is_never_served(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(cache, monkeypatch, S3FD, {"a": torch.zeros(3)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="expected sha256"), serve_to_torch_hub([S3FD]):
        raise AssertionError("served")


@pytest.mark.parametrize("names", [["other.pth"], ["shape_predictor_5_face_landmarks.dat"], [S3FD]])
def test_what_is_missing_or_none_of_torch_hubs_is_one_sentence(names: list[str]) -> None:
    with pytest.raises(ModelError, match="expected"), serve_to_torch_hub(names):
        raise AssertionError("served")


def test_torch_hubs_setting_comes_back_after_an_error_and_follows_the_environment(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, monkeypatch, S3FD, {"a": torch.zeros(3)})
    with pytest.raises(ZeroDivisionError), serve_to_torch_hub([S3FD]):
        raise ZeroDivisionError
    assert torch.hub.get_dir() == str(tmp_path / "torch" / "hub")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "other"))
    assert torch.hub.get_dir() == str(tmp_path / "other" / "hub")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "set"))
    with serve_to_torch_hub(iter([S3FD])):
        assert torch.hub.get_dir() != str(tmp_path / "set")
    assert torch.hub.get_dir() == str(tmp_path / "set")


def test_a_file_that_was_downloaded_past_us_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, monkeypatch, S3FD, {"a": torch.zeros(3)})
    with pytest.raises(ModelError, match=r"found stranger\.pth"), serve_to_torch_hub([S3FD]) as checkpoints:
        (checkpoints / "stranger.pth").write_bytes(b"")


class _Runs:
    """Unpickled without care, it makes a file."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, ("it-ran",)


def test_code_in_a_file_that_no_published_sha256_vouches_for_is_not_run(cache: Path) -> None:
    torch.save({"a": _Runs()}, cache / BLAZE[0])
    with pytest.raises(ModelError, match="weights and nothing else"), serve_to_torch_hub(BLAZE[:1]):
        raise AssertionError("served")
    assert not Path("it-ran").exists()
    (cache / BLAZE[0]).write_bytes(b"\x80\x02 no pickle")
    with pytest.raises(ModelError, match="weights and nothing else"), serve_to_torch_hub(BLAZE[:1]):
        raise AssertionError("served")


def test_where_no_link_can_be_made_the_file_is_copied(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(cache, monkeypatch, S3FD, {"a": torch.zeros(3)})

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "symlink", refuse)
    with serve_to_torch_hub([S3FD]) as checkpoints:
        assert (checkpoints / S3FD).samefile(path)
    monkeypatch.setattr(os, "link", refuse)
    with serve_to_torch_hub([S3FD]) as checkpoints:
        assert (checkpoints / S3FD).read_bytes() == path.read_bytes()
        assert not (checkpoints / S3FD).samefile(path)
