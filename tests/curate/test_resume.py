import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import curate
from curate.cli import main
from curate.manifest import write_curation
from curate.outcome import count_rows
from tests.curate.small import record_without_timings, run_small, snapshot
from tests.videos import shorten


def test_running_again_changes_no_byte_and_does_no_work(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    before, record = snapshot(out), record_without_timings(out)
    stamps = {path: path.stat().st_mtime_ns for path in (out / "crops").rglob("*.png")}
    assert run_small(small_root, out) == 3
    assert snapshot(out) == before
    assert record_without_timings(out) == record
    assert stamps == {path: path.stat().st_mtime_ns for path in (out / "crops").rglob("*.png")}


def test_a_second_run_elsewhere_and_more_workers_give_the_same_bytes(
    made: Path, small_root: Path, tmp_path: Path
) -> None:
    assert run_small(small_root, tmp_path / "set", "--workers", "2") == 3
    assert snapshot(tmp_path / "set") == snapshot(made)
    assert record_without_timings(tmp_path / "set") == record_without_timings(made)


def test_ray_gives_the_same_bytes(made: Path, small_root: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    assert run_small(small_root, tmp_path / "set", "--engine", "ray", "--workers", "2") == 3
    assert snapshot(tmp_path / "set") == snapshot(made)


def test_without_ray_the_engine_says_what_to_install(small_root: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run_small(small_root, tmp_path / "set", "--engine", "ray") == 2
    assert "expected the package ray (not installed); pip install 'eyeline[ray]'" in capsys.readouterr().err


def test_killed_at_any_moment_and_resumed_it_gives_the_same_bytes(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    where = ["--out", str(out), "--registry", str(small_root / "datasets.toml"), "--root", str(small_root)]
    moments = random.Random(7)
    for _ in range(5):
        process = subprocess.Popen(["eyeline-curate", "run", "small", *where], stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(1.0, 3.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run_small(small_root, out) == 3
    assert snapshot(out) == snapshot(made)


def test_a_killed_unit_leaves_nothing_behind(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    part = next(iter(sorted((out / "parts").iterdir())))
    part.unlink()
    (out / "parts" / ".half.123.tmp.parquet").write_bytes(b"half a part")
    source = curate.read_manifest(made)["source_id"].iloc[0]
    (out / "crops" / source / "stray.png").write_bytes(b"stray")
    assert run_small(small_root, out) == 3
    assert snapshot(out) == snapshot(made)


def test_a_source_that_changed_is_done_again(small_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(small_root, root)
    out = tmp_path / "set"
    assert run_small(root, out) == 3
    Image.new("RGB", (64, 64), "gray").save(root / "photos" / "a.png")
    (root / "photos" / "broken.jpg").unlink()
    assert run_small(root, out) == 0
    rows = curate.read_manifest(out).set_index("source")
    assert rows.loc["photos/a.png", "drop_reason"] == "no_face"
    assert "photos/broken.jpg" not in rows.index
    assert rows.loc["photos/b.jpg", "drop_reason"] is None or pd.isna(rows.loc["photos/b.jpg", "drop_reason"])


def test_each_stage_may_be_run_again_with_new_settings(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    registry = tmp_path / "other.toml"
    text = (small_root / "datasets.toml").read_text()
    registry.write_text(text.replace("balance =", "dedup = { radius = 90 }\nbalance ="))
    before = snapshot(out)
    for stage in ("dedup", "identify", "split", "balance"):
        assert main([stage, str(out), "--registry", str(registry)]) == 0
    duplicates = [count_rows(curate.read_manifest(path)).get("duplicate", 0) for path in (out, made)]
    assert duplicates[0] > duplicates[1]
    for stage in ("dedup", "identify", "split", "balance"):
        assert main([stage, str(out), "--registry", str(small_root / "datasets.toml")]) == 0
    assert snapshot(out) == before


def test_a_stage_out_of_turn_is_refused(made: Path, small_root: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    registry = str(small_root / "datasets.toml")
    assert main(["dedup", str(out), "--registry", registry]) == 0
    assert main(["balance", str(out), "--registry", registry]) == 2
    assert "expected the stage identify to come first; run eyeline-curate identify" in capsys.readouterr().err
    assert main(["identify", str(out), "--registry", registry]) == 0
    assert main(["split", str(out), "--registry", registry]) == 0
    other = tmp_path / "other.toml"
    other.write_text(Path(registry).read_text().replace("val = 0.25", "val = 0.1"))
    assert main(["balance", str(out), "--registry", str(other)]) == 2
    assert "expected the stage split with the settings that it has now to come first" in capsys.readouterr().err
    assert curate.read_curation(out)["config"]["split"]["val"] == 0.25
    changed = tmp_path / "changed.toml"
    changed.write_text(Path(registry).read_text().replace("every = 2", "every = 3"))
    assert main(["split", str(out), "--registry", str(changed)]) == 2
    assert "the settings that ingest depends on changed" in capsys.readouterr().err


def test_a_set_whose_ingest_was_broken_off_is_refused_by_the_stages(made: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    record = curate.read_curation(out)
    write_curation(out, {key: value for key, value in record.items() if key != "frames"})
    before = snapshot(out)
    for command in ("dedup", "report"):
        assert main([command, str(out)]) == 2
        assert "ingest is finished (it was broken off); run eyeline-curate run again" in capsys.readouterr().err
    assert snapshot(out) == before


def test_missing_crops_are_made_again(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    next(iter((out / "crops").rglob("*.png"))).unlink()
    assert run_small(small_root, out) == 3
    assert snapshot(out) == snapshot(made)


def test_a_second_run_at_the_same_time_is_refused(made: Path, small_root: Path, capsys) -> None:
    handle = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert run_small(small_root, made) == 2
    finally:
        os.close(handle)
    assert "another run is at work in it" in capsys.readouterr().err
    assert run_small(small_root, made) == 3


def test_workers_die_with_the_run_that_was_killed(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "datasets.toml").write_text('[d]\nsource = { kind = "videos", path = "*.mp4" }\n')
    for number in range(4):
        shutil.copy(clips / "bikes.mp4", tmp_path / f"{number}.mp4")
    process = subprocess.Popen(
        ["eyeline-curate", "run", "d", "--out", "x", "--workers", "2"], stderr=subprocess.DEVNULL
    )
    workers: list[Path] = []
    deadline = time.monotonic() + 60
    while len(workers) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [
            Path("/proc") / pid for pid in listed if b"spawn_main" in (Path("/proc") / pid / "cmdline").read_bytes()
        ]
    while len(list(Path("x/parts").glob(".*.at"))) < 2 and time.monotonic() < deadline:  # until both are at work
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(worker.exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(workers) == 2
    assert len(list(Path("x/parts").glob(".*.at"))) == 2
    assert not any(worker.exists() for worker in workers)


def test_adding_a_source_does_none_of_the_old_work_again(clips: Path, tmp_path: Path) -> None:
    first = '{ kind = "videos", path = "a.mp4" }'
    shorten(clips / "carphone_pristine.mp4", tmp_path / "a.mp4", 6)
    shorten(clips / "bikes.mp4", tmp_path / "b.mp4", 4)
    registry = tmp_path / "datasets.toml"
    registry.write_text(f"[d]\nsource = {first}\n")
    assert main(["run", "d", "--out", "x"]) == 0
    stamps = {path: path.stat().st_mtime_ns for path in Path("x/parts").iterdir()}
    registry.write_text(f'[d]\nsource = [{first}, {{ kind = "videos", path = "b.mp4" }}]\n')
    assert main(["run", "d", "--out", "x"]) == 0
    assert len(list(Path("x/parts").iterdir())) == 2
    assert stamps.items() <= {path: path.stat().st_mtime_ns for path in Path("x/parts").iterdir()}.items()
