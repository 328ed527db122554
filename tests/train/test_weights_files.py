"""What is read as weights, and that nothing in a file is ever run."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from align import ModelError
from train.weights.files import read

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.float64([1.5]),
    "c": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "d": np.arange(3, dtype=">f4"),
}


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class EvilText:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return eval, (f"__import__('pathlib').Path({str(self.path)!r}).touch()",)


def bare(value, path):
    path.write_bytes(pickle.dumps(value))


def by_torch(value, path):
    torch.save(value, path)


def by_old_torch(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("kind", [Evil, EvilText])
@pytest.mark.parametrize("save", [bare, by_torch, by_old_torch])
@pytest.mark.parametrize("inside", [False, True])
def test_a_pickle_instead_of_weights_is_never_executed(kind, save, inside, tmp_path):
    trap, file = tmp_path / "trap", tmp_path / "weights.pth"
    evil = kind(trap)
    save({"conv.weight": torch.ones(2) if save is not bare else ARRAYS["a"], "x": evil} if inside else evil, file)
    with pytest.raises(ModelError, match="nothing of it was run") as caught:
        read(file)
    assert not trap.exists()
    assert "\n" not in str(caught.value)
    save(evil, file)
    pickle.loads(pickle.dumps(evil))  # noqa: S301 - the trap works
    assert trap.exists()


def test_an_array_that_runs_something_is_never_executed(tmp_path):
    """The maker of arrays is called with the class to make: another class in its place must not be made either."""
    trap, file = tmp_path / "trap", tmp_path / "weights.pkl"
    evil = np.empty(1, object)
    evil[0] = Evil(trap)
    file.write_bytes(pickle.dumps({"a": evil}))
    with pytest.raises(ModelError, match="nothing of it was run"):
        read(file)
    assert not trap.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays_of_every_protocol(protocol, tmp_path):
    file = tmp_path / "w.pkl"
    file.write_bytes(pickle.dumps(ARRAYS, protocol=min(protocol, 4)))
    found = read(file).tensors
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].numpy().tolist() == array.tolist()
        assert found[name].dtype == (torch.float64 if name == "b" else torch.float32)


def test_pickled_arrays_of_python_2(tmp_path):
    """Python 2 wrote bytes as text and named numpy's old modules."""
    data = b"".join(
        [
            b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87",
            b"Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xff",
            b"J\xff\xff\xff\xffK\x00tb\x89U\x08" + np.float32([1.0, -2.5]).tobytes() + b"tbs.",
        ]
    )
    (tmp_path / "w.pkl").write_bytes(data)
    assert read(tmp_path / "w.pkl").tensors["a"].tolist() == [1.0, -2.5]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([ARRAYS["a"]], "a list"),
        ({"a": "text"}, "'a' of str"),
        ({"a": np.array(["x"])}, r"numpy.dtype of 'U1'"),
        ({1: ARRAYS["a"]}, "1 of ndarray"),
        ({"a": Path("x")}, "pathlib"),
        ({"a": np.datetime64(1, "s")}, "scalar"),
    ],
)
def test_pickles_of_other_things_are_refused_by_name(value, found, tmp_path):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(ModelError, match=rf"expected tensors, or a pickle of numpy arrays alone \(found .*{found}"):
        read(tmp_path / "w.pkl")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 400), byte=st.integers(0, 255), cut=st.booleans())
def test_broken_pickles_are_refused_in_one_sentence_or_read(at, byte, cut, tmp_path):
    data = bytearray(pickle.dumps({"a": ARRAYS["a"], "b": ARRAYS["b"]}, protocol=2))
    at %= len(data)
    data[at] = byte
    (tmp_path / "w.pkl").write_bytes(bytes(data[:at] if cut else data))
    try:
        tensors = read(tmp_path / "w.pkl").tensors
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


def test_safetensors_and_torch_files_nested_or_not(tmp_path):
    state = {"a": torch.ones(2, 3), "b": torch.zeros(4)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pt")
    torch.save({"epoch": 3, "model": {"state_dict": state | {"note": "text"}}}, tmp_path / "nested.tar")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "w.pt", "nested.tar", "old.pth"):
        stored = read(tmp_path / name)
        assert stored.backbone is None
        assert {key: tensor.tolist() for key, tensor in stored.tensors.items()} == {
            key: tensor.tolist() for key, tensor in state.items()
        }


def test_a_checkpoint_of_ours_gives_its_backbone(tmp_path):
    state = {"backbone.net.conv.weight": torch.ones(2), "head.weight": torch.zeros(3)}
    hyperparameters = {"backbone": {"name": "resnet18", "weights": None, "stage": None}}
    torch.save({"state_dict": state, "hyper_parameters": hyperparameters}, tmp_path / "last.ckpt")
    stored = read(tmp_path / "last.ckpt")
    assert list(stored.tensors) == ["conv.weight"]
    assert stored.backbone == hyperparameters["backbone"]


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("page.pth", b"<!DOCTYPE html><html>sign in</html>", "an HTML page"),
        ("lfs.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-LFS pointer"),
        ("empty.pth", b"", "bytes that are none of these"),
        ("text.pth", b"not weights", "none of these|pickle"),
        ("net.mat", b"MATLAB 5.0 MAT-file", "MatConvNet"),
        ("broken.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{broken", "safetensors"),
        ("cut.pt", b"PK\x03\x04 cut off", "tensors alone"),
    ],
)
def test_files_of_other_things_say_what_was_found(name, data, found, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError, match=found) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_archives_and_files_without_tensors_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    torch.save({"epoch": 3}, tmp_path / "b.pt")
    torch.save(torch.ones(3), tmp_path / "c.pt")
    for name in ("a.pt", "b.pt", "c.pt"):
        with pytest.raises(ModelError, match="expected tensors"):
            read(tmp_path / name)
    with pytest.raises(ModelError, match="no such file"):
        read(tmp_path / "missing.pt")
