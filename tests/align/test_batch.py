"""The job over many pictures: its rows, what a second run keeps, and what kills and full disks leave behind."""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from align import CropSpec, EyelineError, Gates, ModelError, UsageError, load_image
from align.batch import PARTS, SCHEMA, TABLE, Job, Outcome, Recipe, run
from align.batch.picture import align_picture
from align.batch.workers import Crew, WorkerDiedError
from align.inputs import list_pictures

SMALL = Recipe(crop=CropSpec(size=64))


@pytest.fixture
def face(astronaut: np.ndarray) -> np.ndarray:
    """uint8 [190, 190, 3], little more than a face, which is found quickly."""
    return np.ascontiguousarray(astronaut[10:200, 130:320])


def _save(face: np.ndarray, *names: str) -> None:
    """Save a face under each name, a little darker each time."""
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((face * (1 - 0.02 * number)).astype(np.uint8)).save(name)


def _run(*paths: str, recipe: Recipe = SMALL, out: str = "out", workers: int = 0) -> Outcome:
    return run(Job(list_pictures(paths, Path(out))[0], recipe, Path(out), workers), lambda _: None)


def _bytes(out: str = "out") -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in Path(out).rglob("*") if path.is_file()}


def _stamps(out: str = "out") -> dict[str, int]:
    """Tell which crops were written anew."""
    return {path.name: path.stat().st_ino for path in sorted(Path(out).glob("*.png"))}


def test_rows_stand_in_the_order_of_the_input_whatever_the_number_of_workers(face: np.ndarray) -> None:
    _save(face, "p/z.png", "p/10.png", "p/9.png")
    Image.new("RGB", (900, 700), "white").save("p/blank.png")  # takes longer than the others
    Path("p/a.jpg").write_bytes(b"")
    order = ["p/z.png", "p/blank.png", "p/9.png", "p/10.png", "p/a.jpg"]
    one = _run("p/z.png", "p/blank.png", "p").table
    _run("p/z.png", "p/blank.png", "p", out="many", workers=3)
    assert _bytes() == _bytes("many")
    assert one.schema.equals(SCHEMA)
    assert one["path"].to_pylist() == [*order[:3], "p/10.png", "p/a.jpg"]
    assert one["drop_reason"].to_pylist() == [None, "no_face", None, None, "corrupt"]
    assert one["width"].to_pylist() == [190, 900, 190, 190, None]
    assert one["scale"].to_pylist()[0] > 0
    assert len(set(one["fingerprint"].to_pylist())) == 5
    assert not (Path("out") / PARTS).exists()


def test_each_face_of_a_picture_has_a_row_and_a_crop(face: np.ndarray) -> None:
    Image.fromarray(np.hstack([face, face, face])).save("three.png")
    rows = _run("three.png").table.to_pylist()
    assert [row["face"] for row in rows] == [0, 1, 2]
    assert [row["crop"][-7:] for row in rows] == ["-00.png", "-01.png", "-02.png"]
    assert [row["box_x"] for row in rows] == sorted(row["box_x"] for row in rows)
    for row in rows:
        assert load_image(Path("out") / row["crop"]).shape == (64, 64, 3)
    central = _run("three.png", recipe=Recipe(crop=CropSpec(size=64), faces="central"))
    assert central.table["box_x"].to_pylist() == [rows[1]["box_x"]]
    assert central.removed == 2
    assert len(list(Path("out").glob("*.png"))) == 1


def test_a_face_that_a_gate_refuses_keeps_its_numbers_and_has_no_crop(face: np.ndarray) -> None:
    _save(face, "a.png")
    (row,) = _run("a.png", recipe=Recipe(gates=Gates(min_sharpness=1e6))).table.to_pylist()
    assert row["drop_reason"] == "blurred"
    assert row["sharpness"] > 0
    assert row["crop"] is None
    assert len(row["matrix"]) == 6
    assert list(Path("out").iterdir()) == [Path("out") / TABLE]


def test_names_of_any_kind_give_crops_inside_out(face: np.ndarray) -> None:
    odd = [b"p/..png.png", b"p/two\nlines.png", b"p/caf\xe9.png", b"p/-rf.png", b"p/" + b"x" * 251 + b".png"]
    odd += [b"p/CON.png", b"p/Face.png", b"p/face.png", b"p/%2e%2e.png", b"p/$(touch gone).png"]
    _save(face, *map(os.fsdecode, odd))
    table = _run("p").table
    assert table["drop_reason"].to_pylist() == [None] * len(odd)
    found = sorted(path.name for path in Path("out").iterdir())
    assert found == sorted([*table["crop"].to_pylist(), TABLE])
    assert len({name.casefold() for name in found}) == len(odd) + 1


