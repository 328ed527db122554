"""EmotioNet: three sets of one split, two pairs of networks, and on the made set the cascade of both."""

import json
from collections import Counter
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

import curate
from curate.cli import main as eyeline_curate
from curate.outcome import count_rows
from train.backbones import BackboneSpec, create_backbone
from train.cli import main
from train.console import quiet
from train.recipes.sample import make_sample
from train.recipes.sample.emotionet import CUTS, EMOTIONS, NOT_FACE, PEOPLE, SCENES
from train.recipes.systems import Place, load_system

SPLITS = ("train", "test")
FACES = PEOPLE * len(EMOTIONS)
OTHERS = CUTS * sum(len(names) for _, names in SCENES)
PATHS = {"export", "--root", "--out", "--dest"}
NETWORKS = ("face", "emotion", "face_improved", "emotion_improved")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The made pictures, the set of both, its export, and the two sets made of that."""
    folder = tmp_path_factory.mktemp("emotionet")
    make_sample("emotionet", folder / "data")
    steps = (
        ("run", "emotionet", "--root", "data", "--out", "both"),
        ("export", "both", "--to", "folders", "--dest", "folders"),
        ("run", "emotionet-face", "--root", "folders", "--out", "face"),
        ("run", "emotionet-emotion", "--root", "folders", "--out", "emotion"),
    )
    for step in steps:
        words = [str(folder / word) if before in PATHS else word for before, word in pairwise(("", *step))]
        assert eyeline_curate([*words, "--json"]) == 0
    return folder


def kept(root):
    rows = curate.read_manifest(root)
    return rows[rows["drop_reason"].isna()]


def by_face_id(root):
    """Split and label of each face, by its id in the set of both: the name of the exported file."""
    rows = kept(root)
    names = [Path(source).stem if "/" in source else source for source in rows["source"]]
    return dict(zip(names, zip(rows["split"], rows["label"], strict=True), strict=True))


def test_seventy_and_thirty_percent_and_the_labels_of_the_csv(sets):
    rows = curate.read_manifest(sets / "both")
    assert count_rows(rows) == {"kept": FACES + OTHERS, "unlabelled": 1}
    both = kept(sets / "both")
    assert both["split"].value_counts(normalize=True)["test"] == pytest.approx(0.3, abs=0.02)
    assert both["subject"].nunique() == PEOPLE
    assert both.groupby("subject")["split"].nunique().max() == 1
    written = pd.read_csv(sets / "data" / "emotionet.csv").set_index("path")["label"]
    for source, label in zip(both["source"], both["label"], strict=True):
        assert {**EMOTIONS, NOT_FACE: NOT_FACE}[written[source]] == label
    compound = rows[rows["drop_reason"] == "unlabelled"]["source"]
    assert list(written[compound]) == ["happily_surprised"]


def test_the_three_sets_have_every_picture_in_the_same_part(sets):
    both = dict(zip(kept(sets / "both")["face_id"], kept(sets / "both")[["split", "label"]].to_numpy(), strict=True))
    face, emotion = by_face_id(sets / "face"), by_face_id(sets / "emotion")
    assert set(face) == set(both)
    assert set(emotion) == {face_id for face_id, (_, label) in both.items() if label != NOT_FACE}
    for face_id, (split, label) in both.items():
        assert face[face_id] == (split, NOT_FACE if label == NOT_FACE else "face")
        if label != NOT_FACE:
            assert emotion[face_id] == (split, label)
    assert curate.read_curation(sets / "face")["labels"] == [NOT_FACE, "face"]
    assert set(curate.read_curation(sets / "emotion")["labels"]) == set(EMOTIONS.values())


def test_the_networks_see_grey_100_px_and_colour_256_px_and_the_face_network_the_size_of_its_weights():
    inputs = {}
    for name in NETWORKS:
        model = yaml.safe_load((files("train.recipes") / f"emotionet_{name}.yaml").read_text())["model"]
        with torch.device("meta"):
            wanted = create_backbone(BackboneSpec(**model["backbone"]).without_weights()).preprocess
        inputs[name] = (wanted.channels, wanted.size_px)
    assert inputs["face"] == inputs["face_improved"] == (1, 100)
    assert inputs["emotion"] == (3, 256)
    assert inputs["emotion_improved"] == (3, 150)


def test_only_what_is_read_from_the_users_folder_must_lie_there(sets, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["recipes", "emotionet", "--root", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "emotionet.csv" in error
    assert "faces.csv" not in error
    load_system("emotionet").require_data(Place(sets / "data", tmp_path / "out"))  # which has no faces.csv
    assert main(["recipes", "emotionet", "--root", str(sets / "data"), "--dry_run", "--json"]) == 0
    commands = json.loads(capsys.readouterr().out)["commands"]
    assert Counter(command.split()[1] for command in commands) == {"run": 3, "export": 1, "fit": 4, "cascade": 1}


@pytest.mark.slow
def test_on_the_made_set_the_filter_keeps_what_is_no_face_from_getting_an_emotion(tmp_path, capfd):
    with quiet():
        assert main(["recipes", "emotionet", "--sample", "--out", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)["steps"]) == 9
    record = json.loads((tmp_path / "cascade" / "report.json").read_text())
    test = kept(tmp_path / "both").query("split == 'test'")
    others = int((test["label"] == NOT_FACE).sum())
    assert record["rows"]["not_faces"] == others
    assert record["rows"]["faces"] == len(test) - others
    assert not [check for check in record["leaks"] if check["level"] == "failed"]
    alone, filtered, improved = record["systems"]
    assert [system["key"] for system in record["systems"]] == ["alone", "filter", "improved"]
    assert alone["errors"]["not_faces_passed"] == others
    assert alone["accuracy_not_faces"] == 0
    assert improved["accuracy_micro"] > filtered["accuracy_micro"] > alone["accuracy_micro"]
    assert improved["accuracy_not_faces"] > 0.5
    assert set(record["networks"]) == {"face", "emotion", "improved_face", "improved_emotion"}
