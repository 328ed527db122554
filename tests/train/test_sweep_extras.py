"""A sweep's named choices, flags that win, further sets that checkpoints are scored on, and the costs of networks."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from align import EyelineError, UsageError, locked
from curate.manifest import read_manifest, write_manifest
from train.cli import main
from train.console import quiet
from train.figures import save_figure
from train.recipes import grid_path, recipe_names
from train.sweep import Asked, CostSpec, ExtraSet, Plan, as_table, parse_pairs, read_plan
from train.sweep.costs import with_costs
from train.sweep.report import plot
from train.sweep.score import score, score_elsewhere

from .conftest import CLASSES, write_set
from .sweep_cases import BASE, run_sweep, write


def extra_set(folder, counts=None, labels=tuple(CLASSES)):
    write_set(folder, counts or {"test": {"face": 3, "not_face": 2}}, labels)
    return folder


def test_a_grid_may_name_its_values(faces_set, tmp_path):
    grid = {"model.head": {"plain": {}, "deep": {"hidden": [8]}}, "trainer.max_epochs": [1, 2]}
    runs = read_plan(write(tmp_path, base=BASE, grid=grid), faces_set).runs
    assert [run.values for run in runs[1:3]] == [
        {"model.head": "plain", "trainer.max_epochs": 2},
        {"model.head": "deep", "trainer.max_epochs": 1},
    ]
    assert runs[2].config["model"]["head"] == {"hidden": [8]}
    assert runs[0].config["model"]["head"] == {}
    assert runs[2].name.startswith("head-deep_max-epochs-1_seed-0-")


def test_flags_win_over_the_file(faces_set, tmp_path):
    file = write(tmp_path, base=BASE, set={"trainer.max_epochs": 9}, grid={"data.batch_size": [1, 2]}, costs=True)
    plain = read_plan(file, faces_set)
    over = Asked(
        values={"trainer.max_epochs": 3},
        grid={"data.batch_size": [7], "model.optimizer.lr": [0.1, 0.2]},
        costs=False,
    )
    plan = read_plan(file, faces_set, over)
    assert (plain.costs, plan.costs) == (CostSpec(), None)
    assert [run.config["trainer"]["max_epochs"] for run in plan.runs] == [3, 3]
    assert [tuple(run.values.values()) for run in plan.runs] == [(7, 0.1), (7, 0.2)]


def test_a_flag_that_is_given_twice_counts_twice(faces_set, tmp_path, capsys):
    file = write(tmp_path, base=BASE, grid={"data.batch_size": [1, 2], "trainer.max_epochs": [1, 2]})
    given = ["--grid", "data.batch_size=[3]", "--grid", "trainer.max_epochs=[4]"]
    assert main(["sweep", str(file), "--root", str(faces_set), "--out", "out", *given, "--dry_run", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["values"] == {"data.batch_size": 3, "trainer.max_epochs": 4}


def test_words_of_the_command_line_are_pairs_of_key_and_yaml():
    given = parse_pairs(["a.b=[1, x]", "c={d: 1.5, e: x=y}", "f=null"], "--set")
    assert given == {"a.b": [1, "x"], "c": {"d": 1.5, "e": "x=y"}, "f": None}
    for words in (["a"], ["=1"], ["a=1", "a=2"], ["a=[1"]):
        with pytest.raises(UsageError, match="--set"):
            parse_pairs(words, "--set")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"also": ["x"]}, "also: expected names with values"),
        ({"also": {"test": "x"}}, "also must be names, other than train, val, test"),
        ({"also": {"a/b": "x"}}, "also must be names"),
        ({"also": {"trick": 3}}, "(got 'trick': 3)"),
        ({"grid": {"a": {}}}, "grid.a must be a list of values (got {}), or names with values"),
        ({"costs": "yes please"}, "costs must be true, false, or some of devices, batch, rounds, round_s"),
        ({"costs": {"rounds": 0}}, "costs.rounds must be an integer above 0 (got 0)"),
        ({"costs": {"rounds": 1.5}}, "costs.rounds must be an integer above 0 (got 1.5)"),
        ({"costs": {"round_s": True}}, "costs.round_s must be a number above 0 (got True)"),
        ({"costs": {"devices": ["tpu"]}}, "costs.devices must be of cpu, cuda (got ['tpu'])"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_sentence(asked, said, faces_set, tmp_path):
    with pytest.raises(UsageError) as error:
        read_plan(write(tmp_path, base=BASE, **asked), faces_set)
    assert said in str(error.value)


def test_the_set_that_is_scored_on_too_does_not_decide_a_runs_name_and_must_be_there(faces_set, tmp_path, capsys):
    file = write(tmp_path, base=BASE)
    over = Asked(also={"trick": str(extra_set(tmp_path / "trick"))})
    assert [run.name for run in read_plan(file, faces_set, over).runs] == [
        r.name for r in read_plan(file, faces_set).runs
    ]
    args = ["sweep", str(file), "--root", str(faces_set), "--out", str(tmp_path / "out")]
    assert main([*args, "--also", f"trick={tmp_path}/nowhere"]) == 1
    assert "nowhere: expected a curated set (no manifest.parquet)" in capsys.readouterr().err


def test_the_table_holds_costs_and_further_sets_and_keeps_a_failed_runs_costs():
    plan = Plan(("a.lr",), (0,), "last", "once", (), {"trick": ExtraSet(None, "")}, CostSpec())
    cpu = {"parameters": 7, "statistics": 2, "inference_images_per_s": 30.0, "latency_ms": 4.0}
    done = {"values": {"a.lr": 0.1}, "seed": 0, "epochs": 2, "seconds_per_epoch": 1.5, "training_seconds": 3.5}
    done |= {"parameters": 7, "test": {"f1_macro": 0.5}, "also": {"trick": {"f1_macro": 0.25}}}
    failed = {"values": {"a.lr": 9}, "seed": 0, "error": "no weights"}
    results = with_costs([done, failed], [{"cpu": cpu, "cuda": {"error": "out of memory"}}, {"cpu": cpu}])
    header, rows = as_table(plan, results)
    assert header == [
        *("lr", "seed", "epochs", "s/epoch", "parameters", "train s", "statistics"),
        *("cpu img/s", "cpu ms", "cuda img/s", "cuda ms", "test F1", "trick F1", "error"),
    ]
    assert rows[0] == [0.1, 0, 2, 1.5, 7, 3.5, 2, 30.0, 4.0, None, None, 0.5, 0.25, "out of memory"]
    assert rows[1] == [9, 0, None, None, 7, None, 2, 30.0, 4.0, None, None, None, None, "no weights"]


def test_a_run_is_scored_on_the_further_set_and_a_failed_one_has_costs_and_a_reason(swept):
    done, failed = swept.runs
    assert swept.code == 3
    assert done["also"]["trick"]["rows"] == 5
    assert done["training_seconds"] >= done["epochs"] * 0.9 * done["seconds_per_epoch"] > 0
    assert "lr must be above 0" in failed["error"]
    assert failed["also"] == {}
    first, second = swept.rows
    assert (first["lr"], second["lr"]) == ("fair", "wrong")
    assert float(first["trick accuracy"]) == done["also"]["trick"]["accuracy_micro"]
    for row in (first, second):
        assert int(row["parameters"]) == done["parameters"]
        assert int(row["statistics"]) > 0
        assert float(row["cpu img/s"]) > 0
    assert len(list((swept.out / "costs").iterdir())) == 1  # the two networks are one
    assert "| trick accuracy |" in swept.markdown


def test_another_further_set_costs_no_training_a_changed_one_is_scored_anew_and_a_wrong_one_named(swept, tmp_path):
    before = swept.runs[0]
    run = swept.out / "runs" / before["run"]
    written = {name: (run / name).stat().st_mtime_ns for name in ("result.json", "checkpoints/last.ckpt")}
    costs = {path: path.stat().st_mtime_ns for path in (swept.out / "costs").iterdir()}
    trick = shutil.copytree(swept.trick, tmp_path / "trick")
    write_set(trick, {"test": {"face": 2, "not_face": 2}})
    other = extra_set(tmp_path / "other", {"test": {"face": 2, "tree": 2}}, ("face", "tree"))
    asked = [*swept.args, "--grid", "model.optimizer.lr={fair: 0.003}"]
    code, (done,) = run_sweep([*asked, "--also", f"trick={trick}", f"more={swept.trick}", f"other={other}"])
    assert code == 3
    assert "expected the classes of" in done["error"]
    assert done["also"]["trick"]["rows"] == 4
    assert done["also"]["more"] == before["also"]["trick"]
    assert "other" not in done["also"]
    assert done["test"] == before["test"]
    assert {name: (run / name).stat().st_mtime_ns for name in written} == written
    assert {path: path.stat().st_mtime_ns for path in costs} == costs


def test_training_faces_count_as_often_as_an_epoch_shows_them_where_that_is_asked_for(swept, faces_set, tmp_path):
    root = shutil.copytree(faces_set, tmp_path / "set")
    rows = read_manifest(root)
    rows.loc[(rows["split"] == "train") & (rows["label"] == "face"), "repeat"] = 3
    write_manifest(root, rows)
    checkpoint, config = Path(swept.runs[0]["checkpoint"]), {"data": {"root": str(root), "batch_size": 8}}
    with quiet():
        once, shown = (score(checkpoint, config, as_shown=as_shown) for as_shown in (False, True))
    faces = once.outcomes["train"].targets[:, 1] == 1
    assert (once.numbers["train"]["rows"], int(faces.sum())) == (24, 12)
    assert shown.numbers["train"]["rows"] == 48
    hits = (once.outcomes["train"].outputs.argmax(1) == faces.long()).double()
    expected = (hits * torch.where(faces, 3, 1)).sum() / 48
    assert shown.numbers["train"]["accuracy_micro"] == pytest.approx(float(expected))
    assert shown.numbers["val"] == once.numbers["val"]
    assert shown.numbers["test"] == once.numbers["test"]


def test_a_further_set_without_a_test_part_is_refused(swept, tmp_path):
    done = swept.runs[0]
    untested = extra_set(tmp_path / "untested", {"train": {"face": 2, "not_face": 2}})
    with quiet(), pytest.raises(EyelineError, match=r"expected test rows \(found none that were kept\)"):
        score_elsewhere(Path(done["checkpoint"]), {"data": {"batch_size": 4}}, untested)


def test_every_shipped_grid_reads(faces_set):
    for name in ("drivers", "fer2013_study"):
        plan = read_plan(grid_path(name), faces_set)
        assert name in recipe_names()
        assert len({run.name for run in plan.runs}) == len(plan.runs) > 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--set", "data=5"], "data: expected names with values (got 5)"),
        (["--set", "model=[1]"], "model: expected names with values (got [1])"),
        (
            ["--grid", "model.head={a: {}, a: {hidden: [8]}}"],
            "--grid model.head: expected YAML (found: the name 'a'",
        ),
        (["--grid", "model.head={1: {}, '1': {hidden: [8]}}"], "the name '1' twice"),
        (["--grid", "model.optimizer.lr=[1e-3, 0.001]"], "grid.model.optimizer.lr must name each value once"),
        (
            ["--grid", "model.head={a: {hidden: [8]}, b: {}}", "--set", "model.head.hidden=[4]"],
            "--set model.head.hidden: expected a key that the grid leaves alone (found it in grid.model.head)",
        ),
        (["--set", "a..b=1"], "a..b: expected names between the dots"),
        (["--grid", "seeds=[1]"], "seeds go under `seeds`"),
        (["--also", "trick=a: b #1"], "a: b #1: expected a curated set (no manifest.parquet)"),
        (["--root", "sweep.yaml"], "sweep.yaml: expected a curated set (no manifest.parquet)"),
    ],
)
def test_what_the_command_line_says_wrongly_is_one_sentence(given, said, faces_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, base=BASE)
    root = [] if "--root" in given else ["--root", str(faces_set)]
    assert main(["sweep", "sweep.yaml", *root, *given, "--out", "out", "--dry_run"]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_file_that_names_something_twice_is_refused(faces_set, tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text("grid: {a: [1]}\nbase: {}\ngrid: {b: [1]}\n")
    with pytest.raises(UsageError, match="the name 'grid' twice"):
        read_plan(file, faces_set)


def test_the_folder_one_stands_in_may_be_the_set(faces_set, tmp_path, monkeypatch):
    file = write(tmp_path, base=BASE)
    monkeypatch.chdir(faces_set)
    (run,) = read_plan(file, Path()).runs
    assert run.config["data"]["root"] == "."


def test_each_set_of_a_grid_of_sets_is_looked_at(faces_set, rich_set, tmp_path):
    def name(second):
        file = write(tmp_path, base=BASE, grid={"data.root": {"plain": str(faces_set), "rich": str(second)}})
        return [run.name for run in read_plan(file).runs]

    changed = shutil.copytree(rich_set, tmp_path / "set", ignore=shutil.ignore_patterns("pack"))
    before = name(changed)
    write_set(changed, {"test": {"face": 1}})
    after = name(changed)
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_a_sweep_measures_costs_and_writes_its_tables_in_a_folder_that_is_its_own(swept, capsys):
    with locked(swept.out):
        assert main(swept.args) == 1
    assert "expected no other sweep at work here (found one)" in capsys.readouterr().err


def test_the_plot_has_room_for_long_and_foreign_names(tmp_path, recwarn):
    results = [{"values": {"a.head": f"头 {'x' * 120} {n}$"}, "seed": 0, "test": {"f1_macro": 0.5}} for n in range(2)]
    figure = plot(Plan(("a.head",), (0,), "best", "once", ()), results)
    save_figure(figure, tmp_path / "sweep.png")
    assert not [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)]
    assert figure.axes[0].get_position().width * figure.get_figwidth() > 4
    assert len(figure.axes[0].get_xticks()) <= 8
