import json
from pathlib import Path

import numpy as np
import pytest

import curate
from align import load_image
from curate import hashing
from curate.cli import main
from curate.manifest import FIELDS
from curate.outcome import DropReason, FrameCounts, count_rows
from tests.curate.small import run_small
from tests.videos import encode


def test_counts_reconcile(made: Path) -> None:
    rows = curate.read_manifest(made)
    record = curate.read_curation(made)
    frames = FrameCounts(**record["frames"])
    assert frames.reconciles
    assert frames.decoded == 20 + 12 + 4
    assert frames.sampled_out == 10 + 6
    assert frames.with_rows == rows.groupby(["source_id", "frame"]).ngroups
    assert sum(record["rows"].values()) == len(rows)
    assert record["rows"] == count_rows(rows)
    assert sum((FrameCounts(**unit["frames"]) for unit in record["units"]), FrameCounts()) == frames


def test_the_manifest_has_the_whole_schema_and_every_row_its_identity(made: Path) -> None:
    rows = curate.read_manifest(made)
    assert [*rows.columns] == [*FIELDS]
    assert rows["face_id"].is_unique
    expected = rows["source_id"] + "-" + rows["frame"].map("{:08d}".format)
    assert (rows["face_id"].str[:-3] == expected).all()
    assert set(rows["drop_reason"].dropna()) <= set(map(str, DropReason))
    talk = rows[rows["source"] == "talk.mp4"]
    assert (talk["time_s"] - talk["frame"] * 1001 / 30000).abs().max() < 1e-3
    assert set(talk["subject"]) == {"carphone"}


def test_every_crop_is_what_its_row_says(made: Path) -> None:
    rows = curate.read_manifest(made)
    cropped = rows[rows["crop"].notna()]
    assert len(cropped) > 10
    crops = [load_image(made / name) for name in cropped["crop"]]
    assert {crop.shape for crop in crops} == {(64, 64, 3)}
    expected = hashing.to_bytes(hashing.phash(crops, bits=256))
    for found, wanted, flat in zip(cropped["hash"], expected, hashing.is_flat(crops), strict=True):
        assert found is None if flat else found == wanted
    on_disk = {str(path.relative_to(made)) for path in (made / "crops").rglob("*.png")}
    assert on_disk == set(cropped["crop"])
    for row in cropped[cropped["eyes"].notna()].itertuples():
        matrix = np.reshape(row.matrix, (2, 3))
        eyes = np.reshape(row.eyes, (2, 2)) @ matrix[:, :2].T + matrix[:, 2]
        assert np.allclose(eyes, [[0.29 * 64 - 0.5, 0.25 * 64 - 0.5], [0.71 * 64 - 0.5, 0.25 * 64 - 0.5]], atol=0.05)


def test_what_is_broken_or_empty_has_a_row_with_its_reason(made: Path) -> None:
    rows = curate.read_manifest(made).set_index("source")
    assert rows.loc["photos/broken.jpg", "drop_reason"] == "corrupt"
    assert rows.loc["photos/noise.png", "drop_reason"] == "no_face"
    errors = [unit["error"] for unit in curate.read_curation(made)["units"] if unit["error"]]
    assert len(errors) == 1
    assert "broken.jpg" in errors[0]


def test_the_same_photo_twice_is_kept_once(made: Path) -> None:
    rows = curate.read_manifest(made)
    photos = rows[rows["source"].isin(["photos/a.png", "photos/b.jpg"])].set_index("source")
    dropped = photos[photos["drop_reason"] == "duplicate"]
    assert len(dropped) == 1
    assert dropped["duplicate_of"].iloc[0] in set(photos["face_id"]) - set(dropped["face_id"])


def test_background_boxes_come_only_from_where_no_face_is(made: Path) -> None:
    rows = curate.read_manifest(made)
    boxes = rows[rows["detector"] == "background"]
    assert set(boxes["source"]) == {"traffic.mp4"}
    assert set(boxes["label"]) == {"not_face"}
    frames_with_faces = rows[rows["detector"] == "hog"].groupby(["source", "frame"]).groups
    assert not set(boxes.groupby(["source", "frame"]).groups) & set(frames_with_faces)
    for box in boxes.itertuples():  # the matrix takes the box's corners to the crop's
        matrix = np.reshape(box.matrix, (2, 3))
        corners = np.array([[box.box_x, box.box_y], [box.box_x + box.box_w, box.box_y + box.box_h]])
        assert np.allclose(corners @ matrix[:, :2].T + matrix[:, 2], [[-0.5, -0.5], [63.5, 63.5]], atol=1e-2)
    assert (boxes["box_x"] >= -0.5).all()
    assert (boxes["box_x"] + boxes["box_w"] <= 640 - 0.5 + 1e-3).all()
    assert (boxes["box_y"] + boxes["box_h"] <= 272 - 0.5 + 1e-3).all()


def test_no_source_subject_or_duplicate_stands_on_two_sides(made: Path) -> None:
    rows = curate.read_manifest(made)
    kept = rows[rows["split"].notna()]
    assert len(kept)
    for key in ("source_id", "subject"):
        assert kept.groupby(key)["split"].nunique().max() == 1


def test_balancing_touches_the_training_part_alone(made: Path) -> None:
    rows = curate.read_manifest(made)
    training = rows[(rows["split"] == "train") & rows["repeat"].notna()]
    shown = training.groupby("label")["repeat"].sum()
    assert shown["face"] == shown["not_face"] > 0
    assert training[training["repeat"] > 0].groupby("label").size().max() <= 8
    assert set(rows.loc[rows["split"].isin(["val", "test"]), "repeat"].dropna()) <= {1}
    assert (rows.loc[rows["drop_reason"] == "over_cap", "repeat"] == 0).all()


def test_intervals_count_from_the_first_frame_and_a_boundary_is_never_skipped(tmp_path: Path) -> None:
    still = [np.full((64, 64, 3), 90, np.uint8)] * 30
    encode(tmp_path / "late.mkv", still, rate=1000, pts=[2800 + 40 * i for i in range(30)])
    (tmp_path / "labels.csv").write_text("source,start_s,end_s,label\nlate.mkv,0,0.6,calm\nlate.mkv,0.6,2,happy\n")
    (tmp_path / "datasets.toml").write_text(
        '[d]\nsource = { kind = "videos", path = "late.mkv", annotations = "labels.csv" }\n'
    )
    assert main(["run", "d", "--out", "x"]) == 0
    rows = curate.read_manifest("x")
    assert rows[["frame", "label"]].to_numpy().tolist() == [[0, "calm"], [15, "happy"]]
    assert rows["time_s"].tolist() == pytest.approx([2.8, 3.4])


def test_json_is_one_result(made: Path, small_root: Path, capsys) -> None:
    assert run_small(small_root, made, "--json") == 3
    assert json.loads(capsys.readouterr().out)["frames"]["decoded"] == 36
    assert main(["list", "--json", "--registry", str(small_root / "datasets.toml")]) == 0
    assert "small" in json.loads(capsys.readouterr().out)
