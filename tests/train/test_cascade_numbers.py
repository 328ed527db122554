"""The numbers of a cascade: worked by hand, and what must hold for any answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.manifest import read_curation, read_manifest, write_curation, write_manifest
from train.cascade import answer, best_threshold, make_report
from train.cascade.answers import Said
from train.cascade.examples import worst_examples
from train.cascade.numbers import as_outcome, gain_tally, score_filter, split_errors
from train.evaluate.bootstrap import intervals, units_of
from train.evaluate.tallies import tallies
from train.metrics import confusion
from train.tasks import Tasks

from .cascade_cases import (
    CALM,
    EMOTIONS,
    IS_FACE,
    JOY,
    LABELS,
    LIKELIEST,
    NONE,
    SAD,
    by_hand,
    said_of,
    systems,
    ten_rows,
    worked_by_hand,
)
from .evaluations import rows_of


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return ten_rows(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def report(root):
    return worked_by_hand(root)


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
    expected = "The network was trained on tight crops; those of this set are arcface."
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
