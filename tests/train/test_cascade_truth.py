"""What the labels of a set and the classes of two networks mean to a cascade, and which thresholds there are."""

import numpy as np
import pytest
import torch

from align import EyelineError, UsageError
from train.cascade import CascadeSpec, Labels, Pair, make_report, parse_threshold
from train.cascade.answers import emotion_probabilities, face_probabilities
from train.cascade.truth import FACE_ALONE, read_truth
from train.checkpoints import Checkpoint

from .cascade_cases import (
    CALM,
    IS_FACE,
    JOY,
    LABELS,
    LIKELIEST,
    NONE,
    SAD,
    by_hand,
    relabelled,
    said_of,
    systems,
    ten_rows,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return ten_rows(tmp_path_factory.mktemp("set"))


def test_labels_that_no_network_knows_are_counted_and_left_out(root, tmp_path, capsys):
    labels = ["sad", "sad", "joy", "joy", None, "calm", "not_face", "bored", "bored", "face"]
    found = relabelled(root, tmp_path, labels)
    truth = read_truth(found, "test", LABELS)
    assert truth.places.tolist() == [0, 1, 2, 3, 5, 6, 9]
    assert truth.true.tolist() == [SAD, SAD, JOY, JOY, CALM, NONE, FACE_ALONE]
    assert truth.left_out == (("bored", 2), (None, 1))
    assert truth.answered.tolist() == [0, 1, 2, 3, 4, 5]
    assert truth.rows.face_ids[-1] == "s-00000009-00"
    said = said_of(IS_FACE, LIKELIEST).take(truth.places)
    report = make_report(by_hand(found, said))
    err = capsys.readouterr().err
    assert "test rows that are left out, since no network knows their label: 2 'bored', 1 without a label" in err
    assert "which count for the filter alone: 1 'face'" in err
    assert report.record["rows"]["left_out"] == [{"label": "bored", "rows": 2}, {"label": None, "rows": 1}]
    assert report.record["rows"]["faces_of_no_emotion"] == 1
    assert systems(report)["filter"]["rows"] == 6
    assert report.record["filters"][0]["faces"] == 6  # the one of no known emotion counts for the filter


def test_the_label_not_face_is_known_whatever_the_first_network_calls_it(root):
    labels = Labels(LABELS.emotions, "person", ("wall",))
    truth = read_truth(root, "test", labels)
    assert truth.true.tolist()[-4:] == [NONE] * 4
    assert truth.left_out == ()


def test_a_face_of_no_known_emotion_that_is_rejected_is_shown_under_its_label(root, tmp_path):
    found = relabelled(root, tmp_path, ["face", "sad", *["joy"] * 3, "calm", *["not_face"] * 4])
    report = make_report(by_hand(found, said_of([0.1, *IS_FACE[1:]], LIKELIEST)))
    assert [example["truth"] for example in report.record["filters"][0]["examples"]["rejected"]] == ["face", "joy"]
    assert systems(report)["filter"]["errors"]["faces_rejected"] == 1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["not_face"] * 10, r"expected test rows of an emotion, one of .*\(found 10 'not_face'\)"),
        (["sad"] * 10, r"expected test rows that are not a face, labelled 'not_face' \(found 10 'sad'\)"),
        (["face"] * 5 + ["not_face"] * 5, r"rows of an emotion.*\(found 5 'face', 5 'not_face'\)"),
        ([None] * 10, r"found 10 without a label"),
    ],
)
def test_a_split_without_faces_or_without_non_faces_is_refused(root, tmp_path, labels, said):
    with pytest.raises(EyelineError, match=said):
        read_truth(relabelled(root, tmp_path, labels), "test", LABELS)


def test_an_empty_split_is_refused(root):
    with pytest.raises(EyelineError, match=r"expected val rows of an emotion.*\(found no kept row\)"):
        read_truth(root, "val", LABELS)


def test_columns_go_by_name_and_every_other_class_is_not_a_face():
    labels = Labels(("sad", "joy"), "person", ("hand", "wall"))
    face, emotion = (
        Checkpoint(None, {"tasks": {"classes": classes, "affect": True}}, 0, {})
        for classes in (["hand", "person", "wall"], ["joy", "sad"])
    )
    outputs = torch.tensor([[1.0, 2.0, 0.5, 9.0, 9.0]])
    expected = np.exp([1.0, 2.0, 0.5]) / np.exp([1.0, 2.0, 0.5]).sum()
    assert face_probabilities(outputs, face, labels) == pytest.approx([expected[1]])
    emotions = emotion_probabilities(torch.tensor([[1.0, 3.0, 9.0, 9.0]]), emotion, labels)
    assert emotions[0] == pytest.approx([np.exp(3) / (np.exp(3) + np.e), np.e / (np.exp(3) + np.e)])
    assert Pair(face, emotion).face is face


@pytest.mark.parametrize("given", ["1.2", "-0.1", "much", "nan", "inf", ""])
def test_a_threshold_is_a_probability_or_a_split(given):
    with pytest.raises(UsageError, match="--threshold must be a probability"):
        parse_threshold(given)


def test_thresholds_are_read():
    assert [parse_threshold(given) for given in ("0", "1", "0.25", "val")] == [0.0, 1.0, 0.25, "val"]


@pytest.mark.parametrize(("split", "threshold"), [("test", "test"), ("test", "all"), ("all", "val")])
def test_a_threshold_is_not_chosen_on_the_rows_it_is_judged_by(tmp_path, split, threshold):
    with pytest.raises(UsageError, match="looks better than it is"):
        CascadeSpec(tmp_path, split, threshold)
