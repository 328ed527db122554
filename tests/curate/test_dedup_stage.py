"""Which crop of a group stays, within what crops are compared, and what the stage records of it."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from align import CropSpec, UsageError
from curate import dedup, hashing, near_cache, stages
from curate.config import Dataset, Dedup, Source
from curate.config.settings import HashName
from curate.manifest import schema, to_pandas
from curate.radii import ONE_SIDE, SAME_MOMENT, SAME_PICTURE
from curate.stages.merit import merit

NOWHERE = Path("no such folder")
SPEC = CropSpec()


def frame(*given: dict) -> pd.DataFrame:
    return to_pandas(pa.Table.from_pylist(list(given), schema=schema()))


def bits(count: int, start: int = 0) -> np.ndarray:
    """Set `count` bits of 256."""
    flags = np.zeros(256, np.uint8)
    flags[start : start + count] = 1
    return np.packbits(flags).view(">u8").astype(np.uint64)


def faces(*given: dict) -> pd.DataFrame:
    """Rows of one still each, with random hashes; `off` = (row, bits) puts a hash so many bits from another row's."""
    rng = np.random.default_rng(0)
    h = rng.integers(0, 2**64, (len(given), 4), dtype=np.uint64)
    mirrored = rng.integers(0, 2**64, (len(given), 4), dtype=np.uint64)
    for row, values in enumerate(given):
        if "off" in values:
            h[row] = h[values["off"][0]] ^ bits(*values["off"][1:])
        if "mirror_of" in values:
            h[row], mirrored[row] = mirrored[values["mirror_of"]], h[values["mirror_of"]]
    made = []
    for row, values in enumerate(given):
        own = {key: value for key, value in values.items() if key not in {"off", "mirror_of"}}
        known = {"face_id": f"f{row:02d}", "source": f"s{row}", "source_id": f"s{row}", "frame": 0, "sharpness": 100.0}
        stored = {"hash": hashing.to_bytes(h)[row], "mirrored_hash": hashing.to_bytes(mirrored)[row]}
        made.append(known | stored | own)
    return frame(*made)


def run(rows: pd.DataFrame, out: Path = NOWHERE, **settings: object) -> tuple[dict, dict]:
    """Give which face stands for each dropped one, and the record."""
    dataset = Dataset(source=Source("images", "a"), dedup=Dedup(**{"radius": 31, **settings}))
    rows, said = stages.find_duplicates(rows, dataset, out)
    dropped = rows[rows["duplicate_of"].notna()]
    assert set(dropped["drop_reason"]) <= {"duplicate"}
    return dict(zip(dropped["face_id"], dropped["duplicate_of"], strict=True)), said


def rate(**values: object) -> float:
    known = {"sharpness": 200.0, "interocular_px": 60.0, "yaw_deg": 0.0}
    return float(merit(frame(known | values), SPEC)[0])


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"sharpness": 300.0}, {"sharpness": 200.0}),
        ({"interocular_px": 60.0}, {"interocular_px": 30.0}),
        ({"yaw_deg": 5.0}, {"yaw_deg": -20.0}),
        ({"yaw_deg": -5.0}, {"yaw_deg": 20.0}),
        ({"sharpness": 400.0}, {"sharpness": 2000.0, "interocular_px": 30.0}),
        ({"sharpness": 250.0}, {"sharpness": 1e9, "yaw_deg": 60.0}),
        ({"yaw_deg": 40.0}, {"yaw_deg": None}),
        ({"yaw_deg": None}, {"yaw_deg": 75.0}),
        ({"sharpness": 0.0, "published_split": "test"}, {"sharpness": 900.0, "published_split": "val"}),
        ({"sharpness": 0.0, "published_split": "val"}, {"sharpness": 900.0, "published_split": "train"}),
        ({"sharpness": 0.0, "published_split": "train"}, {"sharpness": 900.0}),
    ],
)
def test_merit_prefers_published_then_sharp_large_and_frontal(better, worse):
    assert rate(**better) > rate(**worse)


def test_a_face_larger_than_its_crop_is_no_better():
    between = float(np.hypot(*(SPEC.eyes_px[1] - SPEC.eyes_px[0])))
    assert rate(interocular_px=between) == rate(interocular_px=3 * between)
    assert rate(interocular_px=between) > rate(interocular_px=0.9 * between)
    assert 0 < rate() < 1


