"""FER2013's made set, and the study's whole recipe on it, from the csv to the grid's table and pictures."""

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

import curate
from train.cli import main
from train.console import quiet
from train.recipes.sample import make_sample
from train.recipes.sample.fer2013 import EMOTIONS, PEOPLE

CHANCE = 1 / len(EMOTIONS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The made set: pixels, as numbers of mean 0 and deviation 1 a picture, emotions and parts."""
    folder = tmp_path_factory.mktemp("made") / "sample"
    make_sample("fer2013", folder)
    with (folder / "fer2013.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    pixels = np.array([row["pixels"].split() for row in rows], float)
    pixels = (pixels - pixels.mean(1, keepdims=True)) / (pixels.std(1, keepdims=True) + 1)
    return pixels, np.array([int(row["emotion"]) for row in rows]), np.array([row["Usage"] for row in rows])


def test_the_made_set_has_every_emotion_of_everybody_a_blank_and_a_copy_across_parts(made):
    pixels, emotions, parts = made
    assert pixels.shape[1] == 48 * 48
    assert {part: int((parts == part).sum()) for part in PEOPLE} == {
        part: people * len(EMOTIONS) + (part != "PublicTest") for part, people in PEOPLE.items()
    }
    assert set(np.bincount(emotions)) == {sum(PEOPLE.values()), sum(PEOPLE.values()) + 1}
    assert (pixels == 0).all(1).sum() == 1
    assert np.array_equal(pixels[0], pixels[parts == "PrivateTest"][-1])


def test_what_the_made_faces_show_can_be_learnt_and_holds_for_people_never_seen(made):
    pixels, emotions, parts = made
    seen = parts == "Training"
    wanted = np.eye(len(EMOTIONS))[emotions[seen]]
    alike = pixels[seen] @ pixels[seen].T
    weights = pixels[seen].T @ np.linalg.solve(alike + 100 * np.eye(len(alike)), wanted)  # a linear model, with ridge
    right = (pixels[~seen] @ weights).argmax(1) == emotions[~seen]
    assert right.mean() > 4 * CHANCE


@pytest.mark.slow
def test_the_study_learns_the_made_faces_and_its_table_holds_scikit_learns_numbers(tmp_path, capfd):
    with quiet():
        assert main(["recipes", "fer2013", "--sample", "--out", str(tmp_path), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert [step["failures"] for step in result["steps"]] == [False] * 5
    report = json.loads((tmp_path / "model" / "evaluate" / "report.json").read_text())
    assert report["splits"]["test"]["accuracy_micro"] > 3 * CHANCE
    assert len(list((tmp_path / "look").glob("filters-stages.*.conv.png"))) == 4
    with (tmp_path / "grid" / "sweep.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["parameters"] == "6783559"
    (run,) = (tmp_path / "grid" / "runs").iterdir()
    with quiet():
        said = ["--config", str(run / "run.yaml"), "--ckpt_path", str(run / "checkpoints" / "best.ckpt")]
        out = ["--data.predict_split", "test", "--trainer.default_root_dir", str(tmp_path / "said")]
        assert main(["predict", *said, *out, "--trainer.callbacks", "null"]) == 0
    with (tmp_path / "said" / "predict" / "predictions.csv").open(newline="") as file:
        answers = {answer["face_id"]: answer["predicted"] for answer in csv.DictReader(file)}
    true = curate.read_manifest(tmp_path / "set").set_index("face_id").loc[list(answers), "label"]
    predicted = list(answers.values())
    scores = precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)[:3]
    expected = dict(
        zip(("accuracy", "precision", "recall", "F1"), (accuracy_score(true, predicted), *scores), strict=True)
    )
    assert {name: float(row[f"test {name}"]) for name in expected} == pytest.approx(expected)
