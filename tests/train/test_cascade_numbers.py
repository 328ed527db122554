"""The numbers of a cascade: worked by hand, and what must hold for any answers."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align import EyelineError, UsageError
from curate.manifest import read_curation, read_manifest, write_curation, write_manifest
from tests.curate.report_sets import HOSTILE, Page
from train.cascade import (
    CascadeSpec,
    Labels,
    Pair,
    answer,
    best_threshold,
    make_report,
    parse_threshold,
    render,
    write_matrices,
)
from train.cascade.answers import Said, emotion_probabilities, face_probabilities
from train.cascade.drawings import draw_matrix
from train.cascade.examples import worst_examples
from train.cascade.numbers import as_outcome, gain_tally, score_filter, split_errors
from train.cascade.truth import FACE_ALONE, read_truth
from train.checkpoints import Checkpoint
from train.evaluate import write_report
from train.evaluate.bootstrap import intervals, units_of
from train.evaluate.tallies import tallies
from train.metrics import confusion
from train.tasks import Tasks

from .cascade_cases import EMOTIONS, LABELS, by_hand, mixed_set, said_of
from .evaluations import rows_of

SAD, JOY, CALM, NONE = 0, 1, 2, 3
COUNTS = {"test": {"sad": 2, "joy": 3, "calm": 1, "not_face": 4}}
TRUE = [SAD, SAD, JOY, JOY, JOY, CALM, NONE, NONE, NONE, NONE]
LIKELIEST = [SAD, JOY, JOY, JOY, SAD, CALM, SAD, JOY, JOY, CALM]
IS_FACE = [0.9, 0.8, 0.2, 0.9, 0.7, 0.5, 0.1, 0.6, 0.3, 0.4]
"""Of ten rows: one right joy is rejected, one non-face passes as joy, calm passes at the very threshold."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return mixed_set(tmp_path_factory.mktemp("set"), COUNTS)


@pytest.fixture(scope="module")
def report(root):
    improved = said_of([0.9] * 6 + [0.1] * 4, [SAD, SAD, JOY, JOY, SAD, CALM, SAD, SAD, SAD, SAD])
    return make_report(by_hand(root, said_of(IS_FACE, LIKELIEST), improved))


def systems(report):
    return {system["key"]: system for system in report.record["systems"]}


def test_a_filter_passes_at_its_threshold_and_its_rejections_are_no_emotion():
    said = said_of(IS_FACE, LIKELIEST)
    assert answer(said, 0.5).tolist() == [SAD, JOY, NONE, JOY, SAD, CALM, NONE, JOY, NONE, NONE]
    assert answer(said, None).tolist() == LIKELIEST