def test_a_second_run_does_only_what_is_new_or_changed_or_gone(face: np.ndarray) -> None:
    _save(face, "p/1.png", "p/2.png", "p/3.bmp")
    first = _run("p")
    before = _stamps()
    assert _run("p").kept == 3
    assert _stamps() == before

    (Path("out") / first.table["crop"][1].as_py()).unlink()
    Image.fromarray(face[:, ::-1]).save("p/3.bmp")  # of the same size
    _save(face, "p/0.png")
    again = _run("p")
    assert again.kept == 1
    assert again.table["path"].to_pylist() == ["p/0.png", "p/1.png", "p/2.png", "p/3.bmp"]
    after = _stamps()
    assert after[again.table["crop"][1].as_py()] == before[first.table["crop"][0].as_py()]
    _run("p", out="fresh")
    assert _bytes() == _bytes("fresh")


def test_copies_of_one_size_and_time_are_pictures_of_their_own(face: np.ndarray) -> None:
    _save(face, "p/1.png")
    shutil.copy2("p/1.png", "p/2.png")
    assert _run("p").table["path"].to_pylist() == ["p/1.png", "p/2.png"]
    again = _run("p")
    assert again.kept == len(again.table) == len(list(Path("out").glob("*.png"))) == 2


def test_what_failed_is_tried_again(face: np.ndarray) -> None:
    _save(face, "p/1.png")
    Path("p/2.png").symlink_to("../later.png")
    assert _run("p").table["drop_reason"].to_pylist() == [None, "corrupt"]
    _save(face, "later.png")
    second = _run("p")
    assert second.kept == 1
    assert second.table["drop_reason"].to_pylist() == [None, None]


def test_another_recipe_replaces_crops_and_removes_only_ours(face: np.ndarray) -> None:
    _save(face, "p/1.png", "p/2.png")
    _run("p")
    mine = Path("out/holiday-0123456789abcdef-00.png")  # named as ours are, but no row names it
    mine.write_bytes(b"mine")
    Path("out/notes.txt").write_text("mine")
    changed = _run("p", recipe=Recipe(gates=Gates(min_sharpness=1e6)))
    assert (changed.kept, changed.removed) == (0, 2)
    assert sorted(path.name for path in Path("out").iterdir()) == [TABLE, mine.name, "notes.txt"]
    assert mine.read_bytes() == b"mine"


def test_a_hostile_table_cannot_make_us_remove_files_elsewhere(face: np.ndarray) -> None:
    _save(face, "p/1.png")
    _run("p")
    Path("keep-0123456789abcdef-00.png").write_bytes(b"mine")
    rows = pq.read_table(f"out/{TABLE}").to_pylist()
    for name in ("../keep-0123456789abcdef-00.png", str(Path("keep-0123456789abcdef-00.png").absolute()), "notes.txt"):
        rows.append(rows[0] | {"crop": name, "fingerprint": name})
    Path("out/notes.txt").write_text("mine")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), f"out/{TABLE}")
    assert _run("p").removed == 0
    assert Path("keep-0123456789abcdef-00.png").exists()
    assert Path("out/notes.txt").exists()


def test_a_table_that_is_not_ours_is_not_overwritten(face: np.ndarray) -> None:
    _save(face, "1.png")
    Path("out").mkdir()
    for content in (b"", b"text", None):
        if content is None:
            pq.write_table(pa.table({"path": ["x"]}), f"out/{TABLE}")
        else:
            Path(f"out/{TABLE}").write_bytes(content)
        before = _bytes()
        with pytest.raises(UsageError, match=r"faces\.parquet: expected the table of an earlier run"):
            _run("1.png")
        assert _bytes() == before


def test_a_table_of_an_older_version_is_replaced_with_its_crops(face: np.ndarray) -> None:
    _save(face, "p/1.png")
    _run("p", out="fresh")
    Path("out").mkdir()
    Path("out/1-01234567-00.png").write_bytes(b"old")
    old = {"path": ["p/1.png"], "face": [0], "crop": ["1-01234567-00.png"], "drop_reason": [None]}
    pq.write_table(pa.table(old), f"out/{TABLE}")
    assert _run("p").removed == 1
    assert _bytes() == _bytes("fresh")


