"""Emotion, valence and arousal together, on a small set that is laid out as AffectNet."""

import contextlib
import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torchvision.models import DenseNet

import curate
from curate.cli import main as eyeline_curate
from tests.train.outcomes import outcome_of
from train.augment import AugmentSpec
from train.backbones import BackboneSpec, create_backbone
from train.checkpoints import load_model
from train.cli import main
from train.console import quiet
from train.evaluate.numbers import evaluation, table
from train.losses import Loss, LossSpec
from train.module import FaceModel
from train.recipes.sample import make_sample
from train.recipes.sample.affectnet import EMOTIONS
from train.rows import read_rows, read_tasks
from train.schedule import OptimizerSpec, base_lr, factor
from train.tasks import Tasks

TEN = [
    *("accuracy_micro", "f1_macro"),
    *(f"{number}_{of}" for number in ("ccc", "rmse", "pearson", "sagr") for of in ("valence", "arousal")),
]
"""The published figures."""


@pytest.fixture(scope="module")
def affectnet(tmp_path_factory):
    """The made set and what the registry's table makes of it."""
    folder = tmp_path_factory.mktemp("affectnet")
    make_sample("affectnet", folder / "data")
    with contextlib.redirect_stdout(io.StringIO()):
        args = ["--root", str(folder / "data"), "--out", str(folder / "set")]
        assert eyeline_curate(["run", "affectnet-joint", *args]) == 0
    return folder