def test_the_best_stays_whatever_the_order_of_the_rows():
    rows = faces(
        {"interocular_px": 20.0, "sharpness": 500.0},
        {"off": (0, 5), "interocular_px": 70.0},
        {"off": (0, 9), "interocular_px": 70.0, "yaw_deg": 30.0},
        {"off": (0, 0), "published_split": "train", "sharpness": 1.0},
        {"off": (0, 3), "published_split": "test", "sharpness": 1.0},
    )
    wanted = {"f00": "f04", "f01": "f04", "f02": "f04", "f03": "f04"}
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 1, 4, 0, 2]):
        shuffled = rows.iloc[order].reset_index(drop=True)
        assert run(shuffled)[0] == wanted
        assert run(shuffled)[1] == run(rows)[1]
    unpublished = rows[:3].assign(yaw_deg=[0.0, 0.0, 30.0])
    assert run(unpublished)[0] == {"f00": "f01", "f02": "f01"}


def test_within_a_track_compares_faces_of_one_track_alone():
    rows = faces(
        {"source_id": "v", "track": "v-1", "sharpness": 900.0},
        {"off": (0, 5), "source_id": "v", "track": "v-1"},
        {"off": (0, 5, 9), "source_id": "v", "track": "v-2"},
        {"off": (0, 5, 20), "source_id": "v"},
        {"off": (0, 5, 30), "source_id": "v"},
        {"off": (0, 5, 40), "source_id": "w", "track": "v-1"},
    )
    assert run(rows, within="track")[0] == {"f01": "f00"}
    assert set(run(rows, within="source")[0]) == {"f01", "f02", "f03", "f04"}
    assert set(run(rows, within="set")[0]) == {"f01", "f02", "f03", "f04", "f05"}


def test_labels_in_conflict_count_only_within_what_is_compared():
    rows = faces(
        {"source_id": "v", "track": "a", "label": "x"},
        {"off": (0, 3), "source_id": "v", "track": "a", "label": "y"},
        {"off": (0, 4, 9), "source_id": "w", "track": "b", "label": "y"},
    )
    assert run(rows, within="track")[1]["conflicts"] == [["f00", "f01", 3]]
    found = run(rows)[1]
    assert (found["conflict_count"], found["conflicts"]) == (2, [["f00", "f01", 3], ["f00", "f02", 4]])


def test_the_record_does_not_depend_on_the_order_of_the_rows():
    rows = faces({"label": "x"}, {"off": (0, 0), "label": "x"}, {"off": (0, 2), "label": "y"}, {}, {"off": (3, 5)})
    shuffled = rows.iloc[[1, 4, 2, 0, 3]].reset_index(drop=True)
    assert run(shuffled) == run(rows)
    assert run(rows)[1]["conflicts"] == [["f00", "f02", 2]]


def test_a_mirrored_copy_goes_where_mirror_images_count():
    rows = faces({}, {"mirror_of": 0, "sharpness": 1.0}, {})
    assert run(rows)[0] == {}
    found, said = run(rows, mirrored=True)
    assert (found, said["mirrored"], said["largest_diameter"]) == ({"f01": "f00"}, True, 0)
    rows.loc[2, "mirrored_hash"] = None
    with pytest.raises(UsageError, match=r"f02: expected the hash of its mirror image.*run eyeline-curate run again"):
        run(rows, mirrored=True)


def test_groups_are_told_by_their_diameters():
    rows = faces(
        {"sharpness": 900.0},
        {"off": (0, 10)},
        {"off": (0, 20, 30)},
        {"sharpness": 900.0},
        {"off": (3, 7)},
        {"sharpness": 900.0},
        {"off": (5, 7)},
        {},
    )
    said = run(rows)[1]
    assert (said["groups"], said["duplicates"], said["largest_group"], said["largest_diameter"]) == (3, 4, 3, 30)
    assert said["diameters"] == [[7, 2], [30, 1]]
    assert said["widest_groups"] == [["f00", 3, 30], ["f03", 2, 7], ["f05", 2, 7]]


