import numpy as np
import pandas as pd
import pytest

from curate.config import Sample
from curate.novelty import drop_redundant, evenly_spread, most_different

MATRIX = [2.0, 0.0, 5.0, 0.0, 2.0, 7.0]
EYES = [10.0, 20.0, 30.0, 20.0]


def _track(offsets: list[float], name: str | None = "t", bits: list[int] | None = None) -> pd.DataFrame:
    """Faces whose fifth point stands `offset` eye distances lower, and whose hashes have so many bits set."""
    rows = []
    for number, offset in enumerate(offsets):
        points = [10.0, 20.0, 15.0, 20.0, 30.0, 20.0, 25.0, 20.0, 20.0, 30.0 + 20.0 * offset]
        set_bits = [1] * (bits or [0] * len(offsets))[number]
        value = np.packbits(np.array([*set_bits, *[0] * (256 - len(set_bits))], np.uint8)).tobytes()
        rows.append(
            {"face_id": f"{name}-{number:04d}", "track": name, "landmarks": points, "matrix": MATRIX, "eyes": EYES}
            | {"hash": value, "sharpness": 100.0 - number, "drop_reason": None}
        )
    return pd.DataFrame(rows)


def test_the_most_different_expressions_are_kept() -> None:
    assert most_different(_track([0.0, 0.01, 0.02, 0.5, 0.51, -0.5]), 3).tolist() == [0, 4, 5]


def test_a_changed_picture_counts_where_the_points_stayed() -> None:
    assert most_different(_track([0.0] * 4, bits=[0, 1, 200, 100]), 3).tolist() == [0, 2, 3]


def test_no_face_is_farther_from_the_chosen_than_they_are_apart() -> None:
    offsets = np.random.default_rng(0).normal(0, 0.3, 60).tolist()
    chosen = most_different(_track(offsets), 8)
    places = np.array(offsets)
    apart = np.abs(places[chosen][:, None] - places[chosen])[~np.eye(8, dtype=bool)].min()
    assert np.abs(places[:, None] - places[chosen]).min(axis=1).max() <= apart + 1e-6


def test_the_sharpest_of_each_stretch_of_time_is_kept() -> None:
    track = _track([0.0] * 9).assign(sharpness=[1, 9, 1, 1, 1, 9, 9, 1, 1])
    assert evenly_spread(track, 3).tolist() == [1, 5, 6]


@pytest.mark.parametrize("sample", [Sample(novel=2), Sample(per_scene=2)], ids=["novel", "per_scene"])
def test_each_track_keeps_its_budget_and_what_has_no_track_or_is_dropped_is_left_alone(sample: Sample) -> None:
    rows = pd.concat(
        [_track([0.0, 0.1, 0.5, 0.9], "a"), _track([0.0], "b"), _track([0.0] * 3, None)], ignore_index=True
    )
    rows.loc[0, "drop_reason"] = "blurred"
    found = drop_redundant(rows, sample)
    assert found["drop_reason"].eq("redundant").sum() == 1
    assert found.loc[[0, 4, 5, 6, 7], "drop_reason"].tolist() == ["blurred", None, None, None, None]
    shuffled = drop_redundant(rows.sample(frac=1, random_state=3), sample)
    assert shuffled.sort_index()["drop_reason"].equals(found["drop_reason"])
    assert rows["drop_reason"].eq("redundant").sum() == 0  # the rows that were given are as they were


def test_without_a_budget_all_stay() -> None:
    rows = _track([0.0, 0.1])
    assert drop_redundant(rows, Sample()) is rows
