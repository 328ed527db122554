"""What the stages decide, on rows made by hand: who is near whom, and who stays on one side."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from curate import hashing, stages
from curate.config import Dataset, Dedup, Source, Split
from curate.manifest import schema, to_pandas
from curate.outcome import count_rows

OUT = Path("none of these stages looks into the folder")


def _rows(*given: dict) -> pd.DataFrame:
    """Rows of single pictures with far-apart hashes, but where `near` names the row of which it is 10 bits away."""
    rng = np.random.default_rng(0)
    h = rng.integers(0, 2**64, (len(given), 4), dtype=np.uint64)
    for row, values in enumerate(given):
        if "near" in values:
            h[row] = h[values["near"]] ^ np.array([0, 0, 0, 1023], np.uint64)
    made = [
        {
            "face_id": f"f{row}", "source": f"s{row}", "source_id": f"s{row}", "frame": 0, "sharpness": 100.0 - row,
            "hash": encoded, **{key: value for key, value in values.items() if key != "near"},
        }
        for row, (values, encoded) in enumerate(zip(given, hashing.to_bytes(h), strict=True))
    ]  # fmt: skip
    return to_pandas(pa.Table.from_pylist(made, schema=schema()))


def _dataset(**settings: object) -> Dataset:
    return Dataset(source=Source("images", "a"), **settings)


def test_the_sharpest_represents_and_what_was_dropped_before_stays_dropped() -> None:
    rows = _rows({}, {"near": 0, "sharpness": 300.0}, {"drop_reason": "blurred", "hash": None})
    rows, said = stages.find_duplicates(rows, _dataset(), OUT)
    assert rows["duplicate_of"].tolist()[0] == "f1"
    assert rows["drop_reason"].isna().tolist() == [False, True, False]
    assert rows["drop_reason"].tolist()[2] == "blurred"
    assert (said["groups"], said["duplicates"]) == (1, 1)


def test_near_pictures_of_two_labels_are_both_kept_and_listed() -> None:
    rows = _rows({"label": "neutral"}, {"near": 0, "label": "happy"}, {"near": 0, "label": "happy", "sharpness": 1.0})
    rows, said = stages.find_duplicates(rows, _dataset(), OUT)
    assert count_rows(rows) == {"kept": 2, "duplicate": 1}
    assert rows["duplicate_of"].tolist()[2] == "f1"
    assert said["conflict_count"] == 2
    assert said["conflicts"][0] == ["f0", "f1", 10]


def test_within_a_source_leaves_other_sources_alone() -> None:
    rows = _rows({}, {"near": 0}, {"near": 0, "source_id": "s0"})
    rows, _ = stages.find_duplicates(rows, _dataset(dedup=Dedup(within="source")), OUT)
    assert rows["drop_reason"].isna().tolist() == [True, True, False]


def _together(rows: pd.DataFrame, **settings: object) -> set[frozenset[int]]:
    groups = stages.split_groups(rows, _dataset(**settings))
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in set(groups.tolist())}


def test_what_shares_source_person_or_moment_is_one_group() -> None:
    rows = _rows(
        {"source_id": "video", "subject": "anna"},
        {"source_id": "video"},
        {"subject": "anna"},
        {"label": "x"},
        {"near": 3, "label": "y"},
        {"drop_reason": "duplicate", "duplicate_of": "f3", "source_id": "other"},
        {"source_id": "other"},
        {},
    )
    assert _together(rows) == {frozenset({0, 1, 2}), frozenset({3, 4, 5, 6}), frozenset({7})}
    by_source = _together(rows, split=Split(by="source"))
    assert by_source == {frozenset({0, 1}), frozenset({2}), frozenset({3, 4, 5, 6}), frozenset({7})}


def test_a_split_touches_kept_rows_alone() -> None:
    rows = _rows(*[{"label": "x"}] * 20, {"drop_reason": "blurred"})
    rows, said = stages.assign_splits(rows, _dataset(split=Split(val=0.25, test=0.25)), OUT)
    assert rows["split"].value_counts().to_dict() == {"train": 10, "val": 5, "test": 5}
    assert pd.isna(rows["split"].iloc[20])
    assert said["got"] == {"train": 0.5, "val": 0.25, "test": 0.25}
