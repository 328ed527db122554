"""The drivers' table: its data from photographs to two sets, its grid, its networks, and on the made set all of it."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.modules.batchnorm import _BatchNorm

import curate
from align import ModelError
from curate.cli import main as eyeline_curate
from train.backbones import BackboneSpec, create_backbone
from train.cli import main
from train.console import quiet
from train.heads import HeadSpec, build_head
from train.recipes import grid_path
from train.recipes.sample import make_sample
from train.recipes.sample.drivers import EXPRESSIONS, NEVER_SEEN, SEEN
from train.sweep import CostSpec, read_plan


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The made photographs, and both sets curated from them."""
    folder = tmp_path_factory.mktemp("drivers")
    make_sample("drivers", folder / "data")
    for name in ("drivers", "drivers-trick"):
        assert eyeline_curate(["run", name, "--root", str(folder / "data"), "--out", str(folder / name), "--json"]) == 0
    return folder


@pytest.fixture(scope="module")
def plan(sets):
    return read_plan(grid_path("drivers"), sets / "drivers")


def people(rows):
    return {int(subject.removeprefix("driver")) for subject in rows["subject"]}


def test_the_parts_are_those_of_the_folders_and_the_people_those_of_the_names(sets):
    rows = curate.read_manifest(sets / "drivers")
    kept = rows[rows["drop_reason"].isna()]
    for source, split, label in zip(kept["source"], kept["split"], kept["label"], strict=True):
        assert source.split("/")[:2] == [split, label]
    assert kept.groupby(["split", "label"]).size().min() >= 2
    assert set(kept["label"]) == set(EXPRESSIONS)
    assert people(kept[kept["split"] == "train"]) == set(SEEN)
    assert people(kept[kept["split"] == "test"]) < set(SEEN)
    assert len(kept) >= 0.9 * len(rows)


def test_the_hard_part_is_a_set_of_its_own_with_people_never_seen(sets):
    rows = curate.read_manifest(sets / "drivers-trick")
    assert len(rows) == len(EXPRESSIONS) * len(NEVER_SEEN)
    assert set(rows.loc[rows["drop_reason"].notna(), "drop_reason"]) <= {"no_face"}
    kept = rows[rows["drop_reason"].isna()]
    assert len(kept) >= 0.75 * len(rows)
    assert set(kept["split"]) == {"test"}
    assert people(kept) == set(NEVER_SEEN)
    align = curate.read_curation(sets / "drivers-trick")["config"]["align"]
    assert align == curate.read_curation(sets / "drivers")["config"]["align"]
    assert (align["detector"], align["landmarks"], align["template"], align["size"]) == ("hog", "dlib5", "tight", 224)


def test_the_table_has_every_network_with_both_weights_and_both_sets(plan):
    named = [run.values for run in plan.runs]
    networks = ("alexnet, faces", "alexnet, ImageNet", "vgg16, faces", "vgg16, ImageNet")
    networks += ("resnet50, faces", "iresnet100, faces", "resnet101, ImageNet")
    assert [(v["model.backbone"], v["data.augment"]) for v in named] == [
        (network, augment) for network in networks for augment in ("original", "augmented")
    ]
    assert plan.costs == CostSpec()
    assert plan.checkpoint == "last"
    for run in plan.runs:
        config = run.config
        assert config["model"]["optimizer"]["lr"] == 0.001
        assert config["model"]["head"] == {"dropout_before": 0.5, "batch_norm": False}
        original = run.values["data.augment"] == "original"
        assert any(config["data"]["augment"].values()) != original
        assert config["data"]["augment"].get("copies", 0) == (0 if original else 4)


def built(run):
    """Build a run's network without memory for it: shapes alone."""
    model = run.config["model"]
    with torch.device("meta"):
        backbone = create_backbone(BackboneSpec(**model["backbone"]).without_weights())
        head = build_head(backbone.features, len(EXPRESSIONS), HeadSpec(**model["head"]))
    return backbone, head


def test_the_networks_have_the_published_numbers_of_parameters(plan):
    counts = {}
    for run in plan.runs:
        backbone, head = built(run)
        norms = [module for module in backbone.modules() if isinstance(module, _BatchNorm)]
        statistics = sum(norm.running_mean.numel() + norm.running_var.numel() for norm in norms)
        counts[run.values["model.backbone"]] = (
            sum(p.numel() for part in (backbone, head) for p in part.parameters()),
            statistics,
        )
    assert counts["vgg16, faces"] == counts["vgg16, ImageNet"] == (134_289_223, 0)
    assert counts["resnet101, ImageNet"] == (42_514_503, 105_344)
    assert sum(counts["resnet101, ImageNet"]) == 42_619_847
    assert counts["resnet50, faces"][0] == 23_522_375
    assert counts["iresnet100, faces"][0] == 65_154_503


def test_the_input_has_the_mean_of_the_weights_taken_off(plan):
    means = {run.values["model.backbone"]: built(run)[0].preprocess.mean for run in plan.runs[::2]}
    assert means["vgg16, faces"] == pytest.approx((129.186, 104.762, 93.594), abs=1e-3)
    assert means["vgg16, ImageNet"] == pytest.approx((123.675, 116.28, 103.53))
    assert min(min(mean) for mean in means.values()) > 90


def test_weights_that_are_not_here_say_where_they_are_had(plan, monkeypatch, tmp_path):
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    by_faces = [run for run in plan.runs[::2] if "faces" in run.values["model.backbone"]]
    assert len(by_faces) == 4
    for run in by_faces:
        with torch.device("meta"), pytest.raises(ModelError, match=r"get it from http\S+, licence: "):
            create_backbone(BackboneSpec(**run.config["model"]["backbone"]))


def test_one_command_lists_and_makes_the_table(tmp_path, capsys):
    assert main(["recipes", "drivers", "--root", "data", "--out", str(tmp_path), "--dry_run", "--json"]) == 0
    *_, last = json.loads(capsys.readouterr().out)["commands"]
    assert (
        last
        == f"eyeline-train sweep drivers --root {tmp_path}/set --also trick={tmp_path}/trick --out {tmp_path}/table"
    )


def test_without_the_hard_part_nothing_begins(sets, tmp_path, capsys):
    shutil.copytree(sets / "data" / "train", tmp_path / "data" / "train")
    shutil.copytree(sets / "data" / "test", tmp_path / "data" / "test")
    assert main(["recipes", "drivers", "--root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 2
    assert "trick" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_on_the_made_set_the_whole_table_comes_out(tmp_path, capfd):
    with quiet():
        assert main(["recipes", "drivers", "--sample", "--out", str(tmp_path), "--json"]) == 0
    steps = json.loads(capfd.readouterr().out)["steps"]
    assert [step["failures"] for step in steps] == [False] * 3
    with (tmp_path / "table" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["augment"] for row in rows] == ["original", "augmented"]
    for row in rows:
        for name in ("test accuracy", "trick accuracy", "cpu img/s", "cpu ms", "train s", "parameters"):
            assert float(row[name]) >= 0, name
        assert row["error"] == ""
    shown = yaml.safe_load((tmp_path / "table" / "sweep.json").read_text())["runs"][0]
    kept = curate.read_manifest(tmp_path / "trick")["drop_reason"].isna().sum()
    assert shown["also"]["trick"]["rows"] == kept
    assert Path(shown["checkpoint"]).name == "last.ckpt"