def test_each_answer_counts_as_worked_by_hand(report):
    alone, filtered, improved = (systems(report)[key] for key in ("alone", "filter", "improved"))
    assert [system["accuracy_micro"] for system in (alone, filtered, improved)] == [0.4, 0.6, 0.9]
    assert [system["accuracy_faces"] for system in (alone, filtered, improved)] == pytest.approx([4 / 6, 3 / 6, 5 / 6])
    assert [system["accuracy_not_faces"] for system in (alone, filtered, improved)] == [0.0, 0.75, 1.0]
    assert alone["gain"] is None
    assert [filtered["gain"], improved["gain"]] == pytest.approx([0.2, 0.5])
    assert alone["confusion"] == [[1, 1, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [1, 2, 1, 0]]
    assert filtered["confusion"] == [[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 0], [0, 1, 0, 3]]
    assert improved["confusion"] == [[2, 0, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 4]]
    none = filtered["classes"][NONE]
    assert (none["name"], none["rows"], none["precision"], none["recall"]) == ("not_face", 4, 0.75, 0.75)
    joy = filtered["classes"][JOY]
    assert (joy["precision"], joy["recall"], joy["f1"]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert filtered["f1_macro"] == pytest.approx((1 / 2 + 1 / 3 + 1 + 3 / 4) / 4)
    assert alone["classes"][NONE]["precision"] is None
    assert alone["classes"][NONE]["recall"] == 0.0


def test_the_errors_are_worked_by_hand(report):
    found = {key: system["errors"] for key, system in systems(report).items()}
    names = ("right", "faces_rejected", "not_faces_passed", "wrong_emotion", "right_but_rejected")
    assert [found["alone"][name] for name in names] == [4, 0, 4, 2, 0]
    assert [found["filter"][name] for name in names] == [6, 1, 1, 2, 1]
    assert [found["improved"][name] for name in names] == [9, 0, 0, 1, 0]


def test_the_filter_is_worked_by_hand(report):
    first, improved = report.record["filters"]
    names = ("faces", "not_faces", "passed", "faces_rejected", "not_faces_passed")
    assert [first[name] for name in names] == [6, 4, 6, 1, 1]
    assert (first["precision"], first["recall"], first["accuracy"]) == pytest.approx((5 / 6, 5 / 6, 0.8))
    assert first["auc"] == pytest.approx(20 / 24)  # of 24 pairs, 0.2 is above 1 of 4, 0.5 above 3; the others above all
    assert (improved["precision"], improved["recall"], improved["auc"]) == (1.0, 1.0, 1.0)
    assert (first["flag"], improved["flag"]) == ("--face", "--improved_face")


def test_false_rejections_are_told_from_false_passes():
    score = score_filter(np.array([True, True, True, False]), np.array([0.9, 0.1, 0.2, 0.6]), 0.5)
    assert (score.passed, score.faces_rejected, score.not_faces_passed) == (2, 2, 1)
    assert (score.precision, score.recall, score.accuracy) == (0.5, pytest.approx(1 / 3), 0.25)


def test_a_filter_with_nothing_to_divide_by_has_no_precision():
    score = score_filter(np.array([True, False]), np.array([0.1, 0.2]), 0.9)
    assert (score.precision, score.recall, score.accuracy, score.auc) == (None, 0.0, 0.5, 0.0)


def test_the_worst_of_the_filter_come_surest_first(root, report):
    first = report.record["filters"][0]["examples"]
    assert [example["is_face"] for example in first["passed"]] == [0.6]
    assert [example["is_face"] for example in first["rejected"]] == [0.2]
    assert (first["passed"][0]["truth"], first["passed"][0]["emotion"]) == ("not_face", "joy")
    assert (first["rejected"][0]["truth"], first["rejected"][0]["probability"]) == ("joy", pytest.approx(0.8))
    evaluated = by_hand(root, said_of(IS_FACE, LIKELIEST))
    names = [*LABELS.names, "face"]
    found = worst_examples(evaluated.truth, evaluated.said[0], 0.25, names, root, 2)
    assert [example.is_face for example in found.passed] == [0.6, 0.4]
    assert [example.is_face for example in found.rejected] == [0.2]
    low = worst_examples(evaluated.truth, evaluated.said[0], 0.75, names, root, 2)
    assert [example.is_face for example in low.rejected] == [0.2, 0.5]
    assert low.passed == ()


def test_a_leak_and_other_crops_are_said(root, tmp_path):
    write_manifest(tmp_path, read_manifest(root))
    (tmp_path / "crops").symlink_to(root / "crops")
    write_curation(tmp_path, {**read_curation(root), "config": {"align": {"detector": "hog", "template": "arcface"}}})
    found = make_report(by_hand(tmp_path, said_of(IS_FACE, LIKELIEST))).record["leaks"]
    warned = [leak["text"] for leak in found if leak["level"] == "warning"]
    expected = "the network was trained on tight crops; those of this set are arcface."
    assert warned == [f"--{name}: {expected}" for name in ("face", "emotion")]
    same = make_report(by_hand(root, said_of(IS_FACE, LIKELIEST))).record["leaks"]
    assert not [leak for leak in same if leak["level"] == "warning"]


# what must hold for any answers

rows_of_answers = st.lists(
    st.tuples(st.integers(0, NONE), st.integers(0, CALM), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])),
    min_size=1,
    max_size=40,
)


def arrays(rows):
    true, likeliest, is_face = (np.array(column) for column in zip(*rows, strict=True))
    return true, said_of(is_face, likeliest)


@given(rows_of_answers)
def test_a_perfect_filter_gives_the_non_faces_and_the_emotions_of_the_faces(rows):
    true, said = arrays(rows)
    perfect = Said(np.where(true == NONE, 0.0, 1.0), said.emotions)
    right = answer(perfect, 0.5) == true
    is_face = true != NONE
    assert right.sum() == (~is_face).sum() + (said.likeliest == true)[is_face].sum()


