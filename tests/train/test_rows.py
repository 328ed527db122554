import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from align import EyelineError, ImageError, UsageError
from curate.manifest import write_manifest
from train.pack import pack, read_crop
from train.rows import absent_classes, labelled, read_rows, read_tasks, require_every_class, select
from train.tasks import Tasks

from .conftest import CLASSES, write_set
from .evaluations import rows_of


@pytest.fixture
def rows(tmp_path):
    return write_set(tmp_path, {"train": {"face": 3, "not_face": 2}, "val": {"face": 1}, "test": {"not_face": 2}})


def chosen(root, rows, split="train", classes=CLASSES, **tasks):
    write_manifest(root, rows)
    return select(read_rows(root), root, split, Tasks(list(classes), **tasks))


def class_of(part):
    """The class's index of each row, -1 where it has none."""
    return [-1 if np.isnan(row).any() else int(row.argmax()) for row in part.targets]


def test_training_rows_are_kept_and_shown_as_often_as_balanced(tmp_path, rows):
    rows["repeat"] = [2, 0, 1, None, 3, 1, 1, 1]
    rows.loc[2, "drop_reason"] = "duplicate"
    part = chosen(tmp_path, rows)
    assert part.face_ids == tuple(rows["face_id"][[0, 3, 4]])
    assert part.repeats.tolist() == [2, 1, 3]
    assert part.targets.tolist() == [[0, 1], [1, 0], [1, 0]]


def test_evaluation_takes_each_row_once_whatever_its_repeat(tmp_path, rows):
    rows["repeat"] = [2, 0, 1, 1, 3, 5, 0, 0]
    assert chosen(tmp_path, rows, "val").repeats.tolist() == [1]
    assert chosen(tmp_path, rows, "test").repeats.tolist() == [1, 1]
    assert len(chosen(tmp_path, rows, "all")) == 8


def test_a_class_without_training_rows_is_named(tmp_path, rows):
    part = chosen(tmp_path, rows, classes=[*CLASSES, "mask", "statue"])
    with pytest.raises(EyelineError, match=r"found none of mask, statue\)"):
        require_every_class(part, tmp_path, Tasks([*CLASSES, "mask", "statue"]))
    require_every_class(chosen(tmp_path, rows), tmp_path, Tasks(CLASSES))
    assert absent_classes(chosen(tmp_path, rows, "val"), Tasks(CLASSES)) == ["not_face"]


def test_rows_without_a_label_are_left_out(tmp_path, rows):
    rows.loc[[0, 1], "label"] = None
    part = chosen(tmp_path, rows)
    assert class_of(part) == [-1, -1, 1, 0, 0]
    there = labelled(part)
    assert class_of(there) == [1, 0, 0]
    assert there.face_ids == part.face_ids[2:]
    assert there.paths == part.paths[2:]


def test_faces_are_taken_with_all_that_is_known_of_them():
    rows = rows_of(4, subjects=["a", None, "c", "d"], sources=["1", "2", "3", "4"])
    rows = dataclasses.replace(
        rows, repeats=np.array([1, 2, 3, 4]), targets=np.arange(8, dtype=np.float32).reshape(4, 2)
    )
    taken = rows.take(np.array([2, 1]))
    assert (taken.face_ids, taken.subjects, taken.sources) == (("f2", "f1"), ("c", None), ("3", "2"))
    assert [path.name for path in taken.paths] == ["2.png", "1.png"]
    assert (taken.repeats.tolist(), taken.targets.tolist()) == ([3, 2], [[4, 5], [2, 3]])


def test_a_label_outside_the_class_list_is_named(tmp_path, rows):
    with pytest.raises(EyelineError, match=r"found \['not_face'\]"):
        chosen(tmp_path, rows, classes=["face", "nobody"])


@pytest.mark.parametrize("crop", ["../../etc/passwd", "/etc/passwd", "crops/../../x.png"])
def test_a_crop_outside_the_set_is_refused(tmp_path, rows, crop):
    rows.loc[0, "crop"] = crop
    with pytest.raises(EyelineError, match="below the set's folder"):
        chosen(tmp_path, rows)


def test_a_set_with_nothing_kept_is_refused(tmp_path, rows):
    rows["drop_reason"] = "blurred"
    with pytest.raises(EyelineError, match="found 8 rows, all dropped"):
        chosen(tmp_path, rows)


