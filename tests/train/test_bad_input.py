"""What cannot be trained on, or with, ends in one sentence that says what to do."""

import numpy as np
import pytest
import torch

from curate.manifest import read_manifest, write_manifest
from train.cli import main

from .conftest import label_everything, write_set
from .test_cli import QUICK, TINY, fails


def change(root, **columns):
    write_manifest(root, read_manifest(root).assign(**columns))


@pytest.fixture
def small(tmp_path):
    """A set of five training and two validation faces, with all labels; and the command that trains on it."""
    write_set(tmp_path / "set", {"train": {"face": 3, "not_face": 2}, "val": {"face": 1, "not_face": 1}}, size=48)
    root = tmp_path / "set"
    change(root, au_4=(label_everything(root).index % 2).astype(np.float32))
    return root, ["fit", "--data.root", str(root), *QUICK, "--trainer.default_root_dir", str(tmp_path / "run")]


def test_a_set_without_labels_for_the_task(small, capsys):
    root, fit = small
    change(root, valence=None, arousal=None)
    fails([*fit, "--data.tasks", "[affect]"], capsys, 2, "expected labels of affect", "found none", "leave affect out")


def test_a_split_whose_faces_all_lack_the_label(small, capsys):
    root, fit = small
    rows = read_manifest(root)
    change(
        root,
        valence=np.where(rows["split"] == "train", np.nan, 0.5),
        arousal=np.where(rows["split"] == "train", np.nan, 0.5),
    )
    fails([*fit, "--data.tasks", "[affect]"], capsys, 1, "expected train rows", "5 without a label of affect")


@pytest.mark.parametrize("value", [-2.0, 1.5, np.inf])
def test_valence_out_of_its_range(small, capsys, value):
    root, fit = small
    rows = read_manifest(root)
    rows.loc[3, "valence"] = value
    write_manifest(root, rows)
    fails(fit, capsys, 1, "valence must be -1 to 1", "s-00000003-00", "curate again")


def test_an_action_unit_that_is_always_there(small, capsys):
    root, fit = small
    change(root, au_12=np.float32(1))
    fails(fit, capsys, 1, "with and without it", "au_12", "--data.units")


def test_a_gpu_that_is_not_there(small, capsys):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    fails([*small[1], "--trainer.accelerator", "cuda"], capsys, 2, "--trainer", "not available")


def test_a_last_batch_of_one_face_for_batch_norm(small, capsys):
    fails(
        [*small[1], "--data.batch_size", "4"],
        capsys,
        2,
        "data.batch_size",
        "got 4 for 5 training faces",
        "leaves one of 1",
    )
    fails([*small[1], "--data.batch_size", "1"], capsys, 2, "data.batch_size", "got 1 for 5")


def test_a_missing_class_in_validation_is_said_and_training_goes_on(small, capsys):
    root, fit = small
    rows = read_manifest(root)
    rows.loc[(rows["split"] == "val") & (rows["label"] == "face"), "drop_reason"] = "blurred"
    write_manifest(root, rows)
    assert main([*fit, "--trainer.max_epochs", "1"]) == 0
    assert "the validation split has no rows of face" in capsys.readouterr().err


def test_endless_training(small, capsys):
    fails([*small[1], "--trainer.max_epochs", "-1"], capsys, 2, "trainer.max_epochs must be 1 or more")


def test_a_pickle_in_place_of_weights_is_not_executed(small, capsys, tmp_path):
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self):
            return (open, (str(touched), "w"))

    torch.save(Evil(), tmp_path / "weights.pth")
    fails([*small[1], "--model.backbone.weights", str(tmp_path / "weights.pth")], capsys, 1, "weights.pth")
    assert not touched.exists()


def test_weights_of_another_network(small, capsys, tmp_path):
    torch.save({"foo.weight": torch.zeros(3, 3)}, tmp_path / "weights.pth")
    fails(
        [*small[1], *TINY, "--model.backbone.weights", str(tmp_path / "weights.pth")],
        capsys,
        1,
        "weights.pth",
        "matched",
    )


def test_a_pack_that_was_cut_off_is_made_anew(small):
    root, fit = small
    assert main([*fit, "--trainer.max_epochs", "1"]) == 0
    (images,) = root.glob("pack/*/images.npy")
    whole = images.read_bytes()
    images.write_bytes(whole[: len(whole) // 2])
    assert main([*fit, "--trainer.max_epochs", "1"]) == 0
    assert images.read_bytes() == whole


@pytest.mark.parametrize("task", ["units", "affect"])
def test_a_validation_split_that_cannot_be_scored_keeps_a_best_model_all_the_same(small, task, tmp_path):
    """No action unit is there, or only one face has valence: what the best model is chosen by is not defined."""
    root, fit = small
    rows = read_manifest(root)
    rows.loc[rows["split"] == "val", ["au_4", "au_12"]] = 0
    rows.loc[[5], ["valence", "arousal"]] = 0.1
    rows.loc[[6], ["valence", "arousal"]] = np.nan
    write_manifest(root, rows)
    assert main([*fit, "--data.tasks", f"[{task}]"]) == 0
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_validation_rows_without_a_label_are_no_validation(small, capsys, tmp_path):
    root, fit = small
    rows = read_manifest(root)
    rows.loc[rows["split"] == "val", ["valence", "arousal"]] = np.nan
    write_manifest(root, rows)
    assert main([*fit, "--data.tasks", "[affect]"]) == 0
    assert "no validation rows" in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()
