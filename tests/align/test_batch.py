"""The job over many pictures: its rows, what a second run keeps, and workers that die."""

import fcntl
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from align import CropSpec, EyelineError, Gates, ModelError, UsageError, load_image
from align.batch import PARTS, SCHEMA, TABLE, Recipe
from align.batch.picture import align_picture
from align.batch.workers import Crew, WorkerDiedError

from .batch_runs import bytes_of, inodes_of, run_batch, save_photos


def test_rows_stand_in_the_order_of_the_input_whatever_the_number_of_workers(photo: np.ndarray) -> None:
    save_photos(photo, "p/z.png", "p/10.png", "p/9.png")
    Image.new("RGB", (900, 700), "white").save("p/blank.png")  # takes longer than the others
    Path("p/a.jpg").write_bytes(b"")
    order = ["p/z.png", "p/blank.png", "p/9.png", "p/10.png", "p/a.jpg"]
    one = run_batch("p/z.png", "p/blank.png", "p").table
    run_batch("p/z.png", "p/blank.png", "p", out="many", workers=3)
    assert bytes_of() == bytes_of("many")
    assert one.schema.equals(SCHEMA)
    assert one["path"].to_pylist() == [*order[:3], "p/10.png", "p/a.jpg"]
    assert one["drop_reason"].to_pylist() == [None, "no_face", None, None, "corrupt"]
    assert one["width"].to_pylist() == [190, 900, 190, 190, None]
    assert one["scale"].to_pylist()[0] > 0
    assert len(set(one["fingerprint"].to_pylist())) == 5
    assert not (Path("out") / PARTS).exists()


def test_each_face_of_a_picture_has_a_row_and_a_crop(photo: np.ndarray) -> None:
    Image.fromarray(np.hstack([photo, photo, photo])).save("three.png")
    rows = run_batch("three.png").table.to_pylist()
    assert [row["face"] for row in rows] == [0, 1, 2]
    assert [row["crop"][-7:] for row in rows] == ["-00.png", "-01.png", "-02.png"]
    assert [row["box_x"] for row in rows] == sorted(row["box_x"] for row in rows)
    for row in rows:
        assert load_image(Path("out") / row["crop"]).shape == (64, 64, 3)
    central = run_batch("three.png", recipe=Recipe(crop=CropSpec(size=64), faces="central"))
    assert central.table["box_x"].to_pylist() == [rows[1]["box_x"]]
    assert central.removed == 2
    assert len(list(Path("out").glob("*.png"))) == 1


def test_a_face_that_a_gate_refuses_keeps_its_numbers_and_has_no_crop(photo: np.ndarray) -> None:
    save_photos(photo, "a.png")
    (row,) = run_batch("a.png", recipe=Recipe(gates=Gates(min_sharpness=1e6))).table.to_pylist()
    assert row["drop_reason"] == "blurred"
    assert row["sharpness"] > 0
    assert row["crop"] is None
    assert len(row["matrix"]) == 6
    assert list(Path("out").iterdir()) == [Path("out") / TABLE]


def test_names_of_any_kind_give_crops_inside_out(photo: np.ndarray) -> None:
    odd = [b"p/..png.png", b"p/two\nlines.png", b"p/caf\xe9.png", b"p/-rf.png", b"p/" + b"x" * 251 + b".png"]
    odd += [b"p/CON.png", b"p/Face.png", b"p/face.png", b"p/%2e%2e.png", b"p/$(touch gone).png"]
    save_photos(photo, *map(os.fsdecode, odd))
    table = run_batch("p").table
    assert table["drop_reason"].to_pylist() == [None] * len(odd)
    found = sorted(path.name for path in Path("out").iterdir())
    assert found == sorted([*table["crop"].to_pylist(), TABLE])
    assert len({name.casefold() for name in found}) == len(odd) + 1


