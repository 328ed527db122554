"""`eyeline-train evaluate` as a user types it, and the files that every test leaves."""

import csv
import json

import numpy as np
import pytest
import torch

from curate.manifest import read_curation, read_manifest, write_curation, write_manifest
from tests.curate.report_sets import Page
from tests.train.evaluations import part_of
from tests.train.outcomes import ALL
from train.cli import main
from train.evaluate import csv_text, evaluation, table, write_evaluation

from .test_cli import CPU, TINY


@pytest.fixture(scope="module")
def run(rich_set, tmp_path_factory):
    """A run of one epoch over all three tasks: its folder."""
    folder = tmp_path_factory.mktemp("evaluated")
    flags = ["--data.root", str(rich_set), "--trainer.default_root_dir", str(folder), "--trainer.max_epochs", "1"]
    assert main(["fit", *flags, *TINY, *CPU, "--data.batch_size", "8"]) == 0
    return folder


def evaluate(run, root, *flags):
    return main(["evaluate", "--ckpt", "last", "--run", str(run), "--root", str(root), "--accelerator", "cpu", *flags])


def sentence(capsys):
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_it_writes_both_files_and_their_numbers_are_those_of_test(run, rich_set, capsys):
    assert evaluate(run, rich_set) == 0
    shown = capsys.readouterr()
    assert str(run / "evaluate" / "report.html") in shown.out
    assert "95% interval of f1_macro" in shown.out
    assert "Leak: " in shown.err
    record = json.loads((run / "evaluate" / "report.json").read_text())
    assert list(record["splits"]) == ["test", "val"]
    assert record["curves"]["checkpoint_epoch"] == 0
    assert record["curves"]["series"]["train/loss"][0] > 0
    Page(run / "evaluate" / "report.html")
    checkpoint = str(run / "checkpoints" / "last.ckpt")
    for command, split in (("validate", "val"), ("test", "test")):
        assert main([command, "--ckpt_path", checkpoint, "--data.root", str(rich_set), *CPU]) == 0
        numbers = json.loads((run / command / "metrics.json").read_text())
        numbers.pop("files")
        for name, value in numbers.items():
            if isinstance(value, float):
                assert record["splits"][split][name] == pytest.approx(value, abs=1e-5), name
            else:
                assert type(record["splits"][split][name]) is type(value)
        assert record["splits"][split]["confusion"] == numbers["confusion"]


def test_json_is_the_file(run, rich_set, tmp_path, capsys):
    assert evaluate(run, rich_set, "--splits", "test", "--json", "--out", str(tmp_path)) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / "report.json").read_text())
    assert list(shown["splits"]) == ["test"]


def test_views_are_taken_and_recorded(run, rich_set, tmp_path):
    for kind in ("none", "flip"):
        out = str(tmp_path / kind)
        assert evaluate(run, rich_set, "--splits", "test", "--tta", kind, "--out", out) == 0
    plain, flipped = (json.loads((tmp_path / kind / "report.json").read_text()) for kind in ("none", "flip"))
    assert (plain["settings"]["tta"], flipped["settings"]["tta"]) == ("none", "flip")
    assert plain["splits"]["test"]["loss"] != flipped["splits"]["test"]["loss"]


@pytest.mark.parametrize("flags", [["--splits", "train"], ["--splits", "val,val"], ["--splits", "test,"]])
def test_splits_that_do_not_exist_are_refused(run, rich_set, capsys, flags):
    assert evaluate(run, rich_set, *flags) == 2
    assert sentence(capsys).startswith("error: --splits must be val, test or val,test")


def test_a_split_that_the_set_has_not_is_refused(run, rich_set, tmp_path, capsys):
    rows = read_manifest(rich_set)
    write_manifest(tmp_path, rows[rows["split"] != "val"].reset_index(drop=True))
    write_curation(tmp_path, read_curation(rich_set))
    assert evaluate(run, tmp_path, "--splits", "val") == 2
    assert "expected kept faces of val" in sentence(capsys)


def test_last_needs_a_run_and_a_file_must_be_there(rich_set, tmp_path, capsys):
    assert main(["evaluate", "--ckpt", "best", "--root", str(rich_set)]) == 2
    assert "expected --run" in sentence(capsys)
    assert main(["evaluate", "--ckpt", str(tmp_path / "no.ckpt"), "--root", str(rich_set)]) == 2
    assert sentence(capsys).startswith("error: --ckpt: expected a checkpoint at")


@pytest.mark.parametrize(("accelerator", "devices"), [("cuda", "1"), ("abacus", "1"), ("cpu", "many"), ("cpu", "0")])
def test_a_device_that_is_not_there_is_one_sentence(run, rich_set, capsys, accelerator, devices):
    if accelerator == "cuda" and torch.cuda.is_available():
        pytest.skip("the device is there")
    flags = ["--ckpt", str(run / "checkpoints" / "last.ckpt"), "--root", str(rich_set)]
    assert main(["evaluate", *flags, "--accelerator", accelerator, "--devices", devices]) == 2
    assert sentence(capsys).startswith(f"error: --accelerator {accelerator} --devices {devices}: expected devices")


def test_a_set_of_other_classes_is_refused(run, faces_set, tmp_path, capsys):
    write_manifest(tmp_path, read_manifest(faces_set))
    write_curation(tmp_path, {**read_curation(faces_set), "labels": ["face", "not_face"]})
    assert evaluate(run, tmp_path) == 1
    assert "expected the classes of" in sentence(capsys)


def test_csv_texts_keep_names_and_gaps():
    text = csv_text(("name", "value"), [('a,"b"\n', 0.123456789), ("c", None), ("d", 3)])
    assert list(csv.reader(text.splitlines(keepends=True))) == [
        ["name", "value"],
        ['a,"b"\n', "0.123457"],
        ["c", ""],
        ["d", "3"],
    ]


def test_the_files_of_a_test_hold_the_numbers(tmp_path):
    result = evaluation(part_of(60).outcome, ALL, "test", 0.25)
    files = write_evaluation(result, tmp_path)
    assert sorted(files) == ["confusion.csv", "confusion.png", "metrics.json", "per_class.csv", "per_unit.csv"]
    assert all((tmp_path / name).is_file() for name in files)
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored == {**result, "files": files}
    confusion = list(csv.reader((tmp_path / "confusion.csv").read_text().splitlines()))
    assert np.array(confusion)[1:, 1:].astype(int).tolist() == result["confusion"]
    assert confusion[0][0] == "true \\ predicted"
    units = list(csv.DictReader((tmp_path / "per_unit.csv").read_text().splitlines()))
    assert [row["name"] for row in units] == ALL.units
    assert float(units[0]["prevalence"]) == pytest.approx(result["units"][0]["prevalence"], abs=1e-6)


def test_the_table_shows_each_class_and_unit_and_a_dash_for_what_is_not_defined():
    result = evaluation(part_of(60).outcome, ALL, "test", 0.25)
    result["classes"][0] |= {"recall": None}
    text = table(result)
    lines = text.splitlines()
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in (*ALL.classes, *ALL.units))
    assert next(line for line in lines if line.startswith("neutral")).split()[3] == "-"
    assert f"f1_macro {result['f1_macro']:.3f}" in text
