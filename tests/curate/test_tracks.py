import numpy as np
import pandas as pd
import pyarrow as pa

from curate.config import Tracking
from curate.manifest import schema, to_pandas
from curate.tracks import assign_tracks

RNG = np.random.default_rng(0)
ANNE, BERT = RNG.bytes(32), RNG.bytes(32)


def _rows(*frames: list[float] | None, cuts: tuple[int, ...] = (), hashes: dict[int, bytes] | None = None):
    """A frame each: the left edges of its faces, 100 px wide; [] has no face; None was not looked at."""
    made = []
    for frame, edges in enumerate(frames):
        if edges is None:
            continue
        base = {"source_id": "s", "frame": frame, "pts": frame, "scene_cut": frame in cuts}
        shown = {
            "box_y": 0.0,
            "box_w": 100.0,
            "box_h": 100.0,
            "eyes": [0.0] * 4,
            "hash": (hashes or {}).get(frame, ANNE),
        }
        faces = [{"box_x": x} | shown for x in edges]
        made += [base | {"face_id": f"s-{frame:08d}-{n:02d}"} | face for n, face in enumerate(faces or [{}])]
    return to_pandas(pa.Table.from_pylist(made, schema=schema()))


def _tracks(rows: pd.DataFrame, **tracking: object) -> list[str | None]:
    return [None if name is None else name.removeprefix("s-000") for name in assign_tracks(rows, Tracking(**tracking))]


def test_faces_that_move_keep_their_tracks_and_a_third_gets_its_own() -> None:
    assert _tracks(_rows([0, 500], [30, 470], [60, 440], [90, 300, 410])) == list("010101021")


def test_two_faces_that_stand_close_go_to_the_one_that_overlaps_most() -> None:
    assert _tracks(_rows([0, 60], [55, 5])) == ["0", "1", "1", "0"]


def test_a_gap_is_bridged_up_to_its_length_and_frames_without_a_face_count() -> None:
    assert _tracks(_rows([0], [], [], [0]), gap=2) == ["0", None, None, "0"]
    assert _tracks(_rows([0], [], [], [0]), gap=1) == ["0", None, None, "1"]


def test_frames_that_were_not_looked_at_are_no_gap() -> None:
    assert _tracks(_rows([0], *[None] * 50, [0]), gap=0) == ["0", "0"]


def test_little_overlap_ends_a_track() -> None:
    assert _tracks(_rows([0], [40]), overlap=0.4) == ["0", "0"]
    assert _tracks(_rows([0], [45]), overlap=0.4) == ["0", "1"]


def test_a_change_of_scene_ends_all_tracks() -> None:
    assert _tracks(_rows([0, 500], [0, 500], cuts=(1,))) == ["0", "1", "2", "3"]


def test_another_picture_in_the_same_place_is_another_track() -> None:
    assert _tracks(_rows([0], [0], [0], hashes={1: BERT, 2: BERT})) == ["0", "1", "1"]


def test_pictures_have_no_track_and_the_order_of_rows_does_not_matter() -> None:
    rows = _rows([0, 500], [30, 470], [60, 440])
    shuffled = rows.sample(frac=1, random_state=1)
    assert assign_tracks(shuffled, Tracking()).tolist() == [assign_tracks(rows, Tracking())[i] for i in shuffled.index]
    rows["pts"] = pd.array([None] * len(rows), "Int64")
    assert _tracks(rows) == [None] * 6


def test_a_hundred_thousand_faces_take_seconds() -> None:
    import time

    rows = _rows(*[[0.0, 500.0]] * 20_000)
    started = time.process_time()
    assert len(set(assign_tracks(rows, Tracking()))) == 2
    assert time.process_time() - started < 8