def test_a_second_run_does_only_what_is_new_or_changed_or_gone(photo: np.ndarray) -> None:
    save_photos(photo, "p/1.png", "p/2.png", "p/3.bmp")
    first = run_batch("p")
    before = inodes_of()
    assert run_batch("p").kept == 3
    assert inodes_of() == before

    (Path("out") / first.table["crop"][1].as_py()).unlink()
    Image.fromarray(photo[:, ::-1]).save("p/3.bmp")  # of the same size
    save_photos(photo, "p/0.png")
    again = run_batch("p")
    assert again.kept == 1
    assert again.table["path"].to_pylist() == ["p/0.png", "p/1.png", "p/2.png", "p/3.bmp"]
    after = inodes_of()
    assert after[again.table["crop"][1].as_py()] == before[first.table["crop"][0].as_py()]
    run_batch("p", out="fresh")
    assert bytes_of() == bytes_of("fresh")


def test_copies_of_one_size_and_time_are_pictures_of_their_own(photo: np.ndarray) -> None:
    save_photos(photo, "p/1.png")
    shutil.copy2("p/1.png", "p/2.png")
    assert run_batch("p").table["path"].to_pylist() == ["p/1.png", "p/2.png"]
    again = run_batch("p")
    assert again.kept == len(again.table) == len(list(Path("out").glob("*.png"))) == 2


def test_what_failed_is_tried_again(photo: np.ndarray) -> None:
    save_photos(photo, "p/1.png")
    Path("p/2.png").symlink_to("../later.png")
    assert run_batch("p").table["drop_reason"].to_pylist() == [None, "corrupt"]
    save_photos(photo, "later.png")
    second = run_batch("p")
    assert second.kept == 1
    assert second.table["drop_reason"].to_pylist() == [None, None]


def test_another_recipe_replaces_crops_and_removes_only_ours(photo: np.ndarray) -> None:
    save_photos(photo, "p/1.png", "p/2.png")
    run_batch("p")
    mine = Path("out/holiday-0123456789abcdef-00.png")  # named as ours are, but no row names it
    mine.write_bytes(b"mine")
    Path("out/notes.txt").write_text("mine")
    changed = run_batch("p", recipe=Recipe(gates=Gates(min_sharpness=1e6)))
    assert (changed.kept, changed.removed) == (0, 2)
    assert sorted(path.name for path in Path("out").iterdir()) == [TABLE, mine.name, "notes.txt"]
    assert mine.read_bytes() == b"mine"


def test_a_hostile_table_cannot_make_us_remove_files_elsewhere(photo: np.ndarray) -> None:
    save_photos(photo, "p/1.png")
    run_batch("p")
    Path("keep-0123456789abcdef-00.png").write_bytes(b"mine")
    rows = pq.read_table(f"out/{TABLE}").to_pylist()
    for name in ("../keep-0123456789abcdef-00.png", str(Path("keep-0123456789abcdef-00.png").absolute()), "notes.txt"):
        rows.append(rows[0] | {"crop": name, "fingerprint": name})
    Path("out/notes.txt").write_text("mine")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), f"out/{TABLE}")
    assert run_batch("p").removed == 0
    assert Path("keep-0123456789abcdef-00.png").exists()
    assert Path("out/notes.txt").exists()


def test_a_table_that_is_not_ours_is_not_overwritten(photo: np.ndarray) -> None:
    save_photos(photo, "1.png")
    Path("out").mkdir()
    for content in (b"", b"text", None):
        if content is None:
            pq.write_table(pa.table({"path": ["x"]}), f"out/{TABLE}")
        else:
            Path(f"out/{TABLE}").write_bytes(content)
        before = bytes_of()
        with pytest.raises(UsageError, match=r"faces\.parquet: expected the table of an earlier run"):
            run_batch("1.png")
        assert bytes_of() == before


def test_a_table_of_an_older_version_is_replaced_with_its_crops(photo: np.ndarray) -> None:
    save_photos(photo, "p/1.png")
    run_batch("p", out="fresh")
    Path("out").mkdir()
    Path("out/1-01234567-00.png").write_bytes(b"old")
    old = {"path": ["p/1.png"], "face": [0], "crop": ["1-01234567-00.png"], "drop_reason": [None]}
    pq.write_table(pa.table(old), f"out/{TABLE}")
    assert run_batch("p").removed == 1
    assert bytes_of() == bytes_of("fresh")


