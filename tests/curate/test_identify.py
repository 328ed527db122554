"""The stage that names people: tracks, frames, given subjects, duplicates, and the file of descriptors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import align
from align import EyelineError, ImageError, model_sha256
from curate import descriptors, stages
from curate.config import Dataset, Identify, Source
from curate.descriptors import DESCRIPTORS, describe
from curate.identity import pairwise_scores
from curate.manifest import schema, to_pandas
from curate.outcome import count_rows
from curate.stages.identify import FACES_A_SUBJECT

FIVE = [40.0, 20, 30, 20, 10, 20, 20, 20, 25, 35]
IDENTITY = [1.0, 0, 0, 0, 1, 0]
CLOSE = 0.05


def to_rows(made: list[dict]) -> pd.DataFrame:
    defaults = {
        "frame": 0, "matrix": IDENTITY, "landmarks": FIVE, "landmark_scheme": "dlib5",
        "sharpness": 100.0, "brightness": 100.0, "contrast": 50.0,
    }  # fmt: skip
    full = []
    for number, values in enumerate(made):
        face = values.get("face_id", f"f{number:03d}")
        full.append(
            {"face_id": face, "source": face, "source_id": face, "crop": f"crops/{face}.png", **defaults, **values}
        )
    return to_pandas(pa.Table.from_pylist(full, schema=schema()))


def known(out: Path, rows: pd.DataFrame, place: list[tuple[float, float]]) -> None:
    """Write the descriptors that describing would give: points of a plane, so that no picture is needed."""
    values = np.zeros((len(rows), 128), np.float32)
    values[:, :2] = place
    order = np.argsort(rows["face_id"].to_numpy(str))
    prints = descriptors._fingerprints(rows.iloc[order])
    sha256 = model_sha256(align.open_embedder().model_file)
    descriptors._write(out / DESCRIPTORS, sha256, (rows["face_id"].to_numpy(object)[order], prints, values[order]))


def named(out: Path, made: list[dict], place: list[tuple[float, float]], **settings_: object) -> pd.DataFrame:
    rows = to_rows(made)
    known(out, rows, place)
    return stages.name_people(rows, Dataset(source=Source("images", "a"), identify=Identify(**settings_)), out)[0]


def test_near_faces_get_one_name_and_far_ones_another(tmp_path: Path) -> None:
    rows = named(tmp_path, [{}, {}, {}], [(0, 0), (CLOSE, 0), (1, 0)])
    first, second, third = rows["subject"]
    assert first == second != third
    assert first.startswith("person-")
    assert rows["subject_confidence"].between(0, 1).all()
    assert rows["subject_confidence"].iloc[0] > 0.9


def test_two_faces_of_one_frame_are_two_people_however_alike(tmp_path: Path) -> None:
    video = {"source_id": "v", "frame": 3}
    rows = named(tmp_path, [video, video], [(0, 0), (0, 0)])
    assert rows["subject"].nunique() == 2


def test_a_track_is_one_person_and_keeps_apart_whom_its_frames_show_beside_it(tmp_path: Path) -> None:
    made = [
        {"source_id": "v", "frame": 0, "track": "a"},
        {"source_id": "v", "frame": 1, "track": "a"},
        {"source_id": "v", "frame": 1, "track": "b"},
        {"source_id": "v", "frame": 2, "track": "b"},
    ]
    rows = named(tmp_path, made, [(0, 0), (0.6, 0), (0, 0), (0, 0)])
    assert rows["subject"].iloc[0] == rows["subject"].iloc[1] != rows["subject"].iloc[2] == rows["subject"].iloc[3]
    other = [made[0] | {"source_id": "w"}, made[2] | {"source_id": "x"}]  # tracks of one name in two videos are two
    assert named(tmp_path, other, [(0, 0), (1, 0)])["subject"].nunique() == 2


def test_a_dropped_face_still_tells_that_two_tracks_are_two_people(tmp_path: Path) -> None:
    made = [
        {"source_id": "v", "frame": 0, "track": "a"},
        {"source_id": "v", "frame": 5, "track": "b"},
        {"source_id": "v", "frame": 5, "track": "a", "drop_reason": "blurred"},
    ]
    assert len(set(named(tmp_path, made[:2], [(0, 0), (0, 0)])["subject"])) == 1
    rows = named(tmp_path, made, [(0, 0), (0, 0), (9, 9)])
    assert rows["subject"].nunique() == 2
    assert pd.isna(rows["subject"].iloc[2])


def test_a_track_that_claims_two_faces_of_a_frame_is_taken_apart(tmp_path: Path) -> None:
    video = {"source_id": "v", "frame": 0, "track": "a"}
    rows = named(tmp_path, [video, video, video | {"frame": 1}], [(0, 0), (1, 0), (1, 0)])
    assert rows["subject"].iloc[0] != rows["subject"].iloc[1] == rows["subject"].iloc[2]


def test_given_names_stay_draw_the_nearer_faces_and_never_merge(tmp_path: Path) -> None:
    made = [{"subject": "anna"}, {"subject": "berta"}, {}, {}, {}]
    rows = named(tmp_path, made, [(0, 0), (0.3, 0), (0.1, 0), (0.22, 0), (2, 0)])
    assert rows["subject"].tolist()[:4] == ["anna", "berta", "anna", "berta"]
    assert rows["subject"].iloc[4].startswith("person-")
    assert rows["subject_confidence"].isna().tolist() == [True, True, False, False, False]


def test_running_again_gives_the_same_and_takes_back_later_decisions(tmp_path: Path) -> None:
    made = [{"subject": "anna"}, {}, {"drop_reason": "over_cap", "split": "train"}]
    once = named(tmp_path, made, [(0, 0), (CLOSE, 0), (1, 0)])
    assert count_rows(once) == {"kept": 3}
    assert once[["split", "fold", "repeat"]].isna().all(axis=None)
    dataset = Dataset(source=Source("images", "a"))
    again, said = stages.name_people(once, dataset, tmp_path)
    pd.testing.assert_frame_equal(again, once)
    assert said == {
        "by": "faces", "threshold": 0.45, "people_given": 1, "people_found": 1, "faces_described": 3, "kept_unnamed": 0,
    }  # fmt: skip
    given = Dataset(source=Source("images", "a"), identify=Identify(by="given"))
    back, said = stages.name_people(once, given, tmp_path)
    assert back["subject"].tolist()[0] == "anna"
    assert back["subject"].isna().tolist() == [False, True, True]
    assert said == {"by": "given", "people_given": 1, "kept_unnamed": 2}


def test_duplicates_get_their_representatives_person_unless_the_frame_shows_it(tmp_path: Path) -> None:
    copy = {"drop_reason": "duplicate", "duplicate_of": "f000"}
    made = [
        {}, {"subject": "anna"}, copy, copy | {"duplicate_of": "f001"},
        {"source_id": "f000", "frame": 0, "subject": None, **copy},
        {"source_id": "w", **copy}, {"source_id": "w", **copy},
    ]  # fmt: skip
    rows = named(tmp_path, made, [(0, 0), (1, 0), *[(0, 0)] * 5])
    subject = rows["subject"]
    assert subject.iloc[2] == subject.iloc[0]
    assert subject.iloc[3] == "anna"
    assert rows["subject_confidence"].iloc[3] == 1
    assert pd.isna(subject.iloc[4])  # its frame shows that person already
    assert subject.iloc[5] == subject.iloc[0]
    assert pd.isna(subject.iloc[6])


def test_faces_without_landmarks_stay_unnamed_and_nothing_is_read_where_nobody_is_to_name(tmp_path: Path) -> None:
    bare = {"landmarks": None, "landmark_scheme": None}
    dataset = Dataset(source=Source("images", "a"))
    rows, said = stages.name_people(to_rows([bare, {"subject": "anna"}]), dataset, tmp_path / "nowhere")
    assert rows["subject"].isna().tolist() == [True, False]
    assert (said["people_found"], said["kept_unnamed"]) == (0, 1)


def test_the_best_faces_of_a_track_are_described_and_every_track_of_a_subject(tmp_path: Path) -> None:
    made = [{"source_id": "v", "frame": k, "track": "a", "sharpness": float(k)} for k in range(9)]
    made[8] |= {"yaw_deg": 80.0}
    made += [{"source_id": f"s{k // 10}", "frame": k, "track": "t", "subject": "anna"} for k in range(60)]
    named(tmp_path, made, [(k / 100, 0) for k in range(9)] + [(3, 3)] * 60)
    ids = pq.read_table(tmp_path / DESCRIPTORS).column("face_id").to_pylist()
    assert [name for name in ids if name < "f009"] == ["f003", "f004", "f005", "f006", "f007"]
    anna = [int(name[1:]) - 9 for name in ids if name >= "f009"]
    assert len(anna) == FACES_A_SUBJECT
    assert {k // 10 for k in anna} == set(range(6))


@st.composite
def videos(draw):
    """Faces of a few videos at random places, some of one frame, of tracks, of given names."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 18))
    made = []
    for number in range(count):
        row = {"source_id": f"v{rng.integers(0, 3)}", "frame": int(rng.integers(0, 4))}
        if rng.random() < 0.5:
            row["track"] = f"t{rng.integers(0, 3)}"
        if rng.random() < 0.2:
            row["subject"] = f"anna {number}"
        if rng.random() < 0.2:
            row |= {"drop_reason": "blurred"}
        elif number and rng.random() < 0.2:
            row |= {"drop_reason": "duplicate", "duplicate_of": "f000"}
        made.append(row)
    return made, [tuple(p) for p in rng.uniform(0, 0.6, (count, 2)).tolist()]


