"""`eyeline-train cascade` as a user types it, with networks of different input, held against `predict`."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pandas as pd
import pytest

from curate import read_manifest
from curate.manifest import write_curation, write_manifest
from train.cli import main
from train.tasks import Tasks

from .cascade_cases import ROWS, cascade, checkpoint, mixed_set, record_of, system, two_pairs

FILES = ["confusion-alone.png", "confusion-filter.png", "report.html", "report.json"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A set with faces and non-faces in validation and test; some rows of test have labels that do not count."""
    counts = {"val": ROWS, "test": {**ROWS, "bored": 2, "face": 1}}
    return mixed_set(tmp_path_factory.mktemp("mixed"), counts)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return two_pairs(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def written(pairs, root, tmp_path_factory):
    """The folder of an evaluation, and what it printed on stdout and stderr."""
    out, shown, said = tmp_path_factory.mktemp("out") / "cascade", io.StringIO(), io.StringIO()
    with redirect_stdout(shown), redirect_stderr(said):
        assert cascade(pairs[0], root, "--out", out) == 0
    return out, shown.getvalue(), said.getvalue()


@pytest.fixture(scope="module")
def record(written):
    return json.loads((written[0] / "report.json").read_text())


@pytest.fixture(scope="module")
def predicted(pairs, root, tmp_path_factory):
    """What `predict` says of every row of the set, by checkpoint; indexed by face_id."""
    found = {}
    for path in (path for pair in pairs for path in pair):
        folder = tmp_path_factory.mktemp("predicted")
        flags = ["--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(folder)]
        assert main(["predict", "--ckpt_path", str(path), "--data.root", str(root), *flags]) == 0
        found[path] = pd.read_csv(folder / "predict" / "predictions.csv").set_index("face_id")
    return found


def worked_out(predicted, pair, root, split="test", threshold=0.5):
    """The answers of a cascade from the two networks' own predictions: truth, alone and filtered, by face_id."""
    rows = read_manifest(root).set_index("face_id")
    rows = rows[rows["split"] == split]
    truth = rows["label"][rows["label"].isin(["joy", "sad", "not_face"])]
    face, emotion = (predicted[path].loc[truth.index] for path in pair)
    alone = emotion["predicted"]
    return truth, alone, alone.where(face["p_face"] >= threshold, "not_face"), face["p_face"]


def counted(truth, answers, names):
    return pd.crosstab(truth, answers).reindex(index=names, columns=names, fill_value=0).to_numpy().tolist()


# evaluation


def test_the_numbers_are_those_of_the_two_networks_own_predictions(pairs, root, record, predicted):
    truth, alone, filtered, _ = worked_out(predicted, pairs[0], root)
    names = ["joy", "sad", "not_face"]
    assert record["labels"]["answers"] == names
    assert len(truth) == 18
    assert set(alone) == {"joy", "sad"}  # of a network that answers all alike, no order could be seen
    assert set(filtered) == set(names)
    for key, answers in (("alone", alone), ("filter", filtered)):
        assert system(record, key)["accuracy_micro"] == pytest.approx((answers == truth).mean())
        assert system(record, key)["confusion"] == counted(truth, answers, names)
    assert system(record, "alone")["confusion"][2][2] == 0
    assert record["rows"]["left_out"] == [{"label": "bored", "rows": 2}]
    assert record["filters"][0]["faces"] == 12  # with the one that is labelled a face and no more


def test_the_order_of_the_classes_is_each_networks_own(pairs, root, predicted):
    pair = pairs[1]
    shares = np.unique(predicted[pair[0]]["p_face"])  # rounded: the threshold must lie between two
    threshold = float(shares[len(shares) // 2 - 1 :][:2].mean())
    truth, alone, filtered, is_face = worked_out(predicted, pair, root, threshold=threshold)
    found = record_of(pair, root, threshold=threshold)
    names = ["sad", "joy", "not_face"]
    assert found["labels"]["answers"] == names
    assert len(set(filtered)) == 3
    for key, answers in (("alone", alone), ("filter", filtered)):
        assert system(found, key)["confusion"] == counted(truth, answers, names)
    examples = found["filters"][0]["examples"]
    shown = [example for kind in examples.values() for example in kind if example["face_id"] in is_face.index]
    assert shown
    surest = predicted[pair[1]][["p_sad", "p_joy"]].max(axis=1)
    for example in shown:
        assert example["is_face"] == pytest.approx(is_face[example["face_id"]], abs=2e-6)
        assert example["probability"] == pytest.approx(surest[example["face_id"]], abs=2e-6)


def test_both_networks_are_fed_as_their_checkpoints_say(record):
    backbones = {name: network["model"]["backbone"] for name, network in record["networks"].items()}
    assert (backbones["face"]["channels"], backbones["face"]["size_px"]) == (1, 56)
    assert (backbones["emotion"]["channels"], backbones["emotion"]["size_px"]) == (3, 48)


def test_it_prints_tables_and_where_the_files_are(written):
    out, shown, said = written
    assert "test: 11 faces and 7 non-faces" in shown
    assert "With the filter" in shown
    assert "no network knows their label: 2 'bored'" in said
    assert "which count for the filter alone: 1 'face'" in said
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert all(str(out / name) in shown for name in FILES)


def test_a_pair_is_held_against_an_improved_one(pairs, root, predicted, tmp_path, capsys):
    out = tmp_path / "out"
    flags = ("--improved_face", pairs[1][0], "--improved_emotion", pairs[1][1], "--threshold", "val")
    assert cascade(pairs[0], root, *flags, "--out", out) == 0
    found = json.loads((out / "report.json").read_text())
    assert [one["key"] for one in found["systems"]] == ["alone", "filter", "improved"]
    assert system(found, "improved")["title"] == "With both improved"
    assert [one["flag"] for one in found["filters"]] == ["--face", "--improved_face"]
    assert (out / "confusion-improved.png").is_file()
    assert "--improved_face" in capsys.readouterr().out
    for key, filtering, pair in zip(("filter", "improved"), found["filters"], pairs, strict=True):
        truth, _, filtered, _ = worked_out(predicted, pair, root, threshold=filtering["threshold"])
        assert system(found, key)["confusion"] == counted(truth, filtered, found["labels"]["answers"])


@pytest.mark.parametrize("name", ["face", "emotion"])
def test_an_improved_network_that_is_left_out_is_the_ordinary_one(pairs, root, predicted, name):
    place = ("face", "emotion").index(name)
    used = [pairs[1][i] if i == place else pairs[0][i] for i in range(2)]
    found = record_of(pairs[0], root, improved=[pairs[1][i] if i == place else None for i in range(2)])
    assert system(found, "improved")["title"] == f"With the {name} network improved"
    truth, _, filtered, _ = worked_out(predicted, used, root)
    assert system(found, "improved")["confusion"] == counted(truth, filtered, found["labels"]["answers"])
    # one filter at one threshold before two emotion networks is one filter
    assert [one["flag"] for one in found["filters"]] == ["--face", "--improved_face"][: 2 - place]


def test_the_threshold_is_chosen_on_another_split(pairs, root, predicted):
    truth, alone, _, is_face = worked_out(predicted, pairs[0], root, "val")
    found = record_of(pairs[0], root, threshold="val")
    chosen = found["filters"][0]["threshold"]
    assert found["settings"]["threshold"] == "val"

    def right(threshold):
        return (alone.where(is_face >= threshold, "not_face") == truth).sum()

    assert right(chosen) == max(right(rival) for rival in [0.0, *(is_face - 1e-6)])
    test_truth, _, filtered, _ = worked_out(predicted, pairs[0], root, "test", chosen)
    assert system(found, "filter")["accuracy_micro"] == pytest.approx((filtered == test_truth).mean())


def test_views_are_averaged(pairs, root, record):
    found = record_of(pairs[0], root, tta="flip")
    assert found["settings"]["tta"] == "flip"
    assert found["filters"][0]["examples"] != record["filters"][0]["examples"]


def test_every_class_of_the_face_network_but_the_named_one_is_not_a_face(pairs, root, tmp_path):
    many = checkpoint(tmp_path / "many.ckpt", Tasks(["face", "not_face", "bored"]))
    found = record_of((many, pairs[0][1]), root, face_label="face")
    assert found["labels"]["not_faces"] == ("not_face", "bored")
    assert found["rows"]["not_faces"] == 9
    assert found["rows"]["left_out"] == []


@pytest.mark.parametrize("split", ["all", "train"])
@pytest.mark.parametrize("where", ["the set itself", "another set"])
def test_rows_that_a_network_was_trained_on_are_a_leak(pairs, root, tmp_path, split, where):
    rows = read_manifest(root)
    rows["split"] = rows["split"].replace({"val": "train"})
    here = tmp_path / "here"
    write_manifest(here, rows)
    write_curation(here, {})
    (here / "crops").symlink_to(root / "crops")
    trained = here if where == "the set itself" else tmp_path / "there"
    write_manifest(trained, rows)
    run = tmp_path / "run"
    (run / "fit").mkdir(parents=True)
    (run / "fit" / "config.yaml").write_text(f"data:\n  root: {trained}\n")
    (run / "checkpoints").mkdir()
    face = run / "checkpoints" / "last.ckpt"
    face.symlink_to(pairs[0][0])
    found = record_of((face, pairs[0][1]), here, split=split)["leaks"]
    texts = [leak["text"] for leak in found if leak["level"] == "failed" and leak["text"].startswith("--face: ")]
    if trained == here:
        assert texts == ["--face: Leak: 18 of these rows are of the part that the model was trained on."]
    else:
        assert f"--face: Against the training set {trained}: Leak: 18 duplicate groups stand on two sides." in texts
    unknown = [leak["text"] for leak in found if "No configuration that can be read" in leak["text"]]
    assert [text.partition(":")[0] for text in unknown] == ["--emotion"]


# again


@pytest.fixture(scope="module")
def again(pairs, root, tmp_path_factory):
    """The folder of an evaluation that was killed and run again, with --json, and what that printed."""
    folder = tmp_path_factory.mktemp("killed")
    words = ["--face", pairs[0][0], "--emotion", pairs[0][1], "--root", root, "--accelerator", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "train.cli", "cascade", *map(str, words)], env=_environment(), cwd=folder
    )
    until = time.monotonic() + 60
    while not list(folder.glob("cascade/*")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    out, shown = folder / "cascade", io.StringIO()
    assert not (out / "report.json").exists()
    (out / "confusion-improved.png").write_bytes(b"of a run with an improved pair")
    with redirect_stdout(shown):
        assert cascade(pairs[0], root, "--out", out, "--json") == 0
    return out, shown.getvalue()


def _environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def test_a_run_that_is_killed_and_run_again_gives_the_same_bytes(again, written):
    for name in FILES:
        assert (again[0] / name).read_bytes() == (written[0] / name).read_bytes(), name


def test_no_matrix_of_another_run_stays(again):
    assert not (again[0] / "confusion-improved.png").exists()


def test_json_is_the_file(again):
    assert json.loads(again[1]) == json.loads((again[0] / "report.json").read_text())


# predictions


def test_predictions_need_no_label_and_give_a_rejected_picture_no_emotion(pairs, root, predicted, tmp_path, capsys):
    rows = read_manifest(root)
    rows["label"], rows["split"] = None, None
    write_manifest(tmp_path, rows)
    (tmp_path / "crops").symlink_to(root / "crops")
    write_curation(tmp_path, {})
    pair = (pairs[0][0], pairs[1][1])  # the second tells valence and arousal, too
    face, emotion = (predicted[path] for path in pair)
    capsys.readouterr()
    threshold = float(face["p_face"].median())
    out = tmp_path / "out"
    assert cascade(pair, tmp_path, "--predictions", "--threshold", threshold, "--out", out, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    found = pd.read_csv(out / "predictions.csv").set_index("face_id")
    assert [path.name for path in out.iterdir()] == ["predictions.csv"]
    names = ["p_sad", "p_joy", "valence", "arousal"]
    assert list(found) == ["crop", "is_face", "answer", *names]
    assert found.index.tolist() == rows["face_id"].tolist()
    assert found["crop"].tolist() == rows["crop"].tolist()
    np.testing.assert_allclose(found["is_face"], face["p_face"], atol=2e-6)
    rejected = found["answer"] == "not_face"
    assert 0 < rejected.sum() == result["rejected"] < len(found)
    assert (found["is_face"][rejected].max()) <= threshold <= found["is_face"][~rejected].min() + 1e-6
    assert found.loc[rejected, names].isna().all(axis=None)
    assert found["answer"][~rejected].tolist() == emotion["predicted"][~rejected].tolist()
    np.testing.assert_allclose(found.loc[~rejected, names], emotion.loc[~rejected, names], atol=2e-6)
