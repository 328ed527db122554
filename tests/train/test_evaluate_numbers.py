"""Sums over rows, intervals, breakdowns, mistakes and curves, against what is computed the long way."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.evaluations import part_of, rows_of
from tests.train.outcomes import ALL, CLASSES, NAN, one_hot, outcome_of, random_outcome
from train.evaluate.bootstrap import intervals, units_of
from train.evaluate.breakdown import LEAST_ROWS, LISTED, breakdown
from train.evaluate.curves import read_curves
from train.evaluate.mistakes import worst_mistakes
from train.evaluate.planes import CELLS, affect_counts
from train.evaluate.tallies import add_up, numbers_of, tallies
from train.metrics import Outcome, affect_scores, summary
from train.tasks import Tasks

TWO = Tasks(["no", "yes"])


def taken(outcome, places):
    return Outcome(outcome.rows[places], outcome.outputs[places], outcome.targets[places])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 6))
def test_sums_of_a_group_give_the_numbers_of_its_rows(seed, rows, groups):
    outcome = random_outcome(seed, rows)
    group = np.random.default_rng(seed).integers(-1, groups, rows)
    found = {}
    for tally in tallies(outcome, ALL):
        found |= numbers_of(tally, add_up(tally, group, groups))
    for number in range(groups):
        part = taken(outcome, np.flatnonzero(group == number))
        expected = summary(part, ALL)
        for name, values in found.items():
            value = expected.get(name, NAN)
            if name.startswith("ccc") and any(score.rows < 2 for score in affect_scores(part, ALL)):
                continue  # one row has no variance; what rounding leaves of it decides
            np.testing.assert_allclose(values[number], value, rtol=1e-6, atol=1e-9, err_msg=name)


def test_the_same_seed_gives_the_same_interval_and_another_another():
    part = part_of(200, subjects=[f"p{i % 20}" for i in range(200)])
    found = [intervals(tallies(part.outcome, ALL), units_of(part.rows), seed) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_the_interval_does_not_depend_on_the_order_of_the_rows():
    part = part_of(120, subjects=[f"p{i % 15}" for i in range(120)])
    places = np.random.default_rng(0).permutation(120)
    shuffled = rows_of(120, subjects=[part.rows.subjects[i] for i in places])
    one = intervals(tallies(part.outcome, ALL), units_of(part.rows), 3)
    other = intervals(tallies(taken(part.outcome, places), ALL), units_of(shuffled), 3)
    for name, ends in one.items():
        np.testing.assert_allclose(ends, other[name], rtol=1e-9)


def test_people_who_are_right_or_wrong_as_a_whole_make_the_interval_wide():
    right = np.repeat(np.arange(20) % 2, 50)
    outcome = outcome_of(np.stack([1 - right, right], 1), one_hot([1] * 1000, 2))
    lines = tallies(outcome, TWO)
    ends = {}
    for name, subjects in (("people", np.arange(1000) // 50), ("faces", np.arange(1000))):
        ends[name] = intervals(lines, units_of(rows_of(1000, subjects=map(str, subjects))), 0)["accuracy_micro"]
    assert ends["people"][1] - ends["people"][0] == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 20), rel=0.15)
    assert ends["faces"][1] - ends["faces"][0] == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 1000), rel=0.15)


def test_faces_of_no_known_person_are_drawn_with_their_source():
    rows = rows_of(6, subjects=["a", "a", None, None, "b", None], sources=["x", "y", "x", "y", "x", "y"])
    units = units_of(rows)
    assert (units.count, units.subjects, units.said) == (4, 2, "2 subjects and 2 sources")
    assert units.group[0] == units.group[1] != units.group[2]
    assert units.group[3] == units.group[5] != units.group[2]


def test_one_person_gives_no_interval():
    part = part_of(30, subjects=["a"] * 30)
    assert intervals(tallies(part.outcome, ALL), units_of(part.rows), 0) == {}


def test_resamples_in_blocks_are_those_of_one_block(monkeypatch):
    part = part_of(80, subjects=[f"p{i % 11}" for i in range(80)])
    whole = intervals(tallies(part.outcome, ALL), units_of(part.rows), 0, 50)
    monkeypatch.setattr("train.evaluate.bootstrap._BLOCK", 40)
    assert intervals(tallies(part.outcome, ALL), units_of(part.rows), 0, 50) == whole


def test_a_breakdown_lists_the_worst_and_adds_up_the_rest():
    sizes = {f"p{i:02d}": 5 + i for i in range(40)} | {"tiny": LEAST_ROWS - 1}
    subjects = [name for name, size in sizes.items() for _ in range(size)]
    share = np.concatenate([np.arange(size) < i % 5 for i, size in enumerate(sizes.values())])
    outcome = outcome_of(np.stack([1 - share, share], 1), one_hot([1] * len(subjects), 2))
    table = breakdown(rows_of(len(subjects), subjects=subjects), tallies(outcome, TWO), "subject")
    assert table.groups == 41
    assert len(table.listed) == LISTED
    scores = [line.numbers["accuracy_micro"] for line in table.listed]
    assert scores == sorted(scores)
    assert [line.rows for line in table.listed[:8]] == [40, 35, 30, 25, 20, 15, 10, 5]  # all wrong, the largest first
    assert "tiny" not in {line.name for line in table.listed}
    assert table.rest.groups == 41 - LISTED
    assert sum(line.rows for line in table.listed) + table.rest.rows == table.whole.rows == len(subjects)
    right = sum(line.rows * line.numbers["accuracy_micro"] for line in (*table.listed, table.rest))
    assert right / len(subjects) == pytest.approx(table.whole.numbers["accuracy_micro"])


def test_small_groups_are_listed_where_there_are_no_others():
    part = part_of(6, sources=list("aabbcc"))
    assert len(breakdown(part.rows, tallies(part.outcome, ALL), "source").listed) == 3


def test_groups_of_one_face_each_are_not_listed():
    part = part_of(6, sources=list("abcdef"))
    table = breakdown(part.rows, tallies(part.outcome, ALL), "source")
    assert table.listed == ()
    assert (table.groups, table.rest.groups, table.whole.rows) == (6, 6, 6)


def test_a_split_without_people_has_no_breakdown_by_them():
    part = part_of(10)
    assert breakdown(part.rows, tallies(part.outcome, ALL), "subject") is None


def test_faces_of_no_known_person_are_counted_in_the_breakdown():
    part = part_of(10, subjects=["a"] * 7 + [None] * 3)
    table = breakdown(part.rows, tallies(part.outcome, ALL), "subject")
    assert (table.unknown, table.whole.rows) == (3, 7)


def test_valence_is_ordered_by_its_error():
    targets = np.zeros((20, 2), dtype=np.float32)
    outcome = outcome_of(np.repeat([[0.1, 0.1], [0.9, 0.9]], 10, axis=0), targets)
    rows = rows_of(20, sources=["near"] * 10 + ["far"] * 10)
    table = breakdown(rows, tallies(outcome, Tasks(affect=True)), "source")
    assert [line.name for line in table.listed] == ["far", "near"]
    assert table.listed[0].numbers["rmse_mean"] == pytest.approx(0.9)


def test_the_worst_mistake_of_classes_is_the_surest_wrong_one(tmp_path):
    logits = [[5, 0, 0, 0], [0, 9, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 8]]
    outcome = outcome_of(logits, one_hot([0, 0, 0, 0, -1], 4))
    rows = rows_of(5, subjects=["a", "b", "c", None, "e"], root=tmp_path)
    (found,) = worst_mistakes(rows, outcome, Tasks(CLASSES), tmp_path, 2)
    assert (found.task, found.wrong, found.answers) == ("classes", 3, 4)
    assert [mistake.face_id for mistake in found.worst] == ["f1", "f2"]
    worst = found.worst[0]
    assert (worst.truth, worst.prediction, worst.subject, worst.source) == ("neutral", "happy", "b", "s1.mp4")
    assert worst.crop == "crops/1.png"
    chance = math.exp(9) / (math.exp(9) + 3)
    assert worst.probability == pytest.approx(chance)
    assert worst.loss == pytest.approx(-math.log(1 / (math.exp(9) + 3)))


def test_the_worst_of_valence_is_the_farthest_of_what_has_a_label(tmp_path):
    outcome = outcome_of([[0.5, 0.5], [1, 1], [0, 0.9]], [[0.5, -0.5], [NAN, NAN], [NAN, -0.9]])
    (found,) = worst_mistakes(rows_of(3, root=tmp_path), outcome, Tasks(affect=True), tmp_path, 5)
    assert [mistake.face_id for mistake in found.worst] == ["f2", "f0"]
    assert found.worst[0].truth == "arousal -0.90"
    assert found.worst[0].loss == pytest.approx(1.8**2)
    assert (found.wrong, found.answers) == (None, 2)


def test_the_worst_action_units_are_wrong_ones_with_a_label(tmp_path):
    outcome = outcome_of([[3, -4], [-2, 9], [-5, 1]], [[1, 1], [1, NAN], [0, 0]])
    (found,) = worst_mistakes(rows_of(3, root=tmp_path), outcome, Tasks(units=["au_1", "au_2"]), tmp_path, 9)
    assert [(m.face_id, m.truth, m.prediction) for m in found.worst] == [
        ("f0", "au_2 present", "au_2 absent"),
        ("f1", "au_1 present", "au_1 absent"),
        ("f2", "au_2 absent", "au_2 present"),
    ]
    assert found.worst[0].probability == pytest.approx(1 / (1 + math.exp(-4)))
    assert (found.wrong, found.answers) == (3, 5)


def test_a_task_without_labels_has_no_mistakes(tmp_path):
    outcome = outcome_of(np.zeros((3, 4)), np.full((3, 4), NAN))
    assert worst_mistakes(rows_of(3, root=tmp_path), outcome, Tasks(CLASSES), tmp_path, 5) == []


def test_the_plane_counts_every_labelled_row():
    truth, said = np.array([-1, 1, 0.05, NAN], dtype=np.float32), np.array([-3, 2, -0.05, 0], dtype=np.float32)
    counts = affect_counts(truth, said)
    assert counts.sum() == 3
    assert counts[0, 0] == counts[-1, -1] == counts[CELLS // 2, CELLS // 2 - 1] == 1
    assert affect_counts(np.array([NAN], dtype=np.float32), np.zeros(1, dtype=np.float32)) is None


def log(folder, name, lines):
    (folder / name).mkdir(parents=True)
    (folder / name / "metrics.csv").write_text("epoch,step,train/loss,val/loss,lr-SGD\n" + "\n".join(lines) + "\n")


def test_curves_join_the_rows_of_an_epoch_and_the_logs_of_a_resumed_fit(tmp_path):
    log(tmp_path, "fit", ["0,7,,1.5,", "0,7,2.0,,", "0,3,,,0.1", "1,15,,1.4,", "1,15,1.8,,"])
    log(tmp_path, "fit-from-step-100", ["3,31,,,", "3,31,1.0,inf,"])
    log(tmp_path, "fit-from-step-16", ["1,15,1.7,1.3,", "2,23,1.6,1.2,", "3,31,9.0,9.0,"])
    curves = read_curves(tmp_path, 31)
    assert curves.epochs == (0, 1, 2, 3)
    assert curves.series["train/loss"] == (2.0, 1.7, 1.6, 1.0)
    assert curves.series["val/loss"] == (1.5, 1.3, 1.2, None)
    assert curves.series["lr-SGD"] == (0.1, None, None, None)
    assert curves.checkpoint_epoch == 2
    assert curves.note == ""


@pytest.mark.parametrize("text", [b"", b"\xff\xfe\x00", b"hello\n1\n", b'"epoch,step\n1,2'])
def test_a_log_that_cannot_be_read_is_said(tmp_path, text):
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "metrics.csv").write_bytes(text)
    curves = read_curves(tmp_path, 1)
    assert curves.epochs == ()
    assert curves.note.startswith("fit/metrics.csv")


def test_no_run_and_no_log_are_said(tmp_path):
    assert "outside" in read_curves(None, 1).note
    assert "no log" in read_curves(tmp_path, 1).note
