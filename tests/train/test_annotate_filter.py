"""`eyeline-train annotate --face`: the first network of a cascade decides which faces are answered."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate import Align, Frame, Looker
from train.annotate.face_filter import FaceFilter
from train.tasks import Tasks

from .annotate_cases import annotate, make_checkpoint, rows_of
from .cascade_cases import FACES, checkpoint, without_numbers
from .test_cli import one_sentence


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network that tells faces from other things."""
    return checkpoint(tmp_path_factory.mktemp("network") / "f.ckpt", FACES, channels=1, size_px=56)


def test_annotate_marks_what_the_filter_rejects_and_answers_the_rest(astronaut, network, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    emotion = make_checkpoint(tmp_path / "e.ckpt")
    plain = ["a.png", "--ckpt", emotion]
    assert annotate(*plain, "--out", "plain") == 0
    (expected,) = rows_of(tmp_path / "plain" / "photos.csv")
    for threshold, name in ((0, "passes"), (1, "rejects")):
        assert annotate(*plain, "--out", name, "--face", network, "--face_threshold", threshold) == 0
    assert rows_of(tmp_path / "passes" / "photos.csv") == [expected]
    (row,) = rows_of(tmp_path / "rejects" / "photos.csv")
    assert row["drop_reason"] == "not_face"
    answers = list(row)[list(row).index("drop_reason") + 1 :]
    assert [row[name] for name in answers] == [""] * len(answers)
    assert {name: row[name] for name in ("box_x", "box_w")} == {name: expected[name] for name in ("box_x", "box_w")}
    passed, rejected = (Image.open(tmp_path / name / "a.png") for name in ("passes", "rejects"))
    assert (np.asarray(passed) != np.asarray(rejected)).any()


def test_a_video_whose_faces_are_rejected_has_no_emotion_in_its_table_and_timeline(clips, network, tmp_path, capsys):
    from tests.videos import shorten

    shorten(clips / "carphone_pristine.mp4", tmp_path / "talk.mp4", 4)
    emotion = make_checkpoint(tmp_path / "e.ckpt", tasks=Tasks(affect=True))  # no class is needed behind the filter
    flags = ["--face", network, "--face_threshold", 1, "--video", "false", "--json", "--out", "out"]
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
    seen = FaceFilter(Path("f.ckpt"), None, 1, 0.5, spec).crop(cut, frame)
    (expected,) = Looker(spec, "a", None, None).look(frame, new_scene=True)
    np.testing.assert_array_equal(seen, expected.image)
    assert FaceFilter(Path("f.ckpt"), None, 1, 0.5, None).crop(cut, frame) is cut.image


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--face_threshold", "1.5"], "--face_threshold must be a probability"),
        (["--face_label", "nobody"], "--face_label: expected the class"),
        (["--face", "e.ckpt"], "--face and --ckpt: expected two checkpoints"),
    ],
)
def test_annotate_refuses_a_filter_that_makes_no_sense(astronaut, network, tmp_path, capsys, flags, said):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    make_checkpoint(tmp_path / "e.ckpt")
    assert annotate("a.png", "--ckpt", "e.ckpt", "--face", network, *flags) == 2
    assert said in one_sentence(capsys)


def test_annotate_refuses_a_filter_whose_answers_are_no_numbers(astronaut, network, tmp_path, capsys):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    emotion, broken = make_checkpoint(tmp_path / "e.ckpt"), without_numbers(network, tmp_path / "nan.ckpt")
    assert annotate("a.png", "--ckpt", emotion, "--face", broken, "--out", "out") == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"error: {broken}: expected outputs that are finite numbers")


@pytest.mark.parametrize("flag", [("--face_label", "face"), ("--face_threshold", "0.9")])
def test_annotate_refuses_settings_of_a_filter_that_is_not_there(astronaut, tmp_path, capsys, flag):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    assert annotate("a.png", "--ckpt", make_checkpoint(tmp_path / "e.ckpt"), *flag) == 2
    assert f"{flag[0]}: expected --face" in one_sentence(capsys)
