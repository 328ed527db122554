"""A long video is shared among workers: parts, tracks over their borders, scenes, and the same set for any engine."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import curate
from curate import pipeline, video_parts
from curate.cli import main
from curate.scenes import is_cut, thumbnail
from curate.sources import videos
from tests.curate.small import snapshot
from tests.videos import encode, shorten

REGISTRY = """
[long]
source = { kind = "videos", path = "*.mp4" }
align = { size = 64 }
sample = { unchanged = false }
dedup = { radius = 4 }
split = { val = 0, test = 0 }
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, clips: Path, astronaut: np.ndarray) -> Path:
    """A man who talks, 60 frames with a key frame each 10; and two stills, cut to one another at frame 30."""
    import av

    folder = tmp_path_factory.mktemp("long")
    short = shorten(clips / "carphone_pristine.mp4", folder / "short.mkv", 60)
    with av.open(str(short)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    encode(folder / "talk.mp4", pictures, gop=10)
    face = astronaut[:256, 80:336]
    encode(folder / "cut.mp4", [face] * 30 + [255 - np.rot90(face, 2)] * 30, gop=10)
    (folder / "datasets.toml").write_text(REGISTRY)
    return folder


def _make(root: Path, out: Path, frames: int, registry: Path | None = None) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(videos, "split_video", lambda path: video_parts.split_video(path, frames))
        where = ["--root", str(root), "--registry", str(registry or root / "datasets.toml")]
        assert main(["run", "long", "--out", str(out), *where]) == 0
    return out


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(root, tmp_path_factory.mktemp("whole") / "set", 1000)


@pytest.fixture(scope="module")
def parted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(root, tmp_path_factory.mktemp("parted") / "set", 20)


def test_parts_give_each_frame_once_and_tracks_run_over_their_borders(whole: Path, parted: Path) -> None:
    assert len(list((whole / "parts").iterdir())) == 2
    assert len(list((parted / "parts").iterdir())) >= 5
    one, many = curate.read_manifest(whole), curate.read_manifest(parted)
    same = ["face_id", "frame", "pts", "scene_cut", "crop", "track"]
    one, many = (rows.sort_values("face_id").reset_index(drop=True)[same] for rows in (one, many))
    assert one.equals(many)
    talk = one[one["track"].notna() & one["face_id"].str[:12].eq(one["face_id"].str[:12].mode()[0])]
    assert talk["track"].nunique() == 1
    records = [curate.read_curation(out) for out in (whole, parted)]
    assert (
        records[0]["frames"]
        == records[1]["frames"]
        == {"decoded": 120, "sampled_out": 0, "near_identical": 0, "with_rows": 120}
    )


def test_a_change_of_scene_on_the_border_of_two_parts_is_seen(parted: Path) -> None:
    rows = curate.read_manifest(parted)
    cuts = rows[rows["scene_cut"].fillna(value=False)]
    assert cuts["source"].tolist() == ["cut.mp4"]
    assert cuts["frame"].tolist() == [30]


def test_a_part_that_is_lost_is_made_again_and_the_others_stay(parted: Path, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(parted, out)
    before = snapshot(out)
    sorted((out / "parts").iterdir())[-2].unlink()
    stamps = {path: path.stat().st_mtime_ns for path in (out / "crops").rglob("*.png")}
    _make(root, out, 20)
    assert snapshot(out) == before
    assert 10 <= sum(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items()) <= 30


def test_a_budget_of_a_track_is_kept_over_all_its_parts(root: Path, parted: Path, tmp_path: Path) -> None:
    registry = tmp_path / "datasets.toml"
    registry.write_text(REGISTRY.replace("unchanged = false", "unchanged = false, novel = 5"))
    out = tmp_path / "set"
    shutil.copytree(parted, out)
    parts = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    _make(root, out, 20, registry)
    rows = curate.read_manifest(out)
    chosen = rows[~rows["drop_reason"].isin(["redundant", "no_face"])]
    assert chosen["track"].value_counts().max() == 5
    assert rows["drop_reason"].eq("redundant").sum() > 40
    assert parts == {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}  # no frame was read again


def test_where_the_time_went_is_recorded(whole: Path) -> None:
    spent = json.loads((whole / "curation.json").read_text())["timings"]
    assert {"decode", "compare", "find", "write", "hash"} <= spent["ingest_stages_s"].keys()
    assert sum(spent["ingest_stages_s"].values()) <= spent["ingest_s"]
    assert pipeline.STAGES.keys() <= {name.removesuffix("_s") for name in spent}


def test_thumbnails_of_the_two_stills_differ(root: Path) -> None:
    from curate.config import Sample
    from curate.frames import VideoReader

    with VideoReader(root / "cut.mp4", Sample(every=29)) as reader:
        first, _, last = (thumbnail(frame.luma) for frame in reader)
    assert is_cut(first, last)
