"""`eyeline-train cascade` as a user types it, with networks of different input; and the filter of `annotate`."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from curate import Align, Frame, Looker, read_manifest
from curate.manifest import write_curation, write_manifest
from train.annotate.face_filter import FaceFilter
from train.cli import main
from train.tasks import Tasks

from .annotate_cases import annotate, make_checkpoint, rows_of
from .cascade_cases import fit, mixed_set, untrained
from .test_cli import one_sentence

GREY = ["--model.backbone.channels", "1", "--model.backbone.size_px", "56"]
COLOUR = ["--model.backbone.size_px", "48"]
ROWS = {"joy": 6, "sad": 5, "not_face": 7}
FACES = Tasks(["not_face", "face"])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A set with faces and non-faces in validation and test; some rows of test have labels that do not count."""
    counts = {"val": ROWS, "test": {**ROWS, "bored": 2, "face": 1}}
    return mixed_set(tmp_path_factory.mktemp("mixed"), counts)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Two trained networks: grey 56 px tells faces, colour 48 px tells emotions."""
    folder = tmp_path_factory.mktemp("networks")
    faces = mixed_set(folder / "faces", {"train": {"face": 12, "not_face": 12}})
    emotions = mixed_set(folder / "emotions", {"train": {"joy": 12, "sad": 12}})
    return fit(faces, folder / "f", *GREY), fit(emotions, folder / "e", *COLOUR)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """An untrained pair; the second's classes stand in another order, and it tells valence and arousal, too."""
    folder = tmp_path_factory.mktemp("others")
    emotion = untrained(folder / "e2.ckpt", Tasks(["sad", "joy"], affect=True), seed=1)
    return untrained(folder / "f2.ckpt", FACES, seed=2), emotion


def cascade(networks, root, *flags):
    face, emotion = networks
    given = ["--face", str(face), "--emotion", str(emotion), "--root", str(root), "--accelerator", "cpu"]
    return main(["cascade", *given, *map(str, flags)])