def test_the_result_of_other_pictures_is_not_replaced(photo: np.ndarray) -> None:
    save_photos(photo, "1.png", "2.png")
    run_batch("1.png")
    before = bytes_of()
    with pytest.raises(UsageError, match=r"found a run on others, 1\.png among them"):
        run_batch("2.png")
    assert bytes_of() == before


def test_two_runs_into_one_folder_are_refused(photo: np.ndarray) -> None:
    save_photos(photo, "1.png")
    Path("out").mkdir()
    handle = os.open("out", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match=r"out: expected a free folder \(another run is at work in it\)"):
        run_batch("1.png")
    os.close(handle)
    assert len(run_batch("1.png").table) == 1


def test_the_next_run_waits_for_the_workers_of_a_killed_one(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    save_photos(photo, "1.png")
    Path("out", PARTS).mkdir(parents=True)
    handle = os.open(Path("out", PARTS), os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    monkeypatch.setattr("align.batch.workers._WAIT_FOR_WORKERS_S", 0.2)
    with pytest.raises(UsageError, match="a worker of an earlier run is still at work in it"):
        run_batch("1.png")
    os.close(handle)
    assert len(run_batch("1.png").table) == 1


def test_a_missing_model_is_one_error_and_leaves_nothing(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    save_photos(photo, "1.png")
    Path("models").mkdir()
    Path("models/shape_predictor_5_face_landmarks.dat").write_bytes(b"no model")
    monkeypatch.setenv("EYELINE_MODELS", str(Path("models").absolute()))
    with pytest.raises(ModelError, match="expected sha256"):
        run_batch("1.png")
    assert list(Path("out").iterdir()) == []


def test_a_part_cut_short_by_a_power_failure_is_done_again(photo: np.ndarray) -> None:
    save_photos(photo, "p/1.png")
    run_batch("p", out="fresh")
    Path("out", PARTS).mkdir(parents=True)
    Path("out", PARTS, "00000000.parquet").write_bytes(b"PAR1")
    Path("out", PARTS, ".0123.1.tmp.png").write_bytes(b"half")
    Path("out", PARTS, "00000001.parquet.tmp").write_bytes(b"half")
    run_batch("p")
    assert bytes_of() == bytes_of("fresh")


# Workers that die. The functions below run in workers, which import this module.


def _die_at(number: int, marker: str | None) -> int:
    """Kill the process at 3 always, and at 5 where `marker` does not exist yet."""
    if number == 3 or (number == 5 and marker and not Path(marker).exists()):
        if marker:
            Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * 10


def test_a_task_whose_worker_dies_is_tried_once_more_and_the_rest_goes_on(tmp_path: Path) -> None:
    marker = str(tmp_path / "died")
    with Crew(tmp_path, 2) as crew:
        found = dict(crew.map(_die_at, [(number, marker if number == 5 else None) for number in range(8)]))
    assert isinstance(found.pop(3), WorkerDiedError)
    assert found == {number: number * 10 for number in range(8) if number != 3}


def test_a_worker_that_cannot_start_is_one_error(tmp_path: Path) -> None:
    with Crew(tmp_path, 1) as crew, pytest.raises(EyelineError, match="expected to start"):
        crew.call(_die_at, 3, None)


def _align_or_die(picture: object, *rest: object) -> list[dict]:
    if picture.path.name == "2.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return align_picture(picture, *rest)


def test_a_picture_that_kills_its_worker_is_recorded(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    save_photos(photo, "p/1.png", "p/2.png", "p/3.png")
    with monkeypatch.context() as patched:
        patched.setattr("align.batch.job.align_picture", _align_or_die)
        table = run_batch("p", workers=2).table
    assert table["drop_reason"].to_pylist() == [None, "corrupt", None]
    assert "2.png: expected a picture that can be worked on (the worker process died twice" in table["error"][1].as_py()
    assert run_batch("p").kept == 2


# Kills, as they come to a user: the command in a process of its own.