@pytest.mark.parametrize(
    ("labels", "says"),
    [(None, "found none"), ([], "found none"), (["face"], "found only 'face'"), (["a", "a"], "each class once")],
)
def test_class_lists_that_cannot_be_trained_on(tmp_path, rows, labels, says):
    (tmp_path / "curation.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(UsageError, match=says):
        read_tasks(tmp_path, rows)


def label(rows):
    """All three tasks, each with a gap."""
    rows["valence"] = [0.5, -1, None, 0, 0, 0, 1, 0]
    rows["arousal"] = [0.25, 1, 0, None, 0, 0, 1, 0]
    rows["au_12"] = [1, 0, 1, None, 0, 0, 1, 0]
    rows["au_4"] = [0, 0, 1, 1, 0, None, 1, 0]
    rows["au_45"] = None
    rows.loc[4, "label"] = None
    return rows


def test_tasks_are_those_that_the_set_has_labels_for(tmp_path, rows):
    assert read_tasks(tmp_path, rows) == Tasks(CLASSES)
    everything = label(rows)
    assert read_tasks(tmp_path, everything) == Tasks(CLASSES, affect=True, units=["au_4", "au_12"])
    assert read_tasks(tmp_path, everything, ["affect"]) == Tasks(affect=True)
    assert read_tasks(tmp_path, everything, ["units"], ["au_12"]) == Tasks(units=["au_12"])
    unlabelled = everything.assign(label=None, arousal=None)
    assert read_tasks(tmp_path, unlabelled) == Tasks(units=["au_4", "au_12"])
    with pytest.raises(UsageError, match="expected labels of affect"):
        read_tasks(tmp_path, unlabelled, ["affect"])
    with pytest.raises(UsageError, match=r"\['au_4', 'au_12'\] \(got 'au_45'\)"):
        read_tasks(tmp_path, everything, None, ["au_45"])
    with pytest.raises(UsageError, match=r"--data\.units: expected units among --data\.tasks"):
        read_tasks(tmp_path, everything, ["classes"], ["au_12"])


def test_targets_of_all_tasks_stand_side_by_side_and_missing_ones_are_nan(tmp_path, rows):
    part = chosen(tmp_path, label(rows), affect=True, units=["au_4", "au_12"])
    nan = np.nan
    expected = [
        [0, 1, 0.5, 0.25, 0, 1],
        [0, 1, -1, 1, 0, 0],
        [0, 1, nan, 0, 1, 1],
        [1, 0, 0, nan, 1, nan],
        [nan, nan, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(part.targets, np.array(expected, np.float32))
    assert len(labelled(part)) == 5  # each has a label of some task


def test_an_action_unit_that_the_set_does_not_have_is_unlabelled(tmp_path, rows):
    part = chosen(tmp_path, label(rows), units=["au_17"])
    assert np.isnan(part.targets[:, 2]).all()


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [("valence", -2, "valence must be -1 to 1 .found -2 at s-00000001-00"), ("au_4", 3, "au_4 must be 0 or 1")],
)
def test_a_label_out_of_its_range_is_named(tmp_path, rows, column, value, says):
    rows = label(rows)
    rows[column] = rows[column].astype("float32")
    rows.loc[1, column] = value
    with pytest.raises(EyelineError, match=says):
        chosen(tmp_path, rows, affect=True, units=["au_4"])


def test_an_action_unit_that_is_never_there_cannot_be_learnt(tmp_path, rows):
    rows = label(rows).assign(au_12=0)
    part = chosen(tmp_path, rows, units=["au_4", "au_12"])
    with pytest.raises(EyelineError, match=r"one kind only of au_12\); choose others"):
        require_every_class(part, tmp_path, Tasks(CLASSES, units=["au_4", "au_12"]))


def test_crops_are_packed_in_rgb_in_order(tmp_path, rows):
    part = chosen(tmp_path, rows)
    packed = pack(part.paths, 64)
    assert packed.shape == (5, 3, 64, 64)
    for i, path in enumerate(part.paths):
        np.testing.assert_array_equal(packed[i].permute(1, 2, 0).numpy(), np.asarray(Image.open(path)))


def test_resizing_is_antialiased(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    small = read_crop(tmp_path / "stripes.png", 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 127).max() < 40  # a plain bilinear pick would keep pure black or white


def test_a_crop_that_is_gone_or_broken_is_named(tmp_path, rows):
    part = chosen(tmp_path, rows)
    part.paths[2].write_bytes(part.paths[2].read_bytes()[:100])
    with pytest.raises(ImageError, match=part.paths[2].name):
        pack(part.paths, 8)
    part.paths[2].unlink()
    with pytest.raises(EyelineError, match=rf"{part.paths[2].name}: expected a crop.*no such file"):
        pack(part.paths, 8)
    assert len(pack(dataclasses.replace(part, paths=part.paths[:2]).paths, 8)) == 2