def record_of(networks, root, out, *flags):
    assert cascade(networks, root, "--out", out, *flags) == 0
    return json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def written(networks, root, tmp_path_factory):
    """The folder of an evaluation."""
    out = tmp_path_factory.mktemp("out") / "cascade"
    assert cascade(networks, root, "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def record(written):
    return json.loads((written / "report.json").read_text())


@pytest.fixture(scope="module")
def predicted(networks, others, root, tmp_path_factory):
    """What `predict` says of every row of the set, by checkpoint; indexed by face_id."""
    found = {}
    for path in (*networks, *others):
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


def system(record, key):
    return next(found for found in record["systems"] if found["key"] == key)


def test_the_numbers_are_those_of_the_two_networks_own_predictions(networks, root, record, predicted):
    truth, alone, filtered, _ = worked_out(predicted, networks, root)
    names = ["joy", "sad", "not_face"]
    assert record["labels"]["answers"] == names
    assert len(truth) == 18
    for key, answers in (("alone", alone), ("filter", filtered)):
        found = system(record, key)
        assert found["accuracy_micro"] == pytest.approx((answers == truth).mean())
        matrix = pd.crosstab(truth, answers).reindex(index=names, columns=names, fill_value=0)
        assert found["confusion"] == matrix.to_numpy().tolist()
    assert system(record, "alone")["confusion"][2][2] == 0
    assert record["rows"]["left_out"] == [{"label": "bored", "rows": 2}]
    assert record["filters"][0]["faces"] == 12  # with the one that is labelled a face and no more


def test_each_row_gets_its_own_answer(others, root, predicted, tmp_path):
    shares = np.unique(predicted[others[0]]["p_face"])  # rounded: the threshold must lie between two
    threshold = float(shares[len(shares) // 2 - 1 :][:2].mean())
    truth, alone, filtered, is_face = worked_out(predicted, others, root, threshold=threshold)
    found = record_of(others, root, tmp_path / "out", "--threshold", threshold)
    names = ["sad", "joy", "not_face"]
    assert found["labels"]["answers"] == names
    assert len(set(filtered)) > 1  # of a network that answers all alike, no order could be seen
    for key, answers in (("alone", alone), ("filter", filtered)):
        matrix = pd.crosstab(truth, answers).reindex(index=names, columns=names, fill_value=0)
        assert system(found, key)["confusion"] == matrix.to_numpy().tolist()
    examples = found["filters"][0]["examples"]
    shown = [example for kind in examples.values() for example in kind if example["face_id"] in is_face.index]
    assert shown
    surest = predicted[others[1]][["p_sad", "p_joy"]].max(axis=1)
    for example in shown:
        assert example["is_face"] == pytest.approx(is_face[example["face_id"]], abs=2e-6)
        assert example["probability"] == pytest.approx(surest[example["face_id"]], abs=2e-6)


def test_both_networks_are_fed_as_their_checkpoints_say(record):
    backbones = {name: network["model"]["backbone"] for name, network in record["networks"].items()}
    assert (backbones["face"]["channels"], backbones["face"]["size_px"]) == (1, 56)
    assert (backbones["emotion"]["channels"], backbones["emotion"]["size_px"]) == (3, 48)


def test_it_prints_tables_and_where_the_files_are(networks, root, tmp_path, capsys):
    out = tmp_path / "out"
    assert cascade(networks, root, "--out", out) == 0
    shown = capsys.readouterr()
    assert "With the filter" in shown.out
    assert "no network knows their label: 2 'bored'" in shown.err
    assert "which count for the filter alone: 1 'face'" in shown.err
    names = ["confusion-alone.png", "confusion-filter.png", "report.html", "report.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert all(str(out / name) in shown.out for name in names)


def test_json_is_the_file(networks, root, tmp_path, capsys):
    assert cascade(networks, root, "--out", tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "report.json").read_text())


@pytest.mark.parametrize(
    ("flags", "title"),
    [
        (["--improved_face"], "With the face network improved"),
        (["--improved_emotion"], "With the emotion network improved"),
        (["--improved_face", "--improved_emotion"], "With both improved"),
    ],
)
def test_an_improved_network_that_is_left_out_is_the_ordinary_one(  # noqa: PLR0917
    networks, others, root, predicted, tmp_path, flags, title
):
    given = {"--improved_face": others[0], "--improved_emotion": others[1]}
    flat = [part for flag in flags for part in (flag, given[flag])]
    found = record_of(networks, root, tmp_path / "out", *flat)
    assert [one["key"] for one in found["systems"]] == ["alone", "filter", "improved"]
    assert system(found, "improved")["title"] == title
    used = [given[f"--improved_{name}"] if f"--improved_{name}" in flags else networks[i]
            for i, name in enumerate(("face", "emotion"))]  # fmt: skip
    truth, _, filtered, _ = worked_out(predicted, used, root)
    names = found["labels"]["answers"]
    matrix = pd.crosstab(truth, filtered).reindex(index=names, columns=names, fill_value=0)
    assert system(found, "improved")["confusion"] == matrix.to_numpy().tolist()
    expected = "--improved_face" if "--improved_face" in flags else "--face"
    assert [one["flag"] for one in found["filters"]] == ["--face", expected]


def test_the_threshold_is_chosen_on_another_split(networks, root, predicted, tmp_path):
    truth, alone, _, is_face = worked_out(predicted, networks, root, "val")
    found = record_of(networks, root, tmp_path / "out", "--threshold", "val")
    chosen = found["filters"][0]["threshold"]
    assert found["settings"]["threshold"] == "val"

    def right(threshold):
        return (alone.where(is_face >= threshold, "not_face") == truth).sum()

    assert right(chosen) == max(right(rival) for rival in [0.0, *(is_face - 1e-6)])
    test_truth, _, filtered, _ = worked_out(predicted, networks, root, "test", chosen)
    assert system(found, "filter")["accuracy_micro"] == pytest.approx((filtered == test_truth).mean())


def test_views_are_averaged(networks, root, record, tmp_path):
    found = record_of(networks, root, tmp_path / "out", "--tta", "flip")
    assert found["settings"]["tta"] == "flip"
    assert found["filters"][0]["examples"] != record["filters"][0]["examples"]


def test_predictions_need_no_label_and_give_a_rejected_picture_no_emotion(
    networks, others, root, predicted, tmp_path, capsys
):
    rows = read_manifest(root)
    rows["label"], rows["split"] = None, None
    write_manifest(tmp_path, rows)
    (tmp_path / "crops").symlink_to(root / "crops")
    write_curation(tmp_path, {})
    pair = (networks[0], others[1])  # the second tells valence and arousal, too
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


def test_a_run_that_is_killed_and_run_again_gives_the_same_bytes(networks, root, written, tmp_path):
    flags = ["--face", str(networks[0]), "--emotion", str(networks[1]), "--root", str(root), "--accelerator", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "train.cli", "cascade", *flags], env=_environment())
    until = time.monotonic() + 60
    while not list(tmp_path.glob("cascade/*")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "cascade" / "report.json").exists()
    assert cascade(networks, root) == 0
    for path in written.iterdir():
        assert (tmp_path / "cascade" / path.name).read_bytes() == path.read_bytes(), path.name


def _environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


# bad input


def refused(capsys, networks, root, *flags, code=2):
    assert cascade(networks, root, *flags) == code
    return one_sentence(capsys)


def test_a_checkpoint_without_classes_is_refused(networks, root, tmp_path, capsys):
    affect = untrained(tmp_path / "affect.ckpt", Tasks(affect=True))
    found = refused(capsys, (networks[0], affect), root, code=1)
    assert f"--emotion {affect}: expected a network that tells classes (found one of affect alone)" in found
    assert "--face" in refused(capsys, (affect, networks[1]), root, code=1)


def test_one_checkpoint_given_twice_is_refused(networks, root, capsys):
    face, emotion = networks
    assert "--face and --emotion: expected two" in refused(capsys, (face, face), root)
    found = refused(capsys, networks, root, "--improved_emotion", emotion)
    assert "--emotion and --improved_emotion: expected two checkpoints" in found


def test_a_checkpoint_that_is_not_there_or_none_is_refused(networks, root, tmp_path, capsys):
    assert "--face: expected a checkpoint at" in refused(capsys, (tmp_path / "no.ckpt", networks[1]), root)
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"no checkpoint")
    assert "expected a checkpoint of eyeline-train" in refused(capsys, (networks[0], broken), root, code=1)
    assert "expected a set's manifest" in refused(capsys, networks, tmp_path)


def test_a_face_network_of_more_classes_needs_the_class_that_passes(networks, root, tmp_path, capsys):
    many = untrained(tmp_path / "many.ckpt", Tasks(["face", "not_face", "bored"]))
    pair = (many, networks[1])
    assert "--face_label: expected the class" in refused(capsys, pair, root)
    found = record_of(pair, root, tmp_path / "out", "--face_label", "face")
    assert found["labels"]["not_faces"] == ["not_face", "bored"]
    assert found["rows"]["not_faces"] == 9
    assert found["rows"]["left_out"] == []


@pytest.mark.parametrize("flags", [["--face_label", "person"], []])
def test_the_class_that_passes_must_be_one(networks, root, tmp_path, capsys, flags):
    odd = untrained(tmp_path / "odd.ckpt", Tasks(["person", "face"] if flags == [] else ["not_face", "face"]))
    pair = (odd, networks[1])
    if flags:
        assert "one of ['not_face', 'face'] (got 'person')" in refused(capsys, pair, root, *flags)
    else:
        assert "labelled 'person'" in refused(capsys, pair, root, code=1)  # nothing in the set is called so


@pytest.mark.parametrize("classes", [["joy", "face"], ["joy", "sad", "not_face"]])
def test_a_class_of_both_networks_is_refused(networks, root, tmp_path, capsys, classes):
    both = untrained(tmp_path / "both.ckpt", Tasks(classes))
    assert f"expected emotions alone (found ['{classes[-1]}']" in refused(capsys, (networks[0], both), root)


def test_an_improved_network_of_other_classes_is_refused(networks, root, tmp_path, capsys):
    other = untrained(tmp_path / "other.ckpt", Tasks(["joy", "calm"]))
    found = refused(capsys, networks, root, "--improved_emotion", other)
    assert "expected the classes of" in found
    assert "(found ['joy', 'calm'])" in found


@pytest.mark.parametrize("label", ["not_face", "joy"])
def test_a_split_of_one_kind_is_refused_before_any_network_runs(networks, root, tmp_path, capsys, label):
    rows = read_manifest(root)
    write_manifest(tmp_path, rows[rows["label"] == label].reset_index(drop=True))
    write_curation(tmp_path, {})
    assert f"(found {ROWS[label]} '{label}')" in refused(capsys, networks, tmp_path, code=1)  # its crops are not there


def test_a_lost_crop_and_an_empty_split_are_one_sentence(networks, root, tmp_path, capsys):
    write_manifest(tmp_path, read_manifest(root))
    write_curation(tmp_path, {})
    assert cascade(networks, tmp_path) == 1
    assert "expected a crop that the manifest lists" in capsys.readouterr().err.splitlines()[-1]
    assert "expected train rows" in refused(capsys, networks, root, "--predictions", "--split", "train", code=1)


def test_a_network_whose_outputs_are_no_numbers_is_refused(networks, root, tmp_path, capsys):
    broken = untrained(tmp_path / "nan.ckpt", FACES)
    stored = torch.load(broken, weights_only=True)
    for name, value in stored["state_dict"].items():
        if name.startswith("head"):
            value.fill_(float("nan"))
    torch.save(stored, broken)
    assert cascade((broken, networks[1]), root) == 1
    assert "NaN or infinite ones in 21 of 21 rows" in capsys.readouterr().err.splitlines()[-1]


def test_predictions_are_of_one_pair_and_take_a_number(networks, others, root, capsys):
    found = refused(capsys, networks, root, "--predictions", "--improved_face", others[0])
    assert "expected --face and --emotion alone" in found
    assert "expected a number as --threshold" in refused(capsys, networks, root, "--predictions", "--threshold", "val")
    assert "must be a probability" in refused(capsys, networks, root, "--threshold", "2")


# annotate, with the first network as a filter


def test_annotate_marks_what_the_filter_rejects_and_answers_the_rest(astronaut, networks, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    emotion = make_checkpoint(tmp_path / "e.ckpt")
    plain = ["a.png", "--ckpt", emotion]
    assert annotate(*plain, "--out", "plain") == 0
    (expected,) = rows_of(tmp_path / "plain" / "photos.csv")
    for threshold, name in ((0, "passes"), (1, "rejects")):
        assert annotate(*plain, "--out", name, "--face", networks[0], "--face_threshold", threshold) == 0
    assert rows_of(tmp_path / "passes" / "photos.csv") == [expected]
    (row,) = rows_of(tmp_path / "rejects" / "photos.csv")
    assert row["drop_reason"] == "not_face"
    answers = list(row)[list(row).index("drop_reason") + 1 :]
    assert [row[name] for name in answers] == [""] * len(answers)
    assert {name: row[name] for name in ("box_x", "box_w")} == {name: expected[name] for name in ("box_x", "box_w")}
    passed, rejected = (Image.open(tmp_path / name / "a.png") for name in ("passes", "rejects"))
    assert (np.asarray(passed) != np.asarray(rejected)).any()


def test_a_video_whose_faces_are_rejected_has_no_emotion_in_its_table_and_timeline(clips, networks, tmp_path, capsys):
    from tests.videos import shorten

    shorten(clips / "carphone_pristine.mp4", tmp_path / "talk.mp4", 4)
    emotion = make_checkpoint(tmp_path / "e.ckpt", tasks=Tasks(affect=True))  # no class is needed behind the filter
    flags = ["--face", networks[0], "--face_threshold", 1, "--video", "false", "--json", "--out", "out"]
    assert annotate("talk.mp4", "--ckpt", emotion, *flags) == 0
    (result,) = json.loads(capsys.readouterr().out)["inputs"]
    assert (result["faces"], result["answered"]) == (4, 0)
    assert {row["drop_reason"] for row in rows_of(tmp_path / "out" / "talk.csv")} == {"not_face"}
    assert {row["valence"] for row in rows_of(tmp_path / "out" / "talk.csv")} == {""}
    assert (tmp_path / "out" / "talk.timeline.png").is_file()


def test_the_filter_sees_the_crops_that_it_was_trained_on(astronaut):
    spec = Align(template="arcface", size=60)
    frame = Frame(0, None, None, np.asarray(Image.fromarray(astronaut).convert("L")), lambda: astronaut, None)
    (cut,) = Looker(Align(template="tight", size=96), "a", None, None).look(frame, new_scene=True)
    seen = FaceFilter(None, 1, 0.5, spec).crop(cut, frame)
    (expected,) = Looker(spec, "a", None, None).look(frame, new_scene=True)
    np.testing.assert_array_equal(seen, expected.image)
    assert FaceFilter(None, 1, 0.5, None).crop(cut, frame) is cut.image


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--face_threshold", "1.5"], "--face_threshold must be a probability"),
        (["--face_label", "nobody"], "--face_label: expected the class"),
    ],
)
def test_annotate_refuses_a_filter_that_makes_no_sense(astronaut, networks, tmp_path, capsys, flags, said):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    emotion = make_checkpoint(tmp_path / "e.ckpt")
    assert annotate("a.png", "--ckpt", emotion, "--face", networks[0], *flags) == 2
    assert said in one_sentence(capsys)
    assert annotate("a.png", "--ckpt", emotion, "--face", emotion) == 2
    assert "--face and --ckpt: expected two checkpoints" in one_sentence(capsys)
