from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.config import Sample
from curate.frames import VideoReader
from curate.video_parts import VideoPart, _parts, split_video
from tests.videos import encode, remux


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 small frames with B-frames, a key frame each 12, an offset and an uneven rate."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (48, 64, 3), np.uint8)
    pictures = [np.roll(scene, shift, axis=1) for shift in range(100)]
    folder = tmp_path_factory.mktemp("long")
    times = np.cumsum(rng.integers(20, 60, 100)).tolist()
    return encode(folder / "long.mp4", pictures, pts=times, gop=12)


def _read(path: Path, part: VideoPart | None = None, **sample: object) -> list[tuple]:
    with VideoReader(path, Sample(**sample), part) as reader:
        found = [(f.index, f.pts, round(f.since_first_s, 9), f.luma.tobytes()) for f in reader]
        assert reader.error is None
    return found


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("sample", [{}, {"every": 7}, {"per_second": 3.0}], ids=str)
def test_the_parts_together_are_the_video(long_video: Path, tmp_path: Path, container: str, sample: dict) -> None:
    path = long_video if container == "mp4" else remux(long_video, tmp_path / "long.mkv")
    parts = split_video(path, 25)
    assert len(parts) >= 3
    assert [frame for part in parts for frame in _read(path, part, **sample)] == _read(path, None, **sample)


def test_a_part_overcomes_an_index_that_leads_too_far(long_video: Path) -> None:
    parts = split_video(long_video, 25)
    whole = _read(long_video)
    missed = replace(parts[1], start_pts=parts[1].start_pts + 1)  # no frame is there: the seek lands behind or before
    begin = parts[1].first_index + 1
    with VideoReader(long_video, Sample(), missed) as reader:
        assert [frame.pts for frame in reader] == [pts for _, pts, *_ in whole[begin : parts[2].first_index]]


def test_a_part_with_missing_frames_says_so(long_video: Path) -> None:
    part = replace(split_video(long_video, 25)[1], frames=60)
    with VideoReader(long_video, Sample(), part) as reader:
        list(reader)
    assert "expected 60 frames from frame" in reader.error


def test_short_and_broken_videos_and_pictures_stay_whole(long_video: Path, tmp_path: Path) -> None:
    assert split_video(long_video, 51) == ()
    assert split_video(tmp_path / "absent.mp4", 25) == ()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert split_video(tmp_path / "broken.mp4", 25) == ()


def test_one_key_frame_cannot_be_cut(tmp_path: Path) -> None:
    pictures = [np.full((48, 64, 3), level, np.uint8) for level in range(0, 200, 2)]
    path = encode(tmp_path / "one.mp4", pictures, gop=1000)
    with av.open(str(path)) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size) == 1
    assert split_video(path, 10) == ()


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=300),
    st.sets(st.integers(0, 299)),
    st.integers(1, 80),
)
def test_any_cut_covers_each_frame_once(steps: list[int], keys: set[int], part_frames: int) -> None:
    times = np.cumsum(steps)
    parts = _parts(times, times[sorted({0, *(key for key in keys if key < len(times))})], part_frames)
    assert not parts or sum(part.frames for part in parts) == len(times)
    for before, after in pairwise(parts):
        assert before.end_pts == after.start_pts == times[after.first_index]
        assert after.first_index == before.first_index + before.frames
        assert after.before_pts == times[after.first_index - 1]
        assert before.frames >= part_frames


def test_a_video_with_two_frames_of_one_time_stays_whole() -> None:
    times = np.array([*range(50), 49, *range(50, 99)])
    assert _parts(np.arange(100), np.arange(0, 100, 10), 20)
    assert _parts(times, np.arange(0, 99, 10), 20) == ()
