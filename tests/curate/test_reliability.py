"""What goes wrong while a set is made: workers that die or hang, sources that change, damaged files, a full disk."""

import io
import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from align import WorkerDiedError
from curate import ingest
from curate.cli import main
from curate.engine import ENGINES
from curate.outcome import FrameCounts, count_rows
from curate.registry import load_dataset
from curate.sources import list_units
from curate.watchdog import Watchdog
from tests.curate.small import run_small, snapshot
from tests.videos import encode, shorten

ENGINE_NAMES = ["local", pytest.param("ray", marks=pytest.mark.slow)]


def _die_at(task: tuple[int, str], folder: Path) -> int:
    """Die at task 2 always, and at task 1 the first time."""
    number, _ = task
    once = folder / f"died-{number}"
    if number == 2 or (number == 1 and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * 10


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_a_worker_that_is_killed_is_tried_again_and_the_others_go_on(engine: str, tmp_path: Path, monkeypatch) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="the extra ray is not installed")
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    tasks = [(number, "x") for number in range(5)]
    results = dict(ENGINES[engine](partial(_die_at, folder=tmp_path), tasks, 2, tmp_path))
    assert isinstance(results.pop(2), WorkerDiedError)
    assert results == {0: 0, 1: 10, 3: 30, 4: 40}


HANGING = """
import time
from curate.watchdog import Watchdog
dog = Watchdog({patience})
for _ in range({beats}):
    dog.beat()
    time.sleep(0.05)
{after}
"""


def _watched(patience: float | None, beats: int, after: str) -> tuple[int, float]:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGING.format(patience=patience, beats=beats, after=after)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, time.monotonic() - started


def test_a_process_that_hangs_is_ended_and_one_that_works_is_not() -> None:
    code, spent = _watched(1.0, 3, "while True: pass")  # a loop that never gives way
    assert code == 1
    assert spent < 20
    assert _watched(1.0, 40, "dog.rest(); time.sleep(1.5)")[0] == 0
    assert _watched(None, 2, "time.sleep(0.2)")[0] == 0
    Watchdog(None).rest()


def _photos(folder: Path, astronaut: np.ndarray, count: int = 4) -> None:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(np.roll(astronaut[:256, 80:336], number, axis=1)).save(folder / f"{number}.png")


def test_the_item_that_kills_its_process_is_left_out_and_the_rest_of_its_unit_is_read(tmp_path, astronaut) -> None:
    _photos(tmp_path / "photos", astronaut)
    (tmp_path / "datasets.toml").write_text('[d]\nsource = { kind = "images", path = "photos" }\n')
    dataset = load_dataset("d", tmp_path / "datasets.toml")
    out = tmp_path / "out"
    (unit,) = list_units(dataset, tmp_path, out)
    (out / "parts").mkdir(parents=True)
    task = ingest.Task(unit, "print")
    (out / "parts" / f".{unit.unit_id}.at").write_text(unit.items[2].source_id)  # as a killed process leaves it
    task = ingest.without_deadly_item(task, out)
    record = ingest.run_unit(task, dataset, "d", out)
    assert record.frames == FrameCounts(decoded=4, with_rows=4)
    assert record.errors == ("photos/2.png: the process that read it died twice, or hung; it is left out",)
    rows = curate.manifest.assemble(out, [unit.unit_id])
    assert count_rows(rows) == {"kept": 3, "corrupt": 1}
    assert rows["source"][rows["drop_reason"].eq("corrupt")].tolist() == ["photos/2.png"]
    assert not list((out / "parts").glob(".*"))


def test_a_unit_that_died_before_it_said_where_loses_one_item_after_the_other(tmp_path, astronaut) -> None:
    _photos(tmp_path / "photos", astronaut, 2)
    (tmp_path / "datasets.toml").write_text('[d]\nsource = { kind = "images", path = "photos" }\n')
    (unit,) = list_units(load_dataset("d", tmp_path / "datasets.toml"), tmp_path, tmp_path / "out")
    (tmp_path / "out" / "parts").mkdir(parents=True)
    task = ingest.Task(unit, "print")
    for count in (1, 2):
        task = ingest.without_deadly_item(task, tmp_path / "out")
        assert len(task.given_up) == count
    with pytest.raises(curate.pipeline.EyelineError, match="the process that writes its part dies"):
        ingest.without_deadly_item(task, tmp_path / "out")


