"""A sweep's plan and tables by hand, and its runs as they are carried out, killed and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from align import UsageError
from train.cli import main
from train.sweep import Plan, as_table, over_seeds, read_plan, with_spread, write_report
from train.sweep.clock import seconds_per_epoch
from train.sweep.report import short_keys
from train.sweep.values import merged, nested

from .conftest import label_everything
from .sweep_cases import BASE, rows_of, write


def test_dotted_and_nested_keys_are_one():
    assert nested({"a.b": 1, "a": {"c.d": 2}, "a.c": {"e": 3}}) == {"a": {"b": 1, "c": {"d": 2, "e": 3}}}
    assert merged({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}}) == {"a": {"b": 1, "c": [2]}}


def test_runs_are_every_combination_with_every_seed_over_base_and_set(faces_set, tmp_path):
    grid = {"model.optimizer.lr": [0.1, 0.2], "model.head": [{"hidden": [8]}, {"dropout_before": 0.5}]}
    file = write(
        tmp_path, base=BASE, set={"trainer.max_epochs": 9, "model.head.layer_norm": True}, grid=grid, seeds=[3, 4]
    )
    plan = read_plan(file, faces_set)
    assert [(run.values["model.optimizer.lr"], run.seed) for run in plan.runs[:4]] == [(0.1, 3), (0.1, 4)] * 2
    assert len({run.name for run in plan.runs}) == 8
    config = plan.runs[-1].config
    assert config["seed_everything"] == 4
    assert config["trainer"] == {"accelerator": "cpu", "max_epochs": 9}
    assert config["model"]["head"] == {"layer_norm": True, "dropout_before": 0.5}
    assert config["data"] == {"batch_size": 8, "root": str(faces_set)}


def test_a_runs_name_holds_for_all_that_decides_its_result(faces_set, rich_set, tmp_path):
    def names(root=faces_set, **change):
        asked = {"base": BASE, "grid": {"model.optimizer.lr": [0.1, 0.2]}} | change
        return [run.name for run in read_plan(write(tmp_path, **asked), root).runs]

    assert names() == names()
    longer = names(grid={"model.optimizer.lr": [0.2, 0.3, 0.1]})
    assert {longer[0], longer[2]} == set(names())  # a grid that grows keeps its runs
    others = [
        names(seeds=[1]),
        names(set={"trainer.max_epochs": 1}),
        names(checkpoint="last"),
        names(train_faces="as_shown"),
        names(root=rich_set),
    ]
    for changed in others:
        assert not set(changed) & set(names())


def test_a_set_that_was_curated_anew_in_its_place_is_another_sweep(faces_set, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(faces_set, root, ignore=shutil.ignore_patterns("pack"))
    file = write(tmp_path, base=BASE)
    (before,) = read_plan(file, root).runs
    label_everything(root)
    (after,) = read_plan(file, root).runs
    assert before.config == after.config
    assert before.name != after.name


def test_a_recipe_may_be_the_base(faces_set, tmp_path):
    (run,) = read_plan(write(tmp_path, base="face_or_not"), faces_set).runs
    assert run.config["model"]["finetune"]["freeze"] == "all"
    assert run.seed == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"bases": {}}, "expected the keys base, set, grid, seeds, checkpoint, train_faces, also, costs (got 'bases')"),
        ({"grid": {"a": 1}}, "grid.a must be a list of values (got 1)"),
        ({"grid": {"a": []}}, "grid.a must be a list"),
        ({"grid": {"a": [1, 1]}}, "grid.a must name each value once"),
        ({"seeds": [0, 0]}, "seeds must be a list of integers >= 0, each once"),
        ({"seeds": [-1]}, "seeds must be a list of integers >= 0"),
        ({"checkpoint": "worst"}, "checkpoint must be best or last"),
        ({"train_faces": "twice"}, "train_faces must be once or as_shown (got 'twice')"),
        ({"base": "no_such_recipe"}, "expected a file or one of the recipes"),
        ({"set": {"ckpt_path": "x"}}, "leave out ckpt_path"),
        ({"grid": {"seed_everything": [1]}}, "seeds go under `seeds`"),
        ({"set": {"trainer.default_root_dir": "x"}}, "leave out trainer.default_root_dir"),
    ],
)
def test_a_wrong_sweep_is_one_sentence(asked, said, faces_set, tmp_path):
    with pytest.raises(UsageError) as error:
        read_plan(write(tmp_path, **asked), faces_set)
    assert said in str(error.value)


def test_a_sweep_without_a_set_says_so(tmp_path, capsys):
    file = str(write(tmp_path, base=BASE))
    assert main(["sweep", file, "--out", str(tmp_path / "out")]) == 2
    assert "give --root" in capsys.readouterr().err
    assert main(["sweep", file, "--out", str(tmp_path / "out"), "--root", str(tmp_path)]) == 1
    assert "no manifest.parquet" in capsys.readouterr().err
    assert main(["sweep", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_keys_are_shown_as_short_as_they_can_be():
    keys = ["model.optimizer.name", "model.backbone.name", "model.optimizer.lr", "trainer.lr"]
    assert short_keys(keys) == ["optimizer.name", "backbone.name", "optimizer.lr", "trainer.lr"]
    assert short_keys(["model.optimizer.name", "data.batch_size"]) == ["optimizer.name", "batch_size"]


def hand_worked():
    plan = Plan(("a.lr",), (0, 1, 2), "best", "once", ())
    results = [
        {"run": "r", "values": {"a.lr": 0.1}, "seed": seed, "epochs": 2, "seconds_per_epoch": seconds}
        | {"parameters": 7, "test": {"f1_macro": f1, "accuracy_micro": 0.5, "rows": 3}}
        for seed, seconds, f1 in [(0, 1.0, 0.2), (1, 2.0, 0.4), (2, 3.0, 0.6)]
    ]
    failed = {"run": "s", "values": {"a.lr": 9}, "seed": 0, "error": "it | failed"}
    return plan, [*results, failed]


def test_tables_hold_every_run_and_the_mean_and_deviation_over_seeds(tmp_path):
    plan, results = hand_worked()
    header, rows = as_table(plan, results)
    assert header == ["lr", "seed", "epochs", "s/epoch", "parameters", "test accuracy", "test F1", "error"]
    assert rows[1] == [0.1, 1, 2, 2.0, 7, 0.5, 0.4, None]
    assert rows[3] == [9, 0, None, None, None, None, None, "it | failed"]
    header, rows = over_seeds(plan, results)
    assert header[:4] == ["lr", "runs", "s/epoch", "parameters"]
    assert rows[0] == [0.1, 3, 2.0, 7, 0.5, 0.0, pytest.approx(0.4), pytest.approx(0.2)]
    assert rows[1] == [9, 0, None, None, None, None, None, None]
    assert with_spread((header, rows))[1][0] == [0.1, 3, 2.0, 7, "0.500 ± 0.000", "0.400 ± 0.200"]
    files = write_report(plan, results, tmp_path)
    assert len(files) == 5
    assert (tmp_path / "sweep.png").stat().st_size > 5_000
    assert r"it \| failed" in (tmp_path / "sweep.md").read_text()
    assert len(rows_of(tmp_path / "sweep.csv")) == 4


def test_the_clock_counts_an_epoch_once_and_forgives_half_a_line(tmp_path):
    file = tmp_path / "epochs.csv"
    assert seconds_per_epoch(file) == (0, None)
    file.write_text("0,1.000000\n1,8.000000\n1,2.000000\n2,3.000000\n3,")
    assert seconds_per_epoch(file) == (3, 2.0)


def test_a_failed_run_is_recorded_and_the_others_go_on(swept):
    done, failed = swept.runs
    assert swept.code == 3
    assert failed["error"] == "model.optimizer.lr must be above 0 (got -1.0)"
    assert done["values"] == {"model.optimizer.lr": "fair"}
    assert done["epochs"] == 4
    assert done["seconds_per_epoch"] > 0
    assert {split: done[split]["rows"] for split in ("train", "val", "test")} == {"train": 24, "val": 11, "test": 13}
    run = swept.out / "runs" / done["run"]
    told = json.loads((run / "test" / "metrics.json").read_text())
    for name in ("accuracy_micro", "precision_macro", "f1_macro", "nll"):
        assert done["test"][name] == pytest.approx(told[name], abs=1e-6)
    recalls = [score["recall"] for score in told["classes"]]
    assert done["test"]["accuracy_macro"] == pytest.approx(sum(recalls) / 2)
    splits = {f"confusion_{split}.png" for split in ("train", "val", "test")}
    assert {path.name for path in run.glob("*.png")} == splits | {"curves.png"}
    row = swept.rows[0]
    assert row["train F1"] == str(done["train"]["f1_macro"])
    assert row["seed"] == "5"


def test_a_finished_run_is_not_run_again(swept, faces_set, tmp_path, capsys):
    run = swept.out / "runs" / swept.runs[0]["run"]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    file = write(tmp_path, base=BASE, grid={"model.optimizer.lr": {"fair": 0.003}}, seeds=[5])
    args = ["sweep", str(file), "--root", str(faces_set), "--out", str(swept.out), "--json"]
    assert main([*args, "--dry_run"]) == 0
    assert [run["state"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["done"]
    assert main(args) == 0
    (again,) = json.loads(capsys.readouterr().out)["runs"]
    assert again == {key: value for key, value in swept.runs[0].items() if key not in ("also", "costs")}
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


def test_a_killed_sweep_goes_on_and_ends_in_the_same_scores(swept, faces_set, tmp_path, capsys):
    whole = swept.runs[0]
    file = write(tmp_path, base=BASE, grid={"model.optimizer.lr": {"fair": 0.003}}, seeds=[5])
    args = ["sweep", str(file), "--root", str(faces_set), "--out", str(tmp_path / "out"), "--json"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "train.cli", *args],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    run = tmp_path / "out" / "runs" / whole["run"]
    while seconds_per_epoch(run / "epochs.csv")[0] < 2:  # the first epoch's checkpoint is whole by then
        assert killed.poll() is None  # it came to an end without a checkpoint
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)  # the sweep and its run at once
    killed.wait()
    assert not (run / "result.json").exists()
    assert main([*args, "--dry_run"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["state"] == "half"
    assert main(args) == 0
    again = json.loads(capsys.readouterr().out)["runs"][0]
    assert list(run.glob("fit-from-step-*"))  # it was resumed, not begun anew
    for name in ("train", "val", "test", "parameters", "epochs", "values"):
        assert again[name] == whole[name]
