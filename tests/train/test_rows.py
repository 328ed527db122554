import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from align import EyelineError, ImageError, UsageError
from curate.manifest import write_manifest
from train.pack import pack, read_crop
from train.rows import NO_TARGET, read_classes, read_rows, require_every_class, require_labels, select

from .conftest import CLASSES, write_set


@pytest.fixture
def rows(tmp_path):
    return write_set(tmp_path, {"train": {"face": 3, "not_face": 2}, "val": {"face": 1}, "test": {"not_face": 2}})


def chosen(root, rows, split="train", classes=CLASSES):
    write_manifest(root, rows)
    return select(read_rows(root), root, split, classes)


def test_training_rows_are_kept_and_shown_as_often_as_balanced(tmp_path, rows):
    rows["repeat"] = [2, 0, 1, None, 3, 1, 1, 1]
    rows.loc[2, "drop_reason"] = "duplicate"
    part = chosen(tmp_path, rows)
    assert part.face_ids == tuple(rows["face_id"][[0, 3, 4]])
    assert part.repeats.tolist() == [2, 1, 3]
    assert part.targets.tolist() == [1, 0, 0]


def test_evaluation_takes_each_row_once_whatever_its_repeat(tmp_path, rows):
    rows["repeat"] = [2, 0, 1, 1, 3, 5, 0, 0]
    assert chosen(tmp_path, rows, "val").repeats.tolist() == [1]
    assert chosen(tmp_path, rows, "test").repeats.tolist() == [1, 1]
    assert len(chosen(tmp_path, rows, "all")) == 8


def test_a_class_without_training_rows_is_named(tmp_path, rows):
    part = chosen(tmp_path, rows, classes=[*CLASSES, "mask", "statue"])
    with pytest.raises(EyelineError, match=r"found none of mask, statue\)"):
        require_every_class(part, tmp_path, [*CLASSES, "mask", "statue"])
    require_every_class(chosen(tmp_path, rows), tmp_path, CLASSES)


def test_rows_without_a_label_are_counted(tmp_path, rows):
    rows.loc[[0, 1], "label"] = None
    part = chosen(tmp_path, rows)
    assert part.targets.tolist() == [NO_TARGET, NO_TARGET, 1, 0, 0]
    with pytest.raises(EyelineError, match="found 2 of 5 without"):
        require_labels(part, tmp_path, "train")


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
def test_class_lists_that_cannot_be_trained_on(tmp_path, labels, says):
    (tmp_path / "curation.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(UsageError, match=says):
        read_classes(tmp_path)


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