def test_what_failed_is_done_again_only_when_it_is_asked_for(
    tmp_path: Path, astronaut: np.ndarray, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _photos(tmp_path / "photos", astronaut)
    whole = (tmp_path / "photos" / "1.png").read_bytes()
    stamp = (tmp_path / "photos" / "1.png").stat()
    (tmp_path / "photos" / "1.png").write_bytes(bytes(len(whole)))
    os.utime(tmp_path / "photos" / "1.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (tmp_path / "datasets.toml").write_text(
        '[d]\nsource = { kind = "images", path = "photos" }\nsplit = { val = 0, test = 0 }\n'
    )
    assert main(["run", "d", "--out", "x"]) == 3
    (tmp_path / "photos" / "1.png").write_bytes(whole)  # the disk was at fault: name, size and time are the same
    os.utime(tmp_path / "photos" / "1.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert main(["run", "d", "--out", "x"]) == 3
    assert main(["run", "d", "--out", "x", "--retry"]) == 0
    assert "corrupt" not in count_rows(curate.read_manifest("x"))


def test_a_source_that_changed_or_went_is_noticed(small_root: Path, tmp_path: Path, astronaut, capsys) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("datasets.toml",):
        (root / name).write_bytes((small_root / name).read_bytes())
    (root / "photos").mkdir()
    Image.fromarray(astronaut[:256, :384]).save(root / "photos" / "a.png")
    for name in ("talk.mp4", "traffic.mp4"):
        (root / name).write_bytes((small_root / name).read_bytes())
    assert run_small(root, tmp_path / "set") == 0
    assert "since the last run" not in capsys.readouterr().err
    shorten(small_root / "talk.mp4", root / "talk.mp4", 8)
    text = (root / "datasets.toml").read_text()
    (root / "datasets.toml").write_text("\n".join(line for line in text.splitlines() if "traffic" not in line))
    assert run_small(root, tmp_path / "set") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "talk.mp4: changed since the last run; it is read again" in said
    assert "traffic.mp4: gone since the last run; its rows leave the set" in said
    assert set(curate.read_manifest(tmp_path / "set")["source"]) == {"talk.mp4", "photos/a.png"}


def _mutations(data: bytes, count: int, seed: int) -> list[bytes]:
    """Cut short, bits flipped, stretches of nothing, pieces twice: what transfers and disks do to files."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        broken = bytearray(data)
        place = int(rng.integers(0, len(data)))
        if number % 4 == 0:
            broken = broken[:place]
        elif number % 4 == 1:
            for at in rng.integers(0, len(data), 20):
                broken[at] ^= 1 << int(rng.integers(0, 8))
        elif number % 4 == 2:
            broken[place : place + 200] = bytes(len(broken[place : place + 200]))
        else:
            broken[place:place] = broken[place // 2 : place // 2 + 300]
        made.append(bytes(broken))
    return made


def test_two_hundred_damaged_files_are_each_recorded_and_none_stops_the_run(
    clips: Path, tmp_path: Path, astronaut: np.ndarray, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "files"
    root.mkdir()
    video = shorten(clips / "carphone_pristine.mp4", tmp_path / "v.mp4", 6).read_bytes()
    small = Image.fromarray(astronaut[:200, 100:300])
    encoded = {}
    for kind in ("png", "jpg", "webp", "gif", "tiff"):
        file = io.BytesIO()
        small.save(file, {"jpg": "jpeg"}.get(kind, kind))
        encoded[kind] = file.getvalue()
    for number, data in enumerate(_mutations(video, 80, 0)):
        (root / f"v{number:03d}.{'mkv' if number % 5 == 0 else 'mp4'}").write_bytes(data)  # a name may lie
    for seed, (kind, data) in enumerate(encoded.items()):
        for number, broken in enumerate(_mutations(data, 24, seed + 1)):
            (root / f"p{number:03d}.{kind}").write_bytes(broken)
    (tmp_path / "datasets.toml").write_text(
        '[d]\nsource = [{ kind = "videos", path = "files/v*" }, { kind = "images", path = "files/p*" }]\n'
        "align = { size = 32 }\nsplit = { val = 0, test = 0 }\n"
    )
    assert main(["run", "d", "--out", "x", "--json"]) == 3
    rows = curate.read_manifest("x")
    assert rows["source"].nunique() == 200
    errors = "\n".join(unit["error"] for unit in curate.read_curation("x")["units"] if unit["error"]).splitlines()
    assert len(errors) == (rows["drop_reason"] == "corrupt").sum() >= 40
    assert all("expected" in line or "decoding broke off" in line or "cannot" in line for line in errors)


@pytest.fixture
def full_disk(tmp_path: Path):
    """A file system of 200 kB."""
    place = tmp_path / "full"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs rights that are not there")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_sentence_and_with_room_the_set_is_finished(
    full_disk: Path, small_root: Path, made: Path, capsys
) -> None:
    assert run_small(small_root, full_disk / "set") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "No space left on device" in said
    assert "Traceback" not in said
    subprocess.run(["mount", "-o", "remount,size=64m", str(full_disk)], check=True)
    assert run_small(small_root, full_disk / "set") == 3
    assert snapshot(full_disk / "set") == snapshot(made)


@pytest.mark.slow
def test_killed_at_fifty_moments_and_resumed_it_gives_the_same_bytes(
    made: Path, small_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    rng = np.random.default_rng(11)
    where = ["--out", str(out), "--registry", str(small_root / "datasets.toml"), "--root", str(small_root)]
    finished = 0
    for number in range(50):
        workers = ["--workers", "2"] if number % 2 else []
        process = subprocess.Popen(["eyeline-curate", "run", "small", *where, *workers], stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=float(rng.uniform(1.0, 9.0)))
            finished += 1
            part = sorted((out / "parts").iterdir())[number % 3]
            part.unlink()  # so that the next one has something to do
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert finished < 45
    assert run_small(small_root, out) == 3
    assert snapshot(out) == snapshot(made)


@pytest.mark.parametrize("rate", [12, 30])
def test_hevc_is_read_like_any_other_video(tmp_path: Path, clips: Path, rate: int) -> None:
    import av

    from curate.config import Sample
    from curate.frames import VideoReader

    with av.open(str(clips / "carphone_pristine.mp4")) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in islice(container.decode(video=0), 10)]
    try:
        path = encode(tmp_path / "v.mp4", pictures, rate=rate, codec="libx265")
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg has no HEVC encoder ({error})")
    with VideoReader(path, Sample()) as reader:
        frames = list(reader)
    assert [frame.index for frame in frames] == list(range(10))
    assert reader.error is None
    assert np.abs(frames[3].rgb().astype(int) - pictures[3]).mean() < 8


def test_labels_beyond_the_end_of_a_video_are_noticed(clips: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    shorten(clips / "carphone_pristine.mp4", tmp_path / "v.mp4", 10)
    (tmp_path / "datasets.toml").write_text(
        '[d]\nsource = { kind = "videos", path = "v.mp4", annotations = "a.csv" }\nalign = { size = 32 }\n'
        "split = { val = 0, test = 0 }\n"
    )
    (tmp_path / "a.csv").write_text("source,frame,label\nv.mp4,3,happy\nv.mp4,9999,sad\n")
    assert main(["run", "d", "--out", "x"]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "v.mp4: expected labels of its 10 frames (found 1 beyond its end, up to frame 9999)" in said
    (tmp_path / "a.csv").write_text("source,start_s,end_s,label\nv.mp4,0,9,happy\nv.mp4,500,600,sad\n")
    assert main(["run", "d", "--out", "x"]) == 3
    assert "up to 500 s" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "a.csv").write_text("source,frame,label\nv.mp4,9,happy\n")
    assert main(["run", "d", "--out", "x"]) == 0


def test_each_photo_that_changed_or_went_is_named(tmp_path: Path, astronaut: np.ndarray, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    _photos(tmp_path / "photos", astronaut)
    (tmp_path / "datasets.toml").write_text(
        '[d]\nsource = { kind = "images", path = "photos" }\nsplit = { val = 0, test = 0 }\n'
    )
    assert main(["run", "d", "--out", "x"]) == 0
    (tmp_path / "photos" / "1.png").unlink()
    Image.fromarray(astronaut[:128, 80:336]).save(tmp_path / "photos" / "2.png")
    capsys.readouterr()
    assert main(["run", "d", "--out", "x"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "photos/1.png: gone since the last run" in said
    assert "photos/2.png: changed since the last run" in said
    assert said.count("since the last run") == 2


def test_two_files_of_one_name_are_not_taken_for_a_change(
    tmp_path: Path, astronaut: np.ndarray, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    for person in ("s1", "s2"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        _photos(tmp_path / "photos" / person / "001", astronaut, 1 + (person == "s2"))
    (tmp_path / "photos" / "empty.png").write_bytes(b"")
    registry = '[d]\nsource = { kind = "images", path = "photos" }\nsplit = { val = 0, test = 0 }\n'
    (tmp_path / "datasets.toml").write_text(registry)
    assert main(["run", "d", "--out", "x"]) == 3
    assert {path.name for path in (tmp_path / "x" / "crops").iterdir()} == set(
        curate.read_manifest("x").dropna(subset="crop")["source_id"]
    )
    assert main(["run", "d", "--out", "x"]) == 3
    assert "since the last run" not in capsys.readouterr().err