@settings(max_examples=25, deadline=None)
@given(videos(), st.data())
def test_no_person_is_twice_in_a_frame_and_the_order_of_the_rows_makes_no_difference(
    tmp_path_factory, case, data
) -> None:
    made, place = case
    out = tmp_path_factory.mktemp("people")
    rows = named(out, made, place)
    shown = rows[rows["subject"].notna()]
    assert not shown.duplicated(["source_id", "frame", "subject"]).any()
    mixed = to_rows(made).iloc[data.draw(st.permutations(range(len(made))))].reset_index(drop=True)
    again, _ = stages.name_people(mixed, Dataset(source=Source("images", "a")), out)
    again = again.sort_values("face_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(again, rows)


def with_crop(out: Path, name: str, image: np.ndarray, **values: object) -> dict:
    face = align.find_faces(image)[0]
    crop = align.align_face(image, face, align.CropSpec("tight", 224))
    (out / "crops").mkdir(parents=True, exist_ok=True)
    Image.fromarray(crop.image).save(out / "crops" / f"{name}.png")
    return {
        "face_id": name, "landmarks": face.landmarks.ravel().tolist(), "matrix": crop.matrix.ravel().tolist(), **values
    }  # fmt: skip


def test_descriptors_are_kept_and_only_what_is_new_or_changed_is_described(
    tmp_path: Path, astronaut: np.ndarray
) -> None:
    out = tmp_path / "set"
    rows = to_rows([with_crop(out, "a", astronaut), with_crop(out, "b", astronaut[:, ::-1].copy())])
    first = describe(rows, out)
    assert first.shape == (2, 128)
    assert np.linalg.norm(first[0] - first[1]) < 0.4
    before = (out / DESCRIPTORS).read_bytes()
    (out / "crops" / "a.png").unlink()
    assert (describe(rows, out) == first).all()  # no crop is read
    assert (describe(rows.iloc[::-1], out) == first[::-1]).all()
    assert (out / DESCRIPTORS).read_bytes() == before
    grown = pd.concat([rows, to_rows([with_crop(out, "c", astronaut)])], ignore_index=True)
    assert (describe(grown, out)[:2] == first).all()
    changed = rows.assign(sharpness=np.float32(7))
    with pytest.raises(ImageError, match=r"a\.png"):
        describe(changed, out)
    assert len(pq.read_table(out / DESCRIPTORS)) == 3
    describe(rows.iloc[1:], out)
    assert pq.read_table(out / DESCRIPTORS).column("face_id").to_pylist() == ["b"]


def test_descriptors_of_another_network_count_as_nothing_and_a_broken_file_is_told(tmp_path, astronaut) -> None:
    rows = to_rows([with_crop(tmp_path, "a", astronaut)])
    known(tmp_path, rows, [(5, 5)])
    assert describe(rows, tmp_path)[0, 0] == 5
    table = pq.read_table(tmp_path / DESCRIPTORS)
    pq.write_table(
        table.replace_schema_metadata({"eyeline": '{"model_sha256": "00", "version": 1}'}), tmp_path / DESCRIPTORS
    )
    assert abs(describe(rows, tmp_path)[0, 0]) < 1
    (tmp_path / DESCRIPTORS).write_bytes(b"nothing")
    with pytest.raises(EyelineError, match="remove the file"):
        describe(rows, tmp_path)


def test_a_long_job_saves_as_it_goes(tmp_path: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "_BATCH", 1)
    monkeypatch.setattr(descriptors, "_SAVE_EVERY", 1)
    rows = to_rows([with_crop(tmp_path, name, astronaut) for name in "ab"] + [{"face_id": "gone"}])
    with pytest.raises(ImageError, match=r"gone\.png"):
        describe(rows, tmp_path)
    assert pq.read_table(tmp_path / DESCRIPTORS).column("face_id").to_pylist() == ["a", "b"]


def test_people_of_london_are_found_again(tmp_path: Path, photos: Path) -> None:
    """Six people, each neutral and smiling: every pair and no other."""
    rows = to_rows(
        [
            with_crop(tmp_path, path.stem, align.load_image(path))
            for path in sorted((photos / "london").glob("*.jpg"))[:204:34]
            for path in (path, path.with_name(path.name.replace("_03", "_08")))
            if path.is_file()
        ]
    ).drop_duplicates("face_id", ignore_index=True)
    found, said = stages.name_people(rows, Dataset(source=Source("images", "a")), tmp_path)
    true = rows["face_id"].str[:3].tolist()
    assert len(set(true)) == 6
    assert pairwise_scores(found["subject"].tolist(), true) == (1, 1)
    assert said["people_found"] == len(set(true))