def test_the_result_of_other_pictures_is_not_replaced(face: np.ndarray) -> None:
    _save(face, "1.png", "2.png")
    _run("1.png")
    before = _bytes()
    with pytest.raises(UsageError, match=r"found a run on others, 1\.png among them"):
        _run("2.png")
    assert _bytes() == before


def test_two_runs_into_one_folder_are_refused(face: np.ndarray) -> None:
    _save(face, "1.png")
    Path("out").mkdir()
    handle = os.open("out", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match=r"out: expected a free folder \(another run is at work in it\)"):
        _run("1.png")
    os.close(handle)
    assert len(_run("1.png").table) == 1


def test_the_next_run_waits_for_the_workers_of_a_killed_one(face: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(face, "1.png")
    Path("out", PARTS).mkdir(parents=True)
    handle = os.open(Path("out", PARTS), os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    monkeypatch.setattr("align.batch.workers._WAIT_FOR_WORKERS_S", 0.2)
    with pytest.raises(UsageError, match="a worker of an earlier run is still at work in it"):
        _run("1.png")
    os.close(handle)
    assert len(_run("1.png").table) == 1


def test_a_missing_model_is_one_error_and_leaves_nothing(face: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(face, "1.png")
    Path("models").mkdir()
    Path("models/shape_predictor_5_face_landmarks.dat").write_bytes(b"no model")
    monkeypatch.setenv("EYELINE_MODELS", str(Path("models").absolute()))
    with pytest.raises(ModelError, match="expected sha256"):
        _run("1.png")
    assert list(Path("out").iterdir()) == []


def test_a_part_cut_short_by_a_power_failure_is_done_again(face: np.ndarray) -> None:
    _save(face, "p/1.png")
    _run("p", out="fresh")
    Path("out", PARTS).mkdir(parents=True)
    Path("out", PARTS, "00000000.parquet").write_bytes(b"PAR1")
    Path("out", PARTS, ".0123.1.tmp.png").write_bytes(b"half")
    Path("out", PARTS, "00000001.parquet.tmp").write_bytes(b"half")
    _run("p")
    assert _bytes() == _bytes("fresh")


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


def test_a_picture_that_kills_its_worker_is_recorded(face: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(face, "p/1.png", "p/2.png", "p/3.png")
    with monkeypatch.context() as patched:
        patched.setattr("align.batch.job.align_picture", _align_or_die)
        table = _run("p", workers=2).table
    assert table["drop_reason"].to_pylist() == [None, "corrupt", None]
    assert "2.png: expected a picture that can be worked on (the worker process died twice" in table["error"][1].as_py()
    assert _run("p").kept == 2


# Kills, as they come to a user: the command in a process of its own.

_COMMAND = (
    "import sys, align.batch.results as r; r.FLUSH_PICTURES = 3\n"
    "from align.cli import main\n"
    "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
)
_DIE_AT_EVENT = """
import os, signal, sys
from pathlib import Path
left, onto = 0, ""
def hook(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        left -= not onto or (event == "os.rename" and Path(arguments[1]).match(onto))
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
if __name__ == '__main__':  # not in the workers
    number, _, onto = sys.argv.pop(1).partition(":")
    left = int(number)
    sys.addaudithook(hook)
"""


def _start(*arguments: str, code: str = _COMMAND, **options: object) -> subprocess.Popen[str]:
    script = Path("command.py")
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options,
    )  # fmt: skip


def _children(pid: int) -> list[int]:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in found]


def _wait_until(what: object, limit_s: float = 20.0) -> None:
    until = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def _many(face: np.ndarray, count: int) -> list[str]:
    """Save pictures, among them two that fail or show nothing; give the command that aligns them."""
    _save(face, *(f"p/{number}.png" for number in range(count)))
    Image.new("RGB", (64, 64), "white").save("p/blank.png")
    Path("p/cut.jpg").write_bytes(b"\xff\xd8\xff")
    return ["run", "p", "--size", "64", "--out", "out", "--json"]


def _kill_at_random(face: np.ndarray, kills: int, seed: int) -> None:
    command = _many(face, 16)
    _run("p", out="whole")
    random = np.random.default_rng(seed)
    for number in range(kills):
        workers = str(1 + number % 2)
        process = _start(*command, "--workers", workers)
        _wait_until(Path("out", PARTS).exists)
        time.sleep(random.uniform(0, 1.5))
        process.kill()
        process.communicate()
    process = _start(*command)
    _, error = process.communicate()
    assert process.returncode == 3, error
    assert _bytes() == _bytes("whole")


def test_five_kills_at_random_moments_change_nothing(face: np.ndarray) -> None:
    _kill_at_random(face, kills=5, seed=int.from_bytes(os.urandom(4)))


@pytest.mark.slow
def test_thirty_kills_at_random_moments_change_nothing(face: np.ndarray) -> None:
    _kill_at_random(face, kills=30, seed=int.from_bytes(os.urandom(4)))


def _kill_at_events(face: np.ndarray, events: Iterable[str]) -> None:
    """Replace the result of another recipe by runs that kill themselves before a step, and one that does not."""
    command = _many(face, 5)
    _run("p", out="whole")
    _run("p", recipe=Recipe(crop=CropSpec("arcface", 64)))
    killed = 0
    for event in events:
        process = _start(event, *command, code=_DIE_AT_EVENT + _COMMAND)
        process.communicate()
        assert process.returncode in (3, -signal.SIGKILL)
        killed += process.returncode != 3
    assert killed
    _start(*command).communicate()
    assert _bytes() == _bytes("whole")


@pytest.mark.parametrize("event", ["0:out/*.png", "0:out/faces.parquet"])
def test_a_kill_before_a_step_of_a_run_that_replaces_another_changes_nothing(face: np.ndarray, event: str) -> None:
    _kill_at_events(face, [event])


@pytest.mark.slow
def test_kills_before_each_step_of_a_run_that_replaces_another_change_nothing(face: np.ndarray) -> None:
    _kill_at_events(face, [str(number) for number in range(30)])


def test_going_back_to_a_recipe_after_a_killed_run_of_another_gives_its_own_crops(face: np.ndarray) -> None:
    command = _many(face, 6)
    _run("p")
    before = _bytes()
    process = _start(*command, "--border", "reflect", "--template", "arcface", "--workers", "2")
    _wait_until(lambda: any(Path("out", PARTS).glob("*.parquet")))
    process.kill()
    process.communicate()
    assert _bytes() != before
    _run("p")
    assert _bytes() == before


def test_workers_die_with_the_run_that_started_them(face: np.ndarray) -> None:
    command = _many(face, 20)
    process = _start(*command, "--workers", "2")
    _wait_until(lambda: any(Path("out", PARTS).glob("*.parquet")))
    workers = _children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    _wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 5.0)


def test_a_worker_killed_from_outside_costs_nothing(face: np.ndarray) -> None:
    command = _many(face, 12)
    _run("p", out="whole")
    process = _start(*command, "--workers", "2")
    _wait_until(lambda: any(Path("out").glob("*.png")))
    for worker in _children(process.pid):
        if "spawn_main" in Path(f"/proc/{worker}/cmdline").read_text():
            os.kill(worker, signal.SIGKILL)
    _, error = process.communicate()
    assert process.returncode == 3, error
    assert "Traceback" not in error
    assert _bytes() == _bytes("whole")


def test_ctrl_c_stops_with_one_sentence_and_keeps_what_is_done(face: np.ndarray) -> None:
    command = _many(face, 40)
    process = _start(
        *command, "--workers", "2", start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    _wait_until(lambda: any(Path("out").glob("*.png")))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers as well
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    assert error.strip().splitlines()[-1] == "stopped; run the same command again"
    assert "Traceback" not in error
    outcome = _run("p")
    assert 0 < outcome.kept < 40
    _run("p", out="whole")
    assert _bytes() == _bytes("whole")


def test_a_full_disk_is_one_sentence_and_running_again_goes_on(face: np.ndarray) -> None:
    command = _many(face, 6)

    def bound_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    process = _start(*command, preexec_fn=bound_files)
    _, error = process.communicate()
    assert process.returncode == 1
    assert "out: expected room for crops and rows (File too large); make room, then run the same command" in error
    assert "Traceback" not in error
    _run("p")
    _run("p", out="whole")
    assert _bytes() == _bytes("whole")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_small_disk_that_fills_up_is_one_sentence(face: np.ndarray) -> None:
    command = _many(face, 20)
    Path("out").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", "out"], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        process = _start(*command)
        _, error = process.communicate()
        assert process.returncode == 1
        assert "out: expected room for crops and rows (No space left on device)" in error
        assert "Traceback" not in error
        subprocess.run(["mount", "-o", "remount,size=10m", "out"], check=True)
        outcome = _run("p")
        assert len(outcome.table) == 22
        _run("p", out="whole")
        assert _bytes() == _bytes("whole")
    finally:
        subprocess.run(["umount", "out"], check=True)
