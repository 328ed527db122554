import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from align import UsageError
from curate.cli import main
from curate.outcome import FrameCounts, count_rows
from tests.curate.small import run_small, snapshot
from tests.videos import remux, shorten, silence


def test_a_folder_that_holds_something_else_is_refused(small_root: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    assert run_small(small_root, tmp_path / "thesis") == 2
    assert "expected an empty folder or a set (found other files)" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    (tmp_path / "file").write_text("x")
    assert run_small(small_root, tmp_path / "file") == 2
    assert "found a file" in capsys.readouterr().err


def test_the_set_of_another_dataset_is_refused(made: Path, small_root: Path, tmp_path: Path, capsys) -> None:
    registry = tmp_path / "datasets.toml"
    registry.write_text((small_root / "datasets.toml").read_text().replace("[small]", "[other]"))
    before = snapshot(made)
    assert main(["run", "other", "--out", str(made), "--registry", str(registry), "--root", str(small_root)]) == 2
    assert "expected the set 'other' (found 'small')" in capsys.readouterr().err
    assert snapshot(made) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(small_root: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "fixed").mkdir(mode=0o500)
    assert run_small(small_root, tmp_path / "fixed" / "set") == 2
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


def test_a_set_inside_its_source_folder_is_no_source(tmp_path: Path, astronaut: np.ndarray) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut).save(tmp_path / "photos" / "a.png")
    (tmp_path / "datasets.toml").write_text('[d]\nsource = { kind = "images", path = "photos" }\n')
    for _ in range(2):
        assert main(["run", "d", "--out", "photos/set"]) == 0
        assert curate.read_curation("photos/set")["frames"]["decoded"] == 1


def test_names_that_mean_something_elsewhere_are_only_names(clips: Path, tmp_path: Path) -> None:
    names = ["12:30.mp4", "a[1].mp4", "m[red]/x].mp4", "-dash.mp4"]
    for name in names:
        shorten(clips / "carphone_pristine.mp4", tmp_path / name, 3)
    sources = ", ".join(f'{{ kind = "videos", path = "{name}" }}' for name in names)
    (tmp_path / "datasets.toml").write_text(f"[d]\nsource = [{sources}]\n")
    assert main(["run", "d", "--out", "x", "--workers", "2"]) == 0
    assert set(curate.read_manifest("x")["source"]) == set(names)


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
