"""The commands as a user types them, in this process."""

import csv
import json
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from curate.manifest import read_manifest, write_curation, write_manifest
from train.checkpoints import flatten
from train.cli import main
from train.module import FaceModel
from train.pack import pack
from train.recipes import recipe_names, with_recipe_paths

from .conftest import label_everything, write_set

SIZE_PX = 48
NETWORK = ["--model.backbone.name", "test_resnet", "--model.backbone.size_px", str(SIZE_PX)]
TINY = [*NETWORK, "--model.finetune.freeze", "none"]
QUICK = [*TINY, "--trainer.accelerator", "cpu", "--trainer.max_epochs", "2", "--data.batch_size", "8"]
CPU = ["--trainer.accelerator", "cpu"]


def flags(ckpt, root, folder):
    """The flags that name a checkpoint, a set and a run's folder."""
    return ["--ckpt_path", str(ckpt), "--data.root", str(root), "--trainer.default_root_dir", str(folder)]


@pytest.fixture(scope="session")
def run(faces_set, tmp_path_factory):
    """A finished run of `fit`: its folder."""
    folder = tmp_path_factory.mktemp("run")
    assert main(["fit", "--data.root", str(faces_set), *QUICK, "--trainer.default_root_dir", str(folder)]) == 0
    return folder


def checkpoint(folder):
    return folder / "checkpoints" / "last.ckpt"


def one_sentence(capsys):
    text = capsys.readouterr().err.strip().splitlines()
    sentences = [line for line in text if not line.startswith(("epoch ", "note: "))]
    assert len(sentences) == 1, text
    assert "Traceback" not in sentences[0]
    return sentences[0]


def test_fit_leaves_logs_of_both_kinds_and_a_checkpoint(run):
    logged = pd.read_csv(run / "fit" / "metrics.csv")
    assert logged["val/f1_macro"].notna().sum() == 2
    assert logged["train/loss"].notna().sum() == 2
    rates = logged["train/lr"].dropna().tolist()
    assert rates == pytest.approx([1e-3, 5e-4])  # a cosine over two epochs
    assert list((run / "fit").glob("events.out.tfevents.*"))
    assert (run / "fit" / "config.yaml").is_file()
    assert checkpoint(run).is_file()


def test_a_checkpoint_loads_without_running_code(run):
    stored = torch.load(checkpoint(run), weights_only=True)
    assert stored["hyper_parameters"]["tasks"]["classes"] == ["not_face", "face"]
    model = FaceModel.load_from_checkpoint(checkpoint(run), map_location="cpu")
    assert model.tasks.classes == ["not_face", "face"]
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, stored["state_dict"][name])


def test_test_writes_what_predict_confirms(run, faces_set, capsys):
    common = ["--ckpt_path", str(checkpoint(run)), "--data.root", str(faces_set), *CPU]
    assert main(["test", *common]) == 0
    shown = capsys.readouterr().out
    assert "not_face" in shown
    assert str(run / "test" / "confusion.png") in shown
    numbers = json.loads((run / "test" / "metrics.json").read_text())
    assert numbers["rows"] == 13
    assert main(["predict", *common, "--data.predict_split", "test"]) == 0
    found = pd.read_csv(run / "predict" / "predictions.csv")
    rows = read_manifest(faces_set).query("split == 'test'")
    assert found["face_id"].tolist() == rows["face_id"].tolist()
    assert (found["predicted"].to_numpy() == rows["label"].to_numpy()).mean() == pytest.approx(
        numbers["accuracy_micro"]
    )
    shares = found[["p_not_face", "p_face"]].to_numpy()
    model = FaceModel.load_from_checkpoint(checkpoint(run), map_location="cpu").eval()
    with torch.no_grad():
        expected = model(pack([faces_set / crop for crop in rows["crop"]], SIZE_PX)).softmax(1).numpy()
    np.testing.assert_allclose(shares, expected, atol=1e-5)
    assert np.ptp(shares[:, 0]) > 1e-4  # the faces differ, so their order shows
    matrix = pd.crosstab(rows["label"].to_numpy(), found["predicted"].to_numpy())
    matrix = matrix.reindex(index=["not_face", "face"], columns=["not_face", "face"], fill_value=0)
    assert numbers["confusion"] == matrix.to_numpy().tolist()
    with (run / "test" / "confusion.csv").open() as file:
        assert [list(map(int, row[1:])) for row in list(csv.reader(file))[1:]] == numbers["confusion"]
    with Image.open(run / "test" / "confusion.png") as figure:
        assert min(figure.size) > 300
    assert list((run / "test").glob("events.out.tfevents.*"))
    assert (run / "test" / "metrics.csv").is_file()