@given(rows_of_answers)
def test_a_filter_that_passes_all_gives_what_the_network_alone_gives(rows):
    true, said = arrays(rows)
    assert answer(said, 0.0).tolist() == answer(said, None).tolist()
    errors = split_errors(true, answer(said, 0.0), said.likeliest, len(EMOTIONS))
    assert errors.faces_rejected == 0
    assert errors.not_faces_passed == (true == NONE).sum()


@given(rows_of_answers, st.floats(0, 1))
def test_the_errors_and_the_matrix_are_one_account_of_all_rows(rows, threshold):
    true, said = arrays(rows)
    answers = answer(said, threshold)
    errors = split_errors(true, answers, said.likeliest, len(EMOTIONS))
    assert errors.rows == len(rows)
    assert errors.right + errors.faces_rejected + errors.not_faces_passed + errors.wrong_emotion == errors.rows
    assert errors.right_but_rejected <= errors.faces_rejected
    counts = confusion(as_outcome(true, answers, NONE + 1), Tasks(LABELS.names))
    assert counts.sum() == len(rows)
    assert np.trace(counts) == errors.right
    assert counts[:NONE, NONE].sum() == errors.faces_rejected
    assert counts[NONE, :NONE].sum() == errors.not_faces_passed


@settings(max_examples=200)
@given(rows_of_answers)
def test_no_threshold_is_better_than_the_chosen_one(rows):
    true, said = arrays(rows)
    chosen = best_threshold(said, true)
    assert 0 <= chosen <= said.is_face.max()

    def right(threshold):
        return (answer(said, threshold) == true).sum()

    rivals = [share for share in {0.0, *np.linspace(0, 1, 41).tolist()} if share <= said.is_face.max()]
    assert right(chosen) == max(map(right, rivals))


def test_the_threshold_lies_half_way_and_of_equal_ones_near_a_half():
    assert best_threshold(said_of([0.2, 0.8], [SAD, SAD]), np.array([NONE, SAD])) == 0.5
    assert best_threshold(said_of([0.3, 0.6, 0.9], [SAD] * 3), np.array([NONE, NONE, JOY])) == 0.75
    assert best_threshold(said_of([0.3, 0.9], [SAD] * 2), np.array([SAD, SAD])) == 0.15
    assert best_threshold(said_of([0.0, 0.0], [SAD] * 2), np.array([NONE, NONE])) == 0.0  # the best that passes one
    two_are_equal = best_threshold(said_of([0.1, 0.3, 0.8], [SAD] * 3), np.array([NONE, JOY, SAD]))
    assert two_are_equal == pytest.approx(0.55)  # 0.2 is as good
    above = np.nextafter(0.5, 1)
    assert best_threshold(said_of([0.5, above], [SAD] * 2), np.array([NONE, SAD])) == above


def test_the_gain_is_paired_and_that_over_itself_is_none():
    rng = np.random.default_rng(0)
    true, before, after = (rng.integers(0, 4, 60) for _ in range(3))
    units = units_of(rows_of(60))
    gain = gain_tally(true, after, before)
    low, high = intervals([gain], units, 0)["gain"]
    mean = (after == true).mean() - (before == true).mean()
    assert low <= mean <= high
    assert gain.numbers(np.asarray(gain.lines.sum(axis=0)))["gain"] == pytest.approx(mean)
    assert intervals([gain_tally(true, after, after)], units, 0)["gain"] == (0.0, 0.0)
    outcome = as_outcome(true, after, 4)
    both = intervals([*tallies(outcome, Tasks(LABELS.names)), gain], units, 0)
    assert set(both) == {"accuracy_micro", "f1_macro", "gain"}


# what the labels of a set and the classes of the networks mean


