import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import curate
from align import UsageError, load_image
from curate import hashing
from curate.cli import main
from curate.manifest import FIELDS, write_curation
from curate.outcome import DropReason, FrameCounts, count_rows
from tests.videos import encode, remux, shorten, silence


def _run(root: Path, out: Path, *more: str, command: str = "run") -> int:
    where = ["--registry", str(root / "datasets.toml"), "--root", str(root)]
    return main([command, "small", "--out", str(out), *where, *more])


def _snapshot(out: Path) -> dict[str, bytes]:
    """Every file of a set but the record and the page, which hold timings."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    kept = [path for path in files if path.name != "curation.json" and "report" not in path.parts]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


def _record_without_timings(out: Path) -> dict:
    return {key: value for key, value in curate.read_curation(out).items() if key != "timings"}


@pytest.fixture(scope="module")
def made(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "set"
    assert _run(small_root, out) == 3  # one photo is broken
    return out


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


def test_running_again_changes_no_byte_and_does_no_work(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    before, record = _snapshot(out), _record_without_timings(out)
    stamps = {path: path.stat().st_mtime_ns for path in (out / "crops").rglob("*.png")}
    assert _run(small_root, out) == 3
    assert _snapshot(out) == before
    assert _record_without_timings(out) == record
    assert stamps == {path: path.stat().st_mtime_ns for path in (out / "crops").rglob("*.png")}


def test_a_second_run_elsewhere_and_more_workers_give_the_same_bytes(
    made: Path, small_root: Path, tmp_path: Path
) -> None:
    assert _run(small_root, tmp_path / "set", "--workers", "2") == 3
    assert _snapshot(tmp_path / "set") == _snapshot(made)
    assert _record_without_timings(tmp_path / "set") == _record_without_timings(made)


def test_ray_gives_the_same_bytes(made: Path, small_root: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    assert _run(small_root, tmp_path / "set", "--engine", "ray", "--workers", "2") == 3
    assert _snapshot(tmp_path / "set") == _snapshot(made)


def test_without_ray_the_engine_says_what_to_install(small_root: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert _run(small_root, tmp_path / "set", "--engine", "ray") == 2
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
    assert _run(small_root, out) == 3
    assert _snapshot(out) == _snapshot(made)


def test_a_killed_unit_leaves_nothing_behind(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    part = next(iter(sorted((out / "parts").iterdir())))
    part.unlink()
    (out / "parts" / ".half.123.tmp.parquet").write_bytes(b"half a part")
    source = curate.read_manifest(made)["source_id"].iloc[0]
    (out / "crops" / source / "stray.png").write_bytes(b"stray")
    assert _run(small_root, out) == 3
    assert _snapshot(out) == _snapshot(made)


def test_a_source_that_changed_is_done_again(small_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(small_root, root)
    out = tmp_path / "set"
    assert _run(root, out) == 3
    Image.new("RGB", (64, 64), "gray").save(root / "photos" / "a.png")
    (root / "photos" / "broken.jpg").unlink()
    assert _run(root, out) == 0
    rows = curate.read_manifest(out).set_index("source")
    assert rows.loc["photos/a.png", "drop_reason"] == "no_face"
    assert "photos/broken.jpg" not in rows.index
    assert rows.loc["photos/b.jpg", "drop_reason"] is None or pd.isna(rows.loc["photos/b.jpg", "drop_reason"])


def test_each_stage_may_be_run_again_with_new_settings(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    registry = tmp_path / "other.toml"
    text = (small_root / "datasets.toml").read_text()
    registry.write_text(text.replace("balance =", "dedup = { radius = 0 }\nbalance ="))
    before = _snapshot(out)
    for stage in ("dedup", "split", "balance"):
        assert main([stage, str(out), "--registry", str(registry)]) == 0
    duplicates = [count_rows(curate.read_manifest(path)).get("duplicate", 0) for path in (out, made)]
    assert duplicates[0] < duplicates[1]
    for stage in ("dedup", "split", "balance"):
        assert main([stage, str(out), "--registry", str(small_root / "datasets.toml")]) == 0
    assert _snapshot(out) == before


def test_a_stage_out_of_turn_is_refused(made: Path, small_root: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    registry = str(small_root / "datasets.toml")
    assert main(["dedup", str(out), "--registry", registry]) == 0
    assert main(["balance", str(out), "--registry", registry]) == 2
    assert "expected the stage split to come first; run eyeline-curate split" in capsys.readouterr().err
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


def test_a_folder_that_holds_something_else_is_refused(small_root: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    assert _run(small_root, tmp_path / "thesis") == 2
    assert "expected an empty folder or a set (found other files)" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    (tmp_path / "file").write_text("x")
    assert _run(small_root, tmp_path / "file") == 2
    assert "found a file" in capsys.readouterr().err


def test_the_set_of_another_dataset_is_refused(made: Path, small_root: Path, tmp_path: Path, capsys) -> None:
    registry = tmp_path / "datasets.toml"
    registry.write_text((small_root / "datasets.toml").read_text().replace("[small]", "[other]"))
    before = _snapshot(made)
    assert main(["run", "other", "--out", str(made), "--registry", str(registry), "--root", str(small_root)]) == 2
    assert "expected the set 'other' (found 'small')" in capsys.readouterr().err
    assert _snapshot(made) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(small_root: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "fixed").mkdir(mode=0o500)
    assert _run(small_root, tmp_path / "fixed" / "set") == 2
    assert "expected a folder that can be written" in capsys.readouterr().err


def test_an_unknown_name_and_a_missing_file_are_refused(small_root: Path, tmp_path: Path, capsys) -> None:
    assert main(["run", "smal", "--out", "x", "--registry", str(small_root / "datasets.toml")]) == 2
    assert "did you mean small?" in capsys.readouterr().err
    assert main(["run", "small", "--out", "x", "--registry", str(small_root / "datasets.toml")]) == 2
    error = capsys.readouterr().err
    assert "talk.mp4: expected a file, a folder or a glob (found none)" in error
    assert not (tmp_path / "x").exists()


def test_a_label_outside_the_vocabulary_is_refused_before_any_work(small_root: Path, tmp_path: Path, capsys) -> None:
    registry = tmp_path / "datasets.toml"
    text = (small_root / "datasets.toml").read_text()
    registry.write_text(text.replace('labels = ["not_face", "face"]', 'labels = ["face"]'))
    assert main(["run", "small", "--out", "x", "--registry", str(registry), "--root", str(small_root)]) == 2
    assert "expected a label of ['face'] (found ['not_face'])" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_set_whose_ingest_was_broken_off_is_refused_by_the_stages(made: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    record = curate.read_curation(out)
    write_curation(out, {key: value for key, value in record.items() if key != "frames"})
    before = _snapshot(out)
    for command in ("dedup", "report"):
        assert main([command, str(out)]) == 2
        assert "ingest is finished (it was broken off); run eyeline-curate run again" in capsys.readouterr().err
    assert _snapshot(out) == before


def test_missing_crops_are_made_again(made: Path, small_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    next(iter((out / "crops").rglob("*.png"))).unlink()
    assert _run(small_root, out) == 3
    assert _snapshot(out) == _snapshot(made)


def test_a_second_run_at_the_same_time_is_refused(made: Path, small_root: Path, capsys) -> None:
    handle = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert _run(small_root, made) == 2
    finally:
        os.close(handle)
    assert "another run is at work in it" in capsys.readouterr().err
    assert _run(small_root, made) == 3


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
    time.sleep(3)  # until they are at work
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(worker.exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(workers) == 2
    assert not any(worker.exists() for worker in workers)


def test_a_set_inside_its_source_folder_is_no_source(tmp_path: Path, astronaut: np.ndarray) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut).save(tmp_path / "photos" / "a.png")
    (tmp_path / "datasets.toml").write_text('[d]\nsource = { kind = "images", path = "photos" }\n')
    for _ in range(2):
        assert main(["run", "d", "--out", "photos/set"]) == 0
        assert curate.read_curation("photos/set")["frames"]["decoded"] == 1


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


@pytest.mark.parametrize("name", ["12:30.mp4", "a[1].mp4", "m[red]/x].mp4", "-dash.mp4"])
def test_names_that_mean_something_elsewhere_are_only_names(clips: Path, tmp_path: Path, name: str) -> None:
    shorten(clips / "carphone_pristine.mp4", tmp_path / name, 3)
    (tmp_path / "datasets.toml").write_text(f'[d]\nsource = {{ kind = "videos", path = "{name}" }}\n')
    assert main(["run", "d", "--out", "x", "--workers", "2"]) == 0
    assert set(curate.read_manifest("x")["source"]) == {name}


def test_a_picture_wider_than_opencv_warps_gives_its_boxes(tmp_path: Path) -> None:
    Image.effect_noise((33000, 40), 60).save(tmp_path / "wide.png")
    (tmp_path / "datasets.toml").write_text(
        '[d]\nsource = { kind = "images", path = "wide.png", background = { boxes = 3 } }\nalign = { size = 64 }\n'
    )
    assert main(["run", "d", "--out", "x"]) == 0
    assert curate.read_manifest("x")["crop"].notna().sum() == 3


def test_a_full_disk_is_one_sentence(small_root: Path, tmp_path: Path) -> None:
    command = f"ulimit -f 8; exec eyeline-curate run small --out {tmp_path}/x --registry {small_root}/datasets.toml"
    done = subprocess.run(["bash", "-c", f"{command} --root {small_root}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr


def test_nothing_readable_at_all_is_a_failure(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.mp4").write_bytes(b"broken")
    (tmp_path / "datasets.toml").write_text('[d]\nsource = { kind = "videos", path = "a.mp4" }\n')
    assert main(["run", "d", "--out", "x"]) == 1
    assert "nothing could be read" in capsys.readouterr().err


def test_json_is_one_result(made: Path, small_root: Path, capsys) -> None:
    assert _run(small_root, made, "--json") == 3
    assert json.loads(capsys.readouterr().out)["frames"]["decoded"] == 36
    assert main(["list", "--json", "--registry", str(small_root / "datasets.toml")]) == 0
    assert "small" in json.loads(capsys.readouterr().out)


def test_reading_what_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make it with: eyeline-curate run"):
        curate.read_manifest(tmp_path)
    with pytest.raises(UsageError, match="expected a curated set"):
        curate.read_curation(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"broken")
    with pytest.raises(UsageError, match="not found or not whole"):
        curate.read_manifest(tmp_path)


def test_broken_videos_are_recorded_and_what_came_before_the_break_is_kept(clips: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    whole = remux(clips / "carphone_pristine.mp4", folder / "whole.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    silence(folder / "sound.wav")
    (tmp_path / "datasets.toml").write_text(
        '[d]\nsource = { kind = "videos", path = "clips/*" }\nsample = { every = 10 }\n'
    )
    assert main(["run", "d", "--out", "x"]) == 3
    printed = capsys.readouterr().err
    rows = curate.read_manifest("x")
    assert FrameCounts(**curate.read_curation("x")["frames"]).reconciles
    for name, sentence in {
        "cut.mp4": "cut short",
        "empty.mp4": "a video that FFmpeg can open",
        "sound.wav": "expected a video stream (found audio)",
    }.items():
        mine = rows[rows["source"] == f"clips/{name}"]
        assert (mine["drop_reason"] == "corrupt").sum() == 1
        (line,) = [line for line in printed.splitlines() if name in line and line.startswith("failed: ")]
        assert sentence in line
    cut = rows[rows["source"] == "clips/cut.mp4"]
    assert 4 <= cut["crop"].notna().sum() <= 6
    assert cut["frame"].max() == cut.loc[cut["drop_reason"] == "corrupt", "frame"].item()


def test_a_file_in_two_sources_is_refused(small_root: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "datasets.toml").write_text(
        '[d]\nsource = [{ kind = "videos", path = "talk.mp4" }, { kind = "videos", path = "t*.mp4" }]\n'
    )
    assert main(["run", "d", "--out", "x", "--root", str(small_root)]) == 2
    assert "talk.mp4: expected each file in one source (found it in two)" in capsys.readouterr().err


def test_strange_file_names_are_kept_apart_and_printable(tmp_path: Path, astronaut: np.ndarray) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [b"line\nbreak.png", b"caf\xe9.png", "café.png".encode(), b"-dash.png", b"<b>bold.png", b"a b.png"]
    for name in names:
        Image.fromarray(astronaut[:256, :384]).save(tmp_path / "one.png")
        shutil.copy(tmp_path / "one.png", os.fsencode(folder) + b"/" + name)
    (folder / "bro\nken.png").write_bytes(b"broken")
    (tmp_path / "datasets.toml").write_text('[d]\nsource = { kind = "images", path = "photos" }\n')
    assert main(["run", "d", "--out", "x", "--json"]) == 3
    rows = curate.read_manifest("x")
    assert len(rows) == len(names) + 1
    assert rows["face_id"].is_unique
    assert "photos/caf\\xe9.png" in set(rows["source"])
    assert rows["crop"].dropna().map(lambda crop: Path("x", crop).is_file()).all()
    assert count_rows(rows) == {"kept": 1, "corrupt": 1, "duplicate": 5}