@pytest.fixture(scope="module")
def listed(affectnet):
    """The lines of both lists, by picture, with the name of their list."""
    lines = {}
    for name in ("training", "validation"):
        with (affectnet / "data" / "Manually_Annotated_file_lists" / f"{name}.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                lines[f"Manually_Annotated_Images/{row['subDirectory_filePath']}"] = row | {"list": name}
    return lines


@pytest.fixture(scope="module")
def rows(affectnet):
    return curate.read_manifest(affectnet / "set").set_index("source")


@pytest.fixture(scope="module")
def recipe():
    from train.recipes import with_recipe_paths

    (_, path) = with_recipe_paths(["--config", "affectnet"])
    with open(path) as file:  # noqa: PTH123 - a path as the command line takes it
        return yaml.safe_load(file)


def optimizer_of(recipe, **changed):
    return OptimizerSpec(**{**recipe["model"]["optimizer"], **changed})


def test_every_line_has_a_row_with_what_it_says(rows, listed):
    assert set(rows.index) == set(listed)
    for source, line in listed.items():
        row, code = rows.loc[source], int(line["expression"])
        assert row["label"] == EMOTIONS[code] if code < 8 else pd.isna(row["label"])
        for name in ("valence", "arousal"):
            assert pd.isna(row[name]) if code >= 8 else row[name] == pytest.approx(float(line[name]))


def test_none_uncertain_and_non_face_are_recorded_as_unlabelled_and_nothing_else_is(rows, listed):
    without = {source for source, line in listed.items() if line["expression"] in ("8", "9", "10")}
    assert {listed[source]["expression"] for source in without} == {"8", "9", "10"}
    assert set(rows.index[rows["drop_reason"] == "unlabelled"]) == without


def test_the_published_validation_part_is_the_test_and_the_checkpoint_is_chosen_on_a_part_of_training(rows, listed):
    kept = rows[rows["drop_reason"].isna()]
    lists = kept.index.map(lambda source: listed[source]["list"])
    assert set(kept.index[lists == "validation"]) == set(kept.index[kept["split"] == "test"])
    assert set(kept.loc[lists == "training", "split"]) == {"train", "val"}
    share = (kept["split"] == "val").sum() / (lists == "training").sum()
    assert 0.02 < share < 0.1
    assert set(kept.loc[kept["split"] == "train", "repeat"]) == {1}  # the loss weighs classes; nothing is shown twice
    assert kept.loc[kept["split"] == "train", "label"].nunique() == 8


def test_the_crop_is_of_the_face_that_the_list_gives(rows):
    assert set(rows["detector"]) == {"given"}
    kept = rows[rows["drop_reason"].isna()]
    eyes = np.stack(kept["eyes"].to_list())
    assert np.abs(eyes.mean(axis=0).reshape(2, 2) - [[100, 120], [156, 120]]).max() < 12


def test_the_network_is_the_published_one(recipe):
    spec = recipe["model"]["backbone"]
    assert spec == {"name": "densenet121", "weights": "none", "standardize": "weights"}
    net = create_backbone(BackboneSpec(**spec)).net
    outputs = len(EMOTIONS) + 2
    assert sum(p.numel() for p in net.parameters()) + (net.num_features + 1) * outputs == 6_964_106
    blocks = [net.features.get_submodule(f"denseblock{number}") for number in range(1, 5)]
    assert [len(list(block.children())) for block in blocks] == [6, 12, 24, 16]
    for block in blocks:
        for layer in block.children():
            assert layer.conv1.kernel_size == (1, 1)  # the bottleneck
            assert (layer.conv1.out_channels, layer.conv2.out_channels) == (4 * 32, 32)
    for number in range(1, 4):
        narrowing = net.features.get_submodule(f"transition{number}").conv
        assert narrowing.out_channels == narrowing.in_channels // 2
    same = DenseNet(growth_rate=32, block_config=(6, 12, 24, 16), bn_size=4, num_classes=10)
    assert sum(p.numel() for p in same.parameters()) == 6_964_106


def test_the_rate_grows_with_four_gpus_and_starts_again_every_twelve_epochs_at_seven_tenths(recipe):
    spec = optimizer_of(recipe)
    batch = recipe["data"]["batch_size"]
    assert base_lr(spec, batch, 1, 1) == 0.025
    assert base_lr(spec, batch, 4, 1) == pytest.approx(0.1)
    assert (spec.name, spec.momentum, spec.nesterov) == ("sgd", 0.9, True)
    tops = [factor(epoch, 48, spec.schedule) for epoch in (0, 12, 24, 36)]
    assert tops == pytest.approx([1, 0.7, 0.49, 0.343])
    assert factor(11, 48, spec.schedule) < 0.05
    assert recipe["trainer"]["max_epochs"] == 48
    assert recipe["model"]["finetune"] == {"freeze": "none", "backbone_lr": 1.0}


def test_only_flips_turns_and_shifts_augment(recipe):
    spec = AugmentSpec(**recipe["data"]["augment"])
    moved = {name: value for name, value in vars(spec).items() if value and name in AugmentSpec.__annotations__}
    sizes = {"min_side_px", "blur_sigma_px", "erase_area"}  # of what is off
    assert {name: moved[name] for name in moved if name not in sizes} == {"flip": 0.5, "rotate_deg": 20, "shift": 0.1}


def test_the_loss_is_half_weighted_cross_entropy_and_half_one_minus_ccc(recipe):
    tasks = Tasks(classes=["a", "b"], affect=True)
    loss = Loss(tasks, LossSpec(**recipe["model"]["loss"]))
    targets = torch.tensor([[1.0, 0, 0.5, 0.1], [1, 0, -0.5, 0.3], [1, 0, 0.0, 0.2], [0, 1, 0.2, -0.4]])
    loss.fit_counts(targets, torch.ones(4))
    outputs = torch.tensor([[1.0, 0, 0.4, 0.2], [0, 1, -0.1, 0.1], [2, 0, 0.3, 0.2], [0, 0, 0.1, -0.2]])
    weights = torch.tensor([1 / 3, 1.0])  # by the rarest class / each class
    entropy = torch.nn.functional.cross_entropy(outputs[:, :2], targets[:, :2].argmax(1), weights)
    gaps = []
    for column in (2, 3):
        x, y = outputs[:, column].double(), targets[:, column].double()
        spread = x.var(correction=0) + y.var(correction=0) + (x.mean() - y.mean()) ** 2
        gaps.append(1 - 2 * ((x - x.mean()) * (y - y.mean())).mean() / spread)
    assert float(loss(outputs, targets)["loss"]) == pytest.approx(float(0.5 * entropy + 0.5 * sum(gaps) / 2), rel=1e-5)


@pytest.mark.parametrize(("by_ranks", "expected"), [(False, 0.001), (True, 0.004)])
def test_the_originals_decay_counts_the_ranks_twice_where_it_is_asked_for(recipe, by_ranks, expected):
    assert recipe["model"]["optimizer"]["decay_by_ranks"] is False
    spec = optimizer_of(recipe, decay_by_ranks=by_ranks)
    model = FaceModel(Tasks(classes=["a", "b"]), BackboneSpec("fer2013_cnn", "none", channels=1), optimizer=spec)
    model._trainer = SimpleNamespace(
        world_size=4, max_epochs=48, accumulate_grad_batches=1, max_steps=-1, datamodule=SimpleNamespace(batch_size=64)
    )
    groups = model.configure_optimizers()["optimizer"].param_groups
    assert groups[0]["initial_lr"] == pytest.approx(0.1)
    decays = sorted({group["decoupled_decay"] for group in groups})
    assert decays == pytest.approx([0.0, expected])  # gains, shifts and biases have none


def test_all_ten_figures_are_printed():
    tasks = Tasks(classes=list(EMOTIONS), affect=True)
    rng = np.random.default_rng(0)
    targets = np.concatenate([np.eye(8)[np.arange(40) % 8], rng.uniform(-1, 1, (40, 2))], axis=1)
    outputs = targets + rng.normal(0, 0.5, targets.shape)
    outcome = outcome_of(outputs.tolist(), targets.tolist())
    printed = table(evaluation(outcome, tasks, "test", 1.0))
    for name in TEN:
        assert f"{name} 0." in printed or f"{name} 1." in printed, name


def test_the_set_is_labelled_for_both_tasks(affectnet):
    tasks = read_tasks(affectnet / "set", read_rows(affectnet / "set"))
    assert (tasks.classes, tasks.affect, tasks.units, tasks.outputs) == (
        ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"],
        True,
        [],
        10,
    )


def test_the_faults_of_the_original_are_off_and_can_be_had_all_at_once(affectnet, recipe, tmp_path):
    assert recipe["model"]["backbone"]["standardize"] == "weights"
    assert recipe["data"]["augment"]["one_move"] is False
    args = ["--data.root", str(affectnet / "set"), "--trainer.default_root_dir", str(tmp_path)]
    small = ["--model.backbone.name", "test_resnet", "--model.backbone.size_px", "48", "--data.batch_size", "16"]
    small += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.accelerator", "cpu"]
    faults = ["--model.optimizer.decay_by_ranks", "true", "--model.backbone.standardize", "picture_clipped"]
    faults += ["--data.augment.one_move", "true"]
    assert main(["fit", "--config", "affectnet", *args, *small, *faults]) == 0
    model = load_model(tmp_path / "checkpoints" / "last.ckpt")
    assert model.preprocess.standardize == "picture_clipped"
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    seen = model.backbone.normalize(images)
    assert (float(seen.min()), float(seen.max())) == (0, 1)
    with torch.no_grad():
        torch.testing.assert_close(model(images), model(images // 2), atol=0.1, rtol=0.1)  # half as bright


@pytest.mark.slow
def test_the_system_runs_from_data_to_its_ten_figures(tmp_path, capfd):
    with quiet():
        assert main(["recipes", "affectnet", "--sample", "--out", str(tmp_path / "run"), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert [step["failures"] for step in result["steps"]] == [False] * 3
    report = json.loads((tmp_path / "run" / "model" / "evaluate" / "report.json").read_text())
    assert report["splits"]["test"]["rows"] == 48
    assert set(TEN) <= set(report["splits"]["test"])
