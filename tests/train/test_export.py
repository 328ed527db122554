"""What is exported gives the model's answers, on its own and for any number of faces, and says what it is."""

import json
import sys

import numpy as np
import pytest
import torch

from align import EyelineError
from train.cli import main
from train.export import _FORMATS, METADATA, Answers, ExportSpec, compare, export
from train.pack import pack
from train.predict import answers
from train.rows import read_rows, select
from train.tasks import Tasks

from .untrained import ALIGNMENT, save, untrained

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return save(untrained(), tmp_path_factory.mktemp("ckpt") / "m.ckpt")


def what_predict_says(model, images):
    with torch.no_grad():
        header, columns = answers(model(images), model.tasks)
    return {name: np.array(column) for name, column in zip(header, columns, strict=True) if name != "predicted"}


def test_onnx_answers_as_predict_does_and_carries_its_metadata(ckpt, rich_set, tmp_path, capsys):
    out = tmp_path / "m.onnx"
    assert main(["export", "--ckpt", str(ckpt), "--out", str(out), "--root", str(rich_set), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["bytes"] == out.stat().st_size
    assert result["parity"]["pictures"] == 1 + 2 + 5 + 32
    assert all(result["parity"][name] < 1e-5 for name in ("classes", "affect", "units"))
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    metadata = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert metadata == result["metadata"]
    assert metadata["outputs"] == {
        "classes": ["not_face", "face"],
        "affect": ["valence", "arousal"],
        "units": ["au_4", "au_12"],
    }
    assert metadata["alignment"] == ALIGNMENT
    assert metadata["size_px"] == 64
    assert [given.type for given in session.get_inputs()] == ["tensor(uint8)"]
    images = pack(select(read_rows(rich_set), rich_set, "all", None).paths[:7], 64)
    told = dict(zip(metadata["outputs"], session.run([*metadata["outputs"]], {"images": images.numpy()}), strict=True))
    expected = what_predict_says(untrained(), images)
    columns = {"classes": ["p_not_face", "p_face"], "affect": ["valence", "arousal"], "units": ["au_4", "au_12"]}
    for output, names in columns.items():
        np.testing.assert_allclose(told[output], np.stack([expected[name] for name in names], 1), atol=1e-5)
    assert np.ptp(told["classes"][:, 0]) > 1e-3  # the faces differ, so their order shows


@pytest.mark.parametrize("to", ["torchscript", "pt2"])
def test_torchs_own_formats_answer_for_any_number_of_faces(to, ckpt, tmp_path):
    out = tmp_path / f"m.{to}"
    result = export(ckpt, out, ExportSpec(to, "float32"))
    images = torch.randint(0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(7)).float()
    files = {METADATA: ""}
    if to == "pt2":
        loaded = torch.export.load(out, extra_files=files).module()
    else:
        with pytest.warns(FutureWarning, match="deprecated"):
            loaded = torch.jit.load(out, _extra_files=files)
    assert json.loads(files[METADATA]) == result["metadata"]
    with torch.no_grad():
        for ours, theirs in zip(Answers(untrained())(images), loaded(images), strict=True):
            torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dlib_face_resnet", {"size_px": 150}),
        ("resnet18", {}),
        ("resnet18", {"channels": 1}),
        ("test_vit", {}),
        ("alexnet", {"size_px": 224}),
        ("vit_tiny_patch16_224", {"size_px": 224}),
    ],
)
@pytest.mark.parametrize("to", ["onnx", "torchscript", "pt2"])
def test_every_kind_of_network_can_be_exported(name, options, to, tmp_path):
    model = untrained(name, Tasks(["a", "b", "c"]), **options)
    parity = export(save(model, tmp_path / "m.ckpt"), tmp_path / "m", ExportSpec(to))["parity"]
    assert parity["classes"] < 1e-5


def test_a_file_whose_answers_differ_is_refused_and_not_left(ckpt, tmp_path, capsys, monkeypatch):
    out = tmp_path / "m.pt2"
    args = ["export", "--ckpt", str(ckpt), "--out", str(out), "--to", "torchscript", "--tolerance"]
    assert main([*args, "0"]) == 2
    assert "--tolerance must be above 0" in capsys.readouterr().err
    out.write_text("what was there")

    def write_wrong(answers, example, path, metadata):
        with torch.no_grad():
            next(answers.head.parameters()).add_(1e-2)  # what is written is no longer the checkpoint's
            write(answers, example, path, metadata)
            next(answers.head.parameters()).sub_(1e-2)

    write, read = _FORMATS["pt2"]
    monkeypatch.setitem(_FORMATS, "pt2", (write_wrong, read))
    with pytest.raises(EyelineError, match=r"answers within 0\.0001 \(found a difference of 0\.\d+ in"):
        export(ckpt, out, ExportSpec("pt2"))
    assert out.read_text() == "what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]


def test_no_number_is_no_parity():
    model = Answers(untrained())
    image = torch.zeros(2, 3, 64, 64)

    def run(images):
        with torch.no_grad():
            outputs = [output.numpy().copy() for output in model(images)]
        outputs[0][0, 0] = np.nan
        return [outputs[0], outputs[1][:1], outputs[2]]

    with torch.no_grad():
        worst = compare(model, run, [image, image])
    assert np.isnan(worst["classes"])
    assert worst["affect"] == float("inf")  # an output of another shape
    assert worst["units"] == 0


def test_missing_packages_are_one_sentence(ckpt, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr("train.export.find_spec", lambda name: None if name == "onnxscript" else object())
    assert main(["export", "--ckpt", str(ckpt), "--out", str(tmp_path / "m.onnx")]) == 1
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "found no onnxscript" in sentence
    assert "pip install 'eyeline[onnx]'" in sentence