def test_the_record_stays_small_however_many_faces():
    rng = np.random.default_rng(0)
    count = 3_000
    h = np.repeat(rng.integers(0, 2**64, (count // 2, 4), dtype=np.uint64), 2, axis=0)
    h[1::2] ^= np.packbits(rng.random((count // 2, 256)) < 0.05, axis=1).view(np.uint64)
    stored = hashing.to_bytes(h)
    rows = frame(
        *(
            {"face_id": f"{k:06d}", "source_id": f"{k}", "hash": stored[k], "label": "ab"[k % 3 == 0], "sharpness": 1.0}
            for k in range(count)
        )
    )
    said = run(rows)[1]
    assert said["groups"] > stages.dedup.MOST_GROUPS == len(said["widest_groups"])
    assert said["conflict_count"] >= stages.dedup.MOST_CONFLICTS == len(said["conflicts"])
    assert len(json.dumps(said)) < 60_000


def test_a_hundred_thousand_equal_crops_of_two_labels_are_two_faces_and_one_conflict():
    stored = hashing.to_bytes(np.full((1, 4), 7, np.uint64))[0]
    count = 100_000
    rows = faces({}).iloc[[0] * count].reset_index(drop=True)
    rows["face_id"] = [f"f{k:06d}" for k in range(count)]
    rows["hash"], rows["label"] = stored, ["a", "b"] * (count // 2)
    found, said = run(rows)
    assert len(found) == count - 2
    assert (said["groups"], said["conflict_count"]) == (2, 2_500_000_000)
    assert said["conflicts"] == [["f000000", "f000001", 0]]
    assert said["conflicts_among"] == "all"


def test_where_conflicts_lie_too_dense_those_between_kept_faces_are_counted(monkeypatch):
    rows = faces(*[{"label": "a"}, *[{"off": (0, 1, k), "label": "ab"[k % 2]} for k in range(12)]])
    assert run(rows)[1]["conflicts_among"] == "all"
    limited = dedup.conflicts
    monkeypatch.setattr(dedup, "conflicts", lambda *a, **k: limited(*a, **{**k, "max_pairs": 5}))
    said = run(rows)[1]
    assert (said["conflicts_among"], said["conflict_count"]) == ("kept", 1)


def test_a_set_that_grows_is_decided_as_one_made_at_once(tmp_path):
    rows = faces(*[{"off": (max(0, k - k % 3), k % 7, k)} if k % 3 else {} for k in range(60)])
    (tmp_path / "grown").mkdir()
    (tmp_path / "whole").mkdir()
    run(rows[:40], tmp_path / "grown")
    before = (tmp_path / "grown" / near_cache.NEAR_PAIRS).read_bytes()
    grown, whole = run(rows, tmp_path / "grown"), run(rows, tmp_path / "whole")
    assert grown == whole == run(rows)
    after = (tmp_path / "grown" / near_cache.NEAR_PAIRS).read_bytes()
    assert before != after == (tmp_path / "whole" / near_cache.NEAR_PAIRS).read_bytes()


def test_a_split_finds_what_it_links_in_the_file_of_the_set(tmp_path):
    rows = faces({"sharpness": 900.0}, {"off": (0, 12)}, {"off": (0, 28, 100)}, {"off": (0, 60)})
    found, said = run(rows, tmp_path, radius=None)
    assert (found, said["radius"]) == ({"f01": "f00"}, SAME_PICTURE["phash256"])
    kept = near_cache.read_neighbours(tmp_path / near_cache.NEAR_PAIRS, near_cache.search_of(Dedup()))
    assert kept is not None
    assert (kept.radius, kept.distance.tolist()) == (ONE_SIDE["phash256"], [12, 28])


def test_the_default_radius_is_that_of_the_hash_and_wider_within_a_track():
    assert Dedup().radius_bits == SAME_PICTURE["phash256"]
    assert Dedup(within="source").radius_bits == SAME_PICTURE["phash256"]
    assert Dedup(within="track").radius_bits == SAME_MOMENT["phash256"]
    assert Dedup(within="track", radius=3).radius_bits == 3
    assert Dedup(hash="phash64").radius_bits == SAME_PICTURE["phash64"]
    assert Dedup(radius=0).radius_bits == 0
    assert all(SAME_PICTURE[name] <= SAME_MOMENT[name] for name in SAME_PICTURE)


def test_a_split_links_at_least_what_may_be_a_copy_and_never_by_the_radius_of_a_track():
    assert Dedup().set_radius_bits == ONE_SIDE["phash256"] > SAME_PICTURE["phash256"]
    assert Dedup(within="track", radius=90).set_radius_bits == ONE_SIDE["phash256"]
    assert Dedup(radius=40).set_radius_bits == 40
    assert Dedup(radius=4).set_radius_bits == ONE_SIDE["phash256"]
    assert set(SAME_PICTURE) == set(SAME_MOMENT) == set(ONE_SIDE) == set(get_args(HashName))


def test_flat_crops_have_no_hash_and_are_left_alone():
    rows = faces({}, {"off": (0, 0)}, {})
    rows["hash"] = None
    assert run(rows)[0] == {}
    assert run(rows)[1]["largest_diameter"] == 0
