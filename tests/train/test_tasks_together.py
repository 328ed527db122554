"""Training for classes, valence and arousal, and action units at once, as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning.callbacks import Callback

from curate.manifest import read_manifest, write_manifest
from train.checkpoints import load_model, read_checkpoint
from train.cli import main
from train.tasks import Tasks

from .conftest import ALIGN, label_everything, write_set
from .test_cli import CPU, QUICK, TINY, checkpoint, fails

TASKS = Tasks(["not_face", "face"], affect=True, units=["au_4", "au_12"])


@pytest.fixture(scope="module")
def run(rich_set, tmp_path_factory):
    """A finished run of `fit` on all three tasks: its folder."""
    folder = tmp_path_factory.mktemp("run")
    assert main(["fit", "--data.root", str(rich_set), *QUICK, "--trainer.default_root_dir", str(folder)]) == 0
    return folder


def test_the_checkpoint_says_what_the_model_tells_and_how_its_faces_were_aligned(run):
    found = read_checkpoint(checkpoint(run))
    assert found.tasks == TASKS
    assert found.alignment == ALIGN
    model = load_model(checkpoint(run))
    assert not model.training
    assert model.tasks == TASKS
    assert model.alignment == ALIGN


def test_each_task_has_its_loss_and_the_total_is_their_weighted_sum(run):
    logged = pd.read_csv(run / "fit" / "metrics.csv")
    for split in ("train", "val"):
        parts = logged[[f"{split}/loss_{name}" for name in ("classes", "affect", "units")]].dropna()
        assert len(parts) == 2
        np.testing.assert_allclose(logged[f"{split}/loss"].dropna(), parts.sum(axis=1), rtol=1e-4)


def test_the_best_epoch_is_kept_beside_the_last(run):
    logged = pd.read_csv(run / "fit" / "metrics.csv")["val/loss"].dropna().tolist()
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == int(np.argmin(logged))


def test_test_and_predict_give_every_task(run, rich_set, capsys):
    common = ["--ckpt_path", str(checkpoint(run)), "--data.root", str(rich_set), *CPU]
    assert main(["test", *common]) == 0
    shown = capsys.readouterr().out
    for name in ("not_face", "au_12", "ccc_valence", "f1_units_mean"):
        assert name in shown
    numbers = json.loads((run / "test" / "metrics.json").read_text())
    assert {unit["name"] for unit in numbers["units"]} == {"au_4", "au_12"}
    assert main(["predict", *common, "--data.predict_split", "test"]) == 0
    found = pd.read_csv(run / "predict" / "predictions.csv")
    assert list(found) == ["face_id", "predicted", "p_not_face", "p_face", "valence", "arousal", "au_4", "au_12"]
    rows = read_manifest(rich_set).query("split == 'test'")
    known = rows["au_12"].notna().to_numpy()
    truth = rows["au_12"].to_numpy()[known] > 0
    said = found["au_12"].to_numpy()[known] >= 0.5
    f1 = 2 * (truth & said).sum() / (truth.sum() + said.sum())
    assert next(unit["f1"] for unit in numbers["units"] if unit["name"] == "au_12") == pytest.approx(f1)
    error = (found["valence"] - rows["valence"].to_numpy()).dropna()
    assert np.sqrt((error**2).mean()) == pytest.approx(numbers["rmse_valence"], abs=0.05)  # predictions end at -1 and 1


def test_one_task_of_several_may_be_chosen(rich_set, tmp_path, capsys):
    chosen = ["--data.tasks", "[units]", "--data.units", "[au_12]"]
    fit = ["fit", "--data.root", str(rich_set), *QUICK, *chosen, "--trainer.max_epochs", "1"]
    assert main([*fit, "--trainer.default_root_dir", str(tmp_path)]) == 0
    assert read_checkpoint(checkpoint(tmp_path)).tasks == Tasks(units=["au_12"])
    assert "4 of 24 train rows have no label of units and are left out" in capsys.readouterr().err


def test_a_checkpoint_of_another_task_is_refused(run, tmp_path, capsys):
    write_set(tmp_path, {"test": {"face": 2, "not_face": 2}})
    rows = label_everything(tmp_path).assign(label=None, valence=None, arousal=None, au_4=None, au_12=None, au_9=1.0)
    write_manifest(tmp_path, rows)
    fails(["test", "--ckpt_path", str(checkpoint(run)), "--data.root", str(tmp_path), *CPU], capsys, 1, "au_9", "au_4")


def test_views_at_test_change_the_answers_a_little(run, rich_set, tmp_path):
    common = ["--ckpt_path", str(checkpoint(run)), "--data.root", str(rich_set), *CPU]

    def predictions(views):
        folder = ["--trainer.default_root_dir", str(tmp_path / views)]
        assert main(["predict", *common, *folder, "--data.tta", views]) == 0
        return pd.read_csv(tmp_path / views / "predict" / "predictions.csv").drop(columns=["face_id", "predicted"])

    plain, flip, ten = (predictions(views) for views in ("none", "flip", "ten_crop"))
    assert 1e-6 < (plain - flip).abs().to_numpy().max() < 0.5
    assert 1e-6 < (plain - ten).abs().to_numpy().max() < 0.7
    np.testing.assert_allclose(flip["p_face"] + flip["p_not_face"], 1, atol=1e-5)


class StopAfterTwo(Callback):
    """Ends a run after its second epoch, as a limit of time would."""

    def on_train_epoch_end(self, trainer, _model):
        trainer.should_stop = trainer.current_epoch >= 1


HARD = [
    *("--model.optimizer.name", "sgd", "--model.optimizer.ema_decay", "0.9", "--data.mix.mixup_alpha", "0.4"),
    *("--model.optimizer.schedule", '{"name": "sgdr", "cycle_epochs": 2, "per": "step", "warmup_epochs": 1}'),
    *(
        "--data.mix.cutmix_alpha",
        "1",
        "--model.head.dropout_before",
        "0.3",
        "--model.loss.classes.label_smoothing",
        "0.1",
    ),
    *("--trainer.accumulate_grad_batches", "2", "--trainer.gradient_clip_val", "1"),
    *("--model.finetune.freeze", "gradual", "--model.finetune.unfreeze_epoch", "1"),
]


def test_resuming_gives_the_same_losses_and_weights_to_the_bit(rich_set, tmp_path):
    fit = [
        "fit",
        "--data.root",
        str(rich_set),
        *TINY,
        *CPU,
        "--data.batch_size",
        "5",
        "--trainer.max_epochs",
        "4",
        *HARD,
    ]
    long, short = tmp_path / "long", tmp_path / "short"
    assert main([*fit, "--trainer.default_root_dir", str(long)]) == 0
    stop = ["--trainer.callbacks", f"{__name__}.StopAfterTwo"]
    assert main([*fit, "--trainer.default_root_dir", str(short), *stop]) == 0
    assert main([*fit, "--trainer.default_root_dir", str(short), "--ckpt_path", "last"]) == 0
    whole, resumed = (torch.load(checkpoint(folder), weights_only=True) for folder in (long, short))
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(whole[part][name], resumed[part][name]) for name in whole[part]), part
    (later,) = short.glob("fit-from-step-*/metrics.csv")
    losses = [pd.read_csv(path)["train/loss"].dropna().tolist() for path in (long / "fit" / "metrics.csv", later)]
    assert losses[0][2:] == losses[1]
