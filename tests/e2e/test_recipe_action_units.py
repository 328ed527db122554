"""Action units from video: a small set that is laid out as DISFA, the recipe's model, and what a leaky split hides."""

import contextlib
import io
import json
from itertools import pairwise

import av
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import curate
from benchmarks import leaky
from curate.cli import main as eyeline_curate
from train.checkpoints import load_model
from train.cli import main
from train.console import quiet
from train.heads import FeatureNorm
from train.recipes.sample import make_sample
from train.recipes.sample.action_units import PEOPLE, script
from train.recipes.sample.portraits import UNITS

DISFA = [1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26]


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The made set, what the registry's table makes of it, and the recipe's model after one epoch at a small size."""
    folder = tmp_path_factory.mktemp("units")
    make_sample("action_units", folder / "data")
    run = ["--trainer.default_root_dir", str(folder / "model"), "--trainer.accelerator", "cpu"]
    short = ["--trainer.max_epochs", "1", "--model.backbone.size_px", "64", "--trainer.limit_train_batches", "2"]
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        args = ["--root", str(folder / "data"), "--out", str(folder / "set")]
        assert eyeline_curate(["run", "action-units", *args]) == 0
        assert main(["fit", "--config", "action_units", "--data.root", str(folder / "set"), *run, *short]) == 0
    return folder


@pytest.fixture(scope="module")
def rows(units):
    return curate.read_manifest(units / "set")


def intensities(folder, person, unit):
    """The intensity of each frame, from 0."""
    table = pd.read_csv(folder / f"data/ActionUnit_Labels/{person}/{person}_au{unit}.txt", header=None)
    assert table[0].tolist() == list(range(1, len(table) + 1))
    return table[1].to_numpy()


def test_the_made_set_is_laid_out_as_disfa(units):
    videos = sorted((units / "data" / "Videos_LeftCamera").iterdir())
    assert [path.name for path in videos] == [f"LeftVideoSN{n:03d}_comp.avi" for n in range(1, PEOPLE + 1)]
    with av.open(str(videos[0])) as container:
        frames = sum(1 for _ in container.decode(video=0))
    for unit in DISFA:
        values = intensities(units, "SN001", unit)
        assert len(values) == frames
        assert set(values) <= set(range(6))
        assert values.max() >= 2


def test_an_intensity_of_two_or_more_is_a_unit_that_is_shown_of_every_fifth_frame(units, rows):
    assert set(rows["frame"] % 5) == {0}
    for subject, shown in rows.groupby("subject"):
        for unit in DISFA:
            wanted = (intensities(units, subject, unit)[shown["frame"]] >= 2).astype(float)
            assert shown[f"au_{unit}"].tolist() == wanted.tolist()


def test_nobody_stands_on_two_sides_and_near_identical_frames_are_dropped(rows):
    kept = rows[rows["drop_reason"].isna()]
    assert set(kept["split"]) == {"train", "val", "test"}
    assert kept.groupby("subject")["split"].nunique().max() == 1
    assert (rows["drop_reason"] == "duplicate").sum() > len(rows) / 8
    assert set(kept["subject"]) == {f"SN{n:03d}" for n in range(1, PEOPLE + 1)}


def test_common_units_are_capped_in_the_training_part_alone(units, rows):
    capped = rows[rows["drop_reason"] == "over_cap"]
    assert len(capped)
    record = curate.read_curation(units / "set")
    assert record["config"]["balance"]["cap"] == "median"
    training = rows[rows["split"].eq("train") & rows["drop_reason"].isna()]
    held_out = rows[rows["split"].isin(["val", "test"]) & rows["drop_reason"].isna()]
    assert not set(capped["subject"]) & set(held_out["subject"])
    for unit in DISFA:
        assert training[f"au_{unit}"].nunique() == 2


def test_the_base_is_frozen_and_dropout_goes_before_and_after_each_dense_layer(units):
    model = load_model(units / "model" / "checkpoints" / "last.ckpt")
    kinds = [type(layer) for layer in model.head]
    dense = [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout]
    assert kinds == [FeatureNorm, *dense, *dense, nn.Dropout, nn.Linear]
    rates = [layer.p for layer in model.head if isinstance(layer, nn.Dropout)]
    assert all(0.2 <= rate <= 0.5 for rate in rates)
    assert rates[0] == 0.5
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert model.tasks.units == [f"au_{unit}" for unit in DISFA]
    checkpoint = torch.load(units / "model" / "checkpoints" / "last.ckpt", weights_only=True)
    (state,) = checkpoint["optimizer_states"]
    assert sum(len(group["params"]) for group in state["param_groups"]) == len(list(model.head.parameters()))


def test_precision_and_recall_over_units_are_printed(units, capsys):
    test = ["test", "--data.root", str(units / "set"), "--ckpt_path", str(units / "model/checkpoints/last.ckpt")]
    with quiet():
        assert main(test) == 0
    printed = capsys.readouterr().out
    numbers = json.loads((units / "model" / "test" / "metrics.json").read_text())
    for name in ("precision_units_mean", "recall_units_mean", "f1_units_mean"):
        assert f"{name} {numbers[name]:.3f}" in printed


def test_each_round_of_the_script_shows_every_unit_and_mostly_rests_or_holds():
    frames = list(script(np.random.default_rng(0), rounds=1))
    assert {unit for frame in frames for unit, much in frame.items() if much > 0} == set(UNITS)
    alike = sum(before == after for before, after in pairwise(frames))
    assert alike > len(frames) / 2


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """The rows that each split of the benchmark leaves of six drawn people."""
    root = tmp_path_factory.mktemp("leaky")
    labels = []
    for number, frames in enumerate(leaky._made_people(6)):
        frames = frames[:36]  # noqa: PLW2901 - half of the expressions are enough
        leaky.write_clip(root / "known" / f"{number:03d}.avi", [picture for picture, _ in frames])
        labels.append([shown for _, shown in frames])
    leaky._list_frames(root / "known.csv", 0, 0, labels)
    found = {}
    for number, (name, split) in enumerate(leaky.MADE.items()):
        leaky._curate(root, "dedup" if number else "run", "known", split.replace("SEED", "0"))
        rows = curate.read_manifest(root / "known-set")
        found[name[:3]] = rows[rows["drop_reason"].isna()]
    return found


def test_the_leaky_split_keeps_every_frame_and_has_everybody_on_both_sides(splits):
    assert len(splits["(a)"]) == 6 * 36
    assert splits["(a)"].groupby("subject")["split"].nunique().tolist() == [2] * 6


def test_without_duplicates_fewer_frames_are_left_and_people_still_cross(splits):
    assert len(splits["(b)"]) < len(splits["(a)"]) * 0.7
    assert splits["(b)"].groupby("subject")["split"].nunique().max() == 2


def test_the_honest_split_has_the_same_faces_and_nobody_crosses(splits):
    assert set(splits["(c)"]["face_id"]) == set(splits["(b)"]["face_id"])
    assert splits["(c)"].groupby("subject")["split"].nunique().tolist() == [1] * 6


@pytest.mark.slow
def test_the_system_runs_from_data_to_its_figures(tmp_path, capfd):
    with quiet():
        assert main(["recipes", "action_units", "--sample", "--out", str(tmp_path / "run"), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert [step["failures"] for step in result["steps"]] == [False] * 3
    report = json.loads((tmp_path / "run" / "model" / "evaluate" / "report.json").read_text())
    assert {"precision_units_mean", "recall_units_mean"} <= set(report["splits"]["test"])