def test_predict_all_needs_no_labels(run, faces_set, tmp_path):
    rows = read_manifest(faces_set)
    rows["label"] = "something else"
    write_manifest(tmp_path, rows)
    (tmp_path / "crops").symlink_to(faces_set / "crops")
    folder = tmp_path / "run"
    args = flags(checkpoint(run), tmp_path, folder)
    assert main(["predict", *args, *CPU]) == 0
    assert len(pd.read_csv(folder / "predict" / "predictions.csv")) == 48


def test_json_prints_one_result(run, faces_set, capsys):
    args = ["--ckpt_path", "last", "--trainer.default_root_dir", str(run), "--data.root", str(faces_set), *CPU]
    assert main(["validate", *args, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((run / "validate" / "metrics.json").read_text())
    assert result["split"] == "val"
    assert result["rows"] == 11
    last = pd.read_csv(run / "fit" / "metrics.csv")["val/f1_macro"].dropna().iloc[-1]
    assert result["f1_macro"] == pytest.approx(last, abs=1e-5)  # as training saw it


def test_the_command_lines_set_is_the_one_that_is_tested(run, tmp_path, capsys):
    write_set(tmp_path, {"test": {"face": 3}})
    args = flags(checkpoint(run), tmp_path, tmp_path)
    assert main(["test", *args, *CPU, "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["rows"] == 3
    assert result["absent_classes"] == ["not_face"]
    assert result["accuracy_macro"] == result["accuracy_micro"]
    assert "no rows of not_face" in captured.err


def test_same_seed_same_weights_and_another_seed_others(run, faces_set, tmp_path):
    def weights(*more):
        fit = ["fit", "--data.root", str(faces_set), *QUICK, "--trainer.default_root_dir", str(tmp_path), *more]
        assert main(fit) == 0
        return torch.load(checkpoint(tmp_path), weights_only=True)["state_dict"]

    first = torch.load(checkpoint(run), weights_only=True)["state_dict"]
    again = weights()  # and then once more into the same folder
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = weights("--seed_everything", "1")
    assert "  seed: 1\n" in (tmp_path / "fit" / "config.yaml").read_text()  # of the order and the augmentation
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_resuming_goes_on_and_ends_where_an_uninterrupted_run_ends(faces_set, tmp_path):
    fit = ["fit", "--data.root", str(faces_set), *QUICK, "--model.optimizer.schedule.name", "constant"]
    long, short = tmp_path / "long", tmp_path / "short"
    assert main([*fit, "--trainer.default_root_dir", str(long)]) == 0
    assert main([*fit, "--trainer.default_root_dir", str(short), "--trainer.max_epochs", "1"]) == 0
    kept = (short / "fit" / "metrics.csv").read_bytes()
    assert main([*fit, "--trainer.default_root_dir", str(short), "--ckpt_path", "last"]) == 0
    whole, resumed = (torch.load(checkpoint(f), weights_only=True)["state_dict"] for f in (long, short))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (short / "fit" / "metrics.csv").read_bytes() == kept
    assert (short / "fit-from-step-3" / "metrics.csv").is_file()


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_a_flag_that_the_checkpoint_contradicts_is_refused(run, faces_set, capsys, command):
    args = ["--ckpt_path", str(checkpoint(run)), "--data.root", str(faces_set), *CPU]
    assert main([command, *args, "--model.optimizer.lr", "0.5"]) == 2
    assert "--model.optimizer.lr: expected 0.001" in one_sentence(capsys)


def test_a_flag_that_says_what_the_checkpoint_says_is_fine(run, faces_set, tmp_path):
    args = ["--ckpt_path", str(checkpoint(run)), "--data.root", str(faces_set), *CPU, *TINY]
    assert main(["test", *args, "--trainer.default_root_dir", str(tmp_path)]) == 0


def test_a_default_that_differs_from_the_checkpoint_is_refused_when_given(run, faces_set, capsys):
    args = ["--ckpt_path", str(checkpoint(run)), "--data.root", str(faces_set), *CPU]
    assert main(["test", *args, "--model.finetune.freeze", "all"]) == 2
    assert "--model.finetune.freeze: expected 'none'" in one_sentence(capsys)


@pytest.mark.parametrize("labels", [["face", "not_face"], ["face", "not_face", "mask"]])
def test_other_classes_than_the_checkpoints_are_refused(run, tmp_path, capsys, labels):
    write_set(tmp_path, {"test": {"face": 2, "not_face": 2}}, labels=labels)
    assert main(["test", "--ckpt_path", str(checkpoint(run)), "--data.root", str(tmp_path), *CPU]) == 1
    assert "found ['not_face', 'face']" in one_sentence(capsys)


def test_a_set_without_validation_rows_trains_and_says_so(tmp_path, capsys):
    write_set(tmp_path, {"train": {"face": 4, "not_face": 4}})
    fit = ["fit", "--data.root", str(tmp_path), *QUICK, "--trainer.default_root_dir", str(tmp_path / "run")]
    assert main(fit) == 0
    assert "no validation rows" in capsys.readouterr().err
    assert "val/loss" not in pd.read_csv(tmp_path / "run" / "fit" / "metrics.csv")


def test_a_run_that_ends_before_it_validates_names_no_best_checkpoint_and_leaves_no_old_one(
    faces_set, tmp_path, capsys
):
    fit = ["fit", "--data.root", str(faces_set), *QUICK, "--trainer.default_root_dir", str(tmp_path), "--json"]
    for more, names in [(["--trainer.fast_dev_run", "true"], set()), ([], {"last", "best"})]:
        assert main([*fit, "--trainer.max_epochs", "1", *more]) == 0
        assert set(json.loads(capsys.readouterr().out)["files"]) == {"logs", *names}
    assert main([*fit, "--trainer.max_steps", "1"]) == 0
    said = capsys.readouterr()
    assert set(json.loads(said.out)["files"]) == {"logs", "last"}
    assert "monitored key" not in said.err
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


class Interrupts(pl.Callback):
    """Presses Ctrl-C when the second epoch begins."""

    def on_train_epoch_start(self, trainer, pl_module):  # noqa: ARG002 - Lightning's hook
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_fit_says_how_to_go_on(faces_set, tmp_path, capsys):
    handler = signal.getsignal(signal.SIGINT)
    args = ["fit", "--data.root", str(faces_set), *QUICK, "--trainer.default_root_dir", str(tmp_path)]
    try:
        assert main([*args, f"--trainer.callbacks+={__name__}.Interrupts"]) == 1
    finally:
        signal.signal(signal.SIGINT, handler)  # which Lightning turns off before it ends
    assert "stopped; run the same command again with --ckpt_path last" in one_sentence(capsys)
    assert main([*args, "--ckpt_path", "last"]) == 0
    assert "epoch 2/2" in capsys.readouterr().err


def test_an_epoch_without_validation_shows_no_numbers_of_an_earlier_one(faces_set, tmp_path, capsys):
    args = ["fit", "--data.root", str(faces_set), *QUICK, "--trainer.default_root_dir", str(tmp_path)]
    assert main([*args, "--trainer.max_epochs", "3", "--trainer.check_val_every_n_epoch", "2"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert ["val/" in line for line in lines] == [False, True, False]


def test_early_stopping_on_a_number_that_is_not_there_fails_in_one_sentence(tmp_path, capsys):
    write_set(tmp_path, {"train": {"face": 4, "not_face": 4}})
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    args = ["fit", "--data.root", str(tmp_path), *QUICK, *stop, "--trainer.default_root_dir", str(tmp_path / "run")]
    assert main(args) == 2
    assert "metric `val/loss` which is not available" in one_sentence(capsys)


def test_max_steps_is_the_length_that_schedule_and_unfreezing_go_by(faces_set, tmp_path):
    late = ["--model.finetune.freeze", "all", "--model.finetune.unfreeze_epoch", "1", "--trainer.max_epochs", "9"]
    late += ["--model.finetune.backbone_lr", "0.1"]
    schedule = ["--model.optimizer.schedule.per", "step", "--model.optimizer.schedule.min_lr_factor", "0.125"]
    args = ["fit", "--data.root", str(faces_set), *QUICK, *late, *schedule, "--trainer.default_root_dir", str(tmp_path)]
    for steps, backbone in [(2, 0.0), (4, 0.125 * 0.1)]:  # an epoch has three
        assert main([*args, "--trainer.max_steps", str(steps)]) == 0
        (state,) = torch.load(checkpoint(tmp_path), weights_only=True)["lr_schedulers"]
        assert state["_last_lr"] == pytest.approx([1e-3 * 0.125] * 2 + [1e-3 * backbone] * 2)


def test_class_weights_go_by_what_balanced_drawing_shows(tmp_path, capsys):
    write_set(tmp_path, {"train": {"face": 9, "not_face": 3}})
    args = ["fit", "--data.root", str(tmp_path), *QUICK, "--trainer.max_epochs", "1"]
    args += ["--model.loss.classes.class_weights", "inverse", "--trainer.default_root_dir", str(tmp_path / "run")]
    for balance, expected in [("0", [2, 2 / 3]), ("0.5", [3**0.5 / 2 + 0.5, 3**-0.5 / 2 + 0.5]), ("1", [1, 1])]:
        assert main([*args, "--data.balance", balance]) == 0
        weights = torch.load(checkpoint(tmp_path / "run"), weights_only=True)["state_dict"]["loss.class_weights"]
        assert weights.tolist() == pytest.approx(expected)
    label_everything(tmp_path)
    capsys.readouterr()
    assert main([*args, "--data.balance", "1", "--data.tasks", "[affect]"]) == 2
    assert "data.balance must be 0 for a model that tells no classes (got 1.0)" in one_sentence(capsys)


def test_resuming_a_run_that_is_done_says_that_nothing_was_trained(run, faces_set, capsys):
    before = checkpoint(run).read_bytes()
    assert main(["fit", *flags("last", faces_set, run), *QUICK]) == 0
    assert "nothing was trained" in capsys.readouterr().err
    assert checkpoint(run).read_bytes() == before


def fails(args, capsys, code, *says):
    assert main(args) == code
    sentence = one_sentence(capsys)
    assert all(part in sentence for part in says), sentence


def test_sets_that_cannot_be_trained_on_fail_in_one_sentence(tmp_path, capsys):
    write_set(tmp_path, {"train": {"face": 3, "not_face": 2}})
    fit = ["fit", "--data.root", str(tmp_path), *QUICK, "--trainer.default_root_dir", str(tmp_path / "run")]
    gone = sorted((tmp_path / "crops" / "s").iterdir())[1]
    gone.rename(tmp_path / "kept.png")
    fails(fit, capsys, 1, str(gone), "no such file")
    write_curation(tmp_path, {"labels": ["not_face", "face", "mask"]})
    fails(fit, capsys, 1, "found none of mask")
    write_curation(tmp_path, {"labels": ["face"]})
    fails(fit, capsys, 2, "found only 'face'")
    write_curation(tmp_path, {"labels": []})
    fails(fit, capsys, 2, "found none")
    write_curation(tmp_path, {"labels": ["not_face", "face"]})
    rows = read_manifest(tmp_path)
    write_manifest(tmp_path, rows.assign(split="val"))
    fails(fit, capsys, 1, "expected train rows")
    (tmp_path / "manifest.parquet").unlink()
    fails(fit, capsys, 2, "manifest")


def test_wrong_usage_fails_in_one_sentence(faces_set, tmp_path, capsys):
    root = ["--data.root", str(faces_set)]
    fails(["fit", "--data.root", str(tmp_path)], capsys, 2, "eyeline-curate run")
    fails(["fit", "--config", "face_or_nut", *root], capsys, 2, "face_or_not", "'face_or_nut'")
    fails(["fit", "--data.rot", "x"], capsys, 2, "--data.rot")
    fails(["fit"], capsys, 2, "data.root")
    fails(["fly"], capsys, 2, "'fly'")
    fails(["fit", *root, "--data.batch_size", "0"], capsys, 2, "data.batch_size must be")
    fails(["fit", *root, "--model.backbone.name", "resnet81"], capsys, 2, "resnet81")
    fails(["fit", *root, "--model.tasks.classes", "[a,b]"], capsys, 2, "--model.tasks")
    fails(["test", *root], capsys, 2, "expected --ckpt_path")
    fails(["test", *root, "--ckpt_path", str(tmp_path / "no.ckpt")], capsys, 2, "no such file")
    (tmp_path / "not.ckpt").write_text("hello")
    fails(["test", *root, "--ckpt_path", str(tmp_path / "not.ckpt")], capsys, 1, "not.ckpt", "expected a checkpoint")


def test_a_checkpoint_that_would_run_code_is_refused(faces_set, tmp_path, capsys):
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self):
            return (open, (str(touched), "w"))

    torch.save({"hyper_parameters": Evil()}, tmp_path / "evil.ckpt")
    fails(["test", "--data.root", str(faces_set), "--ckpt_path", str(tmp_path / "evil.ckpt")], capsys, 1, "evil.ckpt")
    assert not touched.exists()


def test_recipes_are_found_by_name_and_files_win(tmp_path, monkeypatch):
    assert "face_or_not" in recipe_names()
    for given in (["--config", "face_or_not"], ["-c", "face_or_not"], ["--config=face_or_not"]):
        found = with_recipe_paths(["fit", *given])
        assert found[-1].endswith("recipes/face_or_not.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "face_or_not").write_text("seed_everything: 1\n")
    assert with_recipe_paths(["fit", "--config", "face_or_not"])[-1] == "face_or_not"


def test_the_recipe_face_or_not_learns_faces_with_dlibs_network(faces_set, tmp_path, capsys):
    args = ["--data.root", str(faces_set), *CPU, "--trainer.default_root_dir", str(tmp_path)]
    steps = ["--data.batch_size", "4", "--trainer.max_epochs", "12"]  # 72 steps
    assert main(["fit", "--config", "face_or_not", *args, *steps]) == 0
    capsys.readouterr()
    assert main(["test", "--ckpt_path", "last", *args, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy_micro"] >= 0.9
    state = torch.load(checkpoint(tmp_path), weights_only=True)
    assert state["hyper_parameters"]["finetune"]["freeze"] == "all"
    head = [name for name in state["state_dict"] if name.startswith("head.")]
    assert len(state["optimizer_states"][0]["state"]) == len(head)  # and nothing of the backbone


def test_flatten_gives_dotted_keys():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}


def test_importing_the_package_is_light():
    code = (
        "import sys, train; print(sorted({'torch', 'pytorch_lightning', 'timm', 'cv2', 'pandas'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
