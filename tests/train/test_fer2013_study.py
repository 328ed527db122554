"""FER2013's study from csv to table, on a small file laid out as the real one and with its faults."""

import contextlib
import csv
import io
import json

import pandas as pd
import pytest
import skimage.data
import yaml

import curate
from align import UsageError
from curate.cli import main as eyeline_curate
from curate.outcome import count_rows
from tests.videos import encode
from train.cli import main
from train.console import quiet
from train.recipes import grid_path

from .fer2013_csv import BLANKS, LEAKS, PARTS, TRAIN_COPIES, write_fer2013

SHORT = ["--trainer.accelerator", "cpu", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The csv, curated for the study and for the strong recipe."""
    folder = tmp_path_factory.mktemp("fer2013")
    root = write_fer2013(folder / "data")
    for name in ("fer2013-study", "fer2013"):
        with contextlib.redirect_stdout(io.StringIO()):
            assert eyeline_curate(["run", name, "--root", str(root), "--out", str(folder / name)]) == 0
    return folder


@pytest.fixture(scope="module")
def studied(sets):
    """The study's best network after two steps: the run's folder."""
    run = sets / "runs" / "study"
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        fit = ["fit", "--config", "fer2013_study", "--data.root", str(sets / "fer2013-study"), *SHORT]
        assert main([*fit, "--data.batch_size", "8", "--trainer.default_root_dir", str(run)]) == 0
    return run


def test_the_csvs_faults_are_reported_and_its_classes_evened_out(sets, capsys):
    rows = curate.read_manifest(sets / "fer2013-study")
    everything = sum(sum(part) for part in PARTS.values())
    # the relabelled copy in training and its original both stay: which of the two labels is right, nobody knows
    relabelled = 1
    dropped = {"blank": BLANKS, "duplicate": TRAIN_COPIES - relabelled + LEAKS - 1, "leak": 1}
    assert count_rows(rows) == {"kept": everything + relabelled, **dropped}
    kept = rows[rows["drop_reason"].isna()]
    assert kept["split"].equals(kept["published_split"])
    shown = kept.groupby(["split", "label"])["repeat"].sum()
    assert set(shown["train"]) == {max(PARTS["Training"])}
    assert set(shown["val"]) == set(shown["test"]) == {2}
    assert eyeline_curate(["status", str(sets / "fer2013-study"), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["failed"] == 0
    assert "1 near-duplicate pair has two labels." in {check["text"] for check in status["checks"]}


def test_the_set_as_the_study_had_it_keeps_every_copy_and_fails_the_check(sets, tmp_path, capsys):
    args = ["--root", str(sets / "data"), "--out", str(tmp_path / "set")]
    assert eyeline_curate(["run", "fer2013-study-leaky", *args]) == 0
    everything = sum(sum(part) for part in PARTS.values())
    assert count_rows(curate.read_manifest(tmp_path / "set")) == {
        "kept": everything + TRAIN_COPIES + LEAKS,
        "blank": BLANKS,
    }
    capsys.readouterr()
    assert eyeline_curate(["status", str(tmp_path / "set"), "--json"]) == 3
    failed = {check["text"] for check in json.loads(capsys.readouterr().out)["checks"] if check["level"] == "failed"}
    assert failed == {f"Leak: {LEAKS} exact copies across sides (30 bits)."}


def test_the_strong_recipe_leaves_the_classes_as_they_are_and_trains(sets, capsys):
    rows = curate.read_manifest(sets / "fer2013")
    assert set(rows.loc[rows["split"] == "train", "repeat"]) == {1}
    fit = ["fit", "--config", "fer2013_strong", "--data.root", str(sets / "fer2013"), *SHORT, "--data.batch_size", "6"]
    assert main([*fit, "--trainer.default_root_dir", str(sets / "runs" / "strong"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train/loss"] > 0
    said = yaml.safe_load((sets / "runs" / "strong" / "fit" / "config.yaml").read_text())
    assert said["model"]["head"]["hidden"] == [4096, 4096]
    assert said["data"]["tta"] == "ten_crop"


def test_the_recipe_says_what_the_study_did(studied):
    said = yaml.safe_load((studied / "fit" / "config.yaml").read_text())
    model, augment = said["model"], said["data"]["augment"]
    assert model["finetune"]["freeze"] == "none"
    assert model["loss"]["classes"]["softmax_first"] is False
    optimizer = model["optimizer"]
    assert [optimizer[key] for key in ("name", "lr", "weight_decay", "momentum")] == ["adam", 1e-4, 0, 0]
    assert optimizer["schedule"]["name"] == "constant"
    assert augment["perspective"] * 48 == pytest.approx(7, abs=0.01)
    assert augment["rotate_deg"] == 30
    assert {key for key, value in augment.items() if value and not key.endswith(("_px", "_area"))} == {
        *("flip", "rotate_deg", "perspective", "blur", "noise")
    }


def test_the_studys_filters_are_drawn_for_every_convolution(sets, studied, tmp_path):
    with contextlib.redirect_stdout(io.StringIO()):
        look = ["look", "--ckpt", str(studied / "checkpoints" / "best.ckpt"), "--root", str(sets / "fer2013-study")]
        assert main([*look, "--filters", "all", "--most_filters", "8", "--count", "1", "--out", str(tmp_path)]) == 0
    drawn = sorted(path.name for path in tmp_path.glob("filters-*.png"))
    assert drawn == [f"filters-stages.{number}.conv.png" for number in range(4)]


def test_the_study_answers_faces_of_a_video_that_haar_finds(studied, tmp_path, capsys):
    clip = encode(tmp_path / "clip.mp4", [skimage.data.astronaut()] * 3)
    checkpoint = str(studied / "checkpoints" / "best.ckpt")
    assert main(["annotate", str(clip), "--ckpt", checkpoint, "--detector", "haar", "--out", "annotated"]) == 0
    table = pd.read_csv("annotated/clip.csv")
    assert len(table) == 3
    assert table["predicted"].notna().all()
    chances = table[[name for name in table if name.startswith("p_")]]
    assert chances.shape[1] == 7
    assert chances.sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert "detector none" in capsys.readouterr().err


def test_the_shipped_grid_is_24_runs_by_its_name(sets, tmp_path, capsys):
    args = ["--root", str(sets / "fer2013-study"), "--out", str(tmp_path / "out"), "--dry_run", "--json"]
    assert main(["sweep", "fer2013_study", *args]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert len({run["run"] for run in runs}) == 24
    assert {run["values"]["model.optimizer.lr"] for run in runs} == {0.01, 0.001, 0.0001}
    varied = ("model.optimizer.name", "model.backbone.options.activation", "model.loss.classes.name")
    kinds = {tuple(run["values"][key] for key in varied) for run in runs}
    assert len(kinds) == 8
    assert {kind[0] for kind in kinds} == {"rmsprop", "adam"}


def test_a_file_of_your_own_goes_before_a_grids_name(tmp_path, monkeypatch):
    shipped = grid_path("fer2013_study")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fer2013_study").write_text("base: {}\n")
    assert grid_path("fer2013_study").resolve() == tmp_path / "fer2013_study" != shipped
    with pytest.raises(UsageError, match=r"fer2014: expected the YAML of a sweep or one of .*fer2013_study"):
        grid_path("fer2014")


def test_a_run_of_the_grid_ends_in_the_studys_table_and_its_pictures(sets, tmp_path, capsys):
    asked = yaml.safe_load(grid_path("fer2013_study").read_text())
    asked["grid"] = {key: values[-1:] for key, values in asked["grid"].items()}
    asked["set"] = {
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "limit_train_batches": 2},
        "data.batch_size": 8,
    }
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(asked, sort_keys=False))
    args = ["--root", str(sets / "fer2013-study"), "--out", str(tmp_path / "out"), "--json"]
    assert main(["sweep", str(tmp_path / "one.yaml"), *args]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    with (tmp_path / "out" / "sweep.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["optimizer.name"] == "adam"
    assert row["activation"] == "after"
    assert row["parameters"] == "6783559"
    assert float(row["s/epoch"]) > 0
    for split in ("train", "val", "test"):
        for number in ("accuracy", "precision", "recall", "F1"):
            assert 0 <= float(row[f"{split} {number}"]) <= 1
    folder = tmp_path / "out" / "runs" / run["run"]
    drawn = {path.name for path in folder.glob("*.png")}
    assert drawn == {"curves.png", "confusion_train.png", "confusion_val.png", "confusion_test.png"}
    assert all((folder / name).stat().st_size > 5_000 for name in drawn)