def relabelled(root, tmp_path, labels):
    """The same crops with other labels."""
    rows = read_manifest(root)
    rows["label"] = labels
    write_manifest(tmp_path, rows)
    write_curation(tmp_path, read_curation(root))
    if not (tmp_path / "crops").exists():
        (tmp_path / "crops").symlink_to(root / "crops")
    return tmp_path


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
    write_report(report, render, tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert "Left out, since no network knows the label: 2 bored, 1 without a label" in page.text
    assert "1 row labelled face: faces of no known emotion" in page.text


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


# the page and the pictures


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    write_report(report, render, folder)
    return Page(folder / "report.html"), folder


def test_the_page_shows_the_record(page, report):
    shown, folder = page
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(report.record))
    assert shown.sections() == {
        "summary", "matrices", "errors", "filter", "classes", "examples", "leaks", "making",
    }  # fmt: skip
    cells = shown.row("Accuracy over all rows")[0]
    assert [cell[:5] for cell in cells[1:]] == ["0.400", "0.600", "0.900"]
    assert [cell[:5] for cell in shown.row("Gain over")[0][1:]] == ["\u2013", "0.200", "0.500"]
    (row,) = [row for row in shown.row("With the filter") if "60.0 %" in row[1]]
    assert [cell.split()[0] for cell in row[1:5]] == ["6", "1", "1", "2"]
    assert shown.row("--face")[0][1:3] == ["0.500", "6"]
    assert len(shown.row("not_face")[0]) == 2 + 3 * 3
    labels = [value for tag, name, value in shown.attributes if (tag, name) == ("svg", "aria-label")]
    assert [label.split(": ")[-1] for label in labels] == ["4 of 10 right", "6 of 10 right", "9 of 10 right"]
    assert "joy, answered not_face: 1 of 3" in shown.text
    assert any("not_face" in tile and "face: 60.0 %" in tile and "emotion: joy (80 %)" in tile for tile in shown.tiles)


def test_the_page_needs_nothing_from_outside(page):
    shown, _ = page
    assert "script" not in shown.tags
    addresses = [value for _, name, value in shown.attributes if name in ("src", "href")]
    assert all(value.startswith(("data:image/webp;base64,", "#")) for value in addresses)
    links = {value[1:] for tag, name, value in shown.attributes if (tag, name) == ("a", "href")}
    assert links <= shown.sections()
    assert "url(" not in shown.source


def test_a_matrix_is_drawn_as_it_is_counted(report):
    drawn = draw_matrix(report.record["systems"][1], LABELS.names)
    assert [cell.count for cell in drawn.cells[4:8]] == ["1", "1", "0", "1"]
    assert [cell.share for cell in drawn.cells[4:8]] == ["33 %", "33 %", "", "33 %"]
    assert [cell.is_hit for cell in drawn.cells[4:8]] == [False, True, False, False]
    assert drawn.cells[15].shade == pytest.approx(0.85 * 0.75, abs=1e-3)
    assert max(cell.x for cell in drawn.cells) + 42 <= drawn.width
    names = [f"class {i}" for i in range(25)]
    many = draw_matrix({"title": "", "rows": 0, "confusion": np.eye(25, dtype=int).tolist()}, names)
    assert {cell.count for cell in many.cells} == {""}


def test_pictures_of_the_matrices_are_written(report, tmp_path):
    files = write_matrices(report.record, tmp_path)
    assert sorted(files) == [f"confusion-{key}.png" for key in ("alone", "filter", "improved")]
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in files)


def test_hostile_names_show_as_text_and_lost_crops_are_said(root, tmp_path):
    rows = read_manifest(root)
    rows["source"] = [HOSTILE[i % len(HOSTILE)] for i in range(len(rows))]
    evil = "<img src=x onerror=alert(1)>"
    rows["label"] = rows["label"].replace({"sad": evil, "not_face": "<b>no</b>"})
    write_manifest(tmp_path, rows)
    write_curation(tmp_path, read_curation(root))
    labels = Labels((evil, "joy", "calm"), "face", ("<b>no</b>",))
    report = make_report(by_hand(tmp_path, said_of(IS_FACE, LIKELIEST), labels=labels))
    write_report(report, render, tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not page.pictures()  # there are no crops below this set
    assert "2 crops to be shown here could not be read" in page.text
    assert page.row(evil)
    assert "script" not in page.tags


def test_an_emotion_without_a_row_is_said(root, tmp_path):
    found = relabelled(root, tmp_path, ["sad", "sad", *["joy"] * 4, *["not_face"] * 4])
    report = make_report(by_hand(found, said_of(IS_FACE, LIKELIEST)))
    assert systems(report)["filter"]["absent_classes"] == ["calm"]
    write_report(report, render, tmp_path / "out")
    assert "No row is calm: it has no recall" in Page(tmp_path / "out" / "report.html").text
