from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curate.config import Sample
from curate.frames import VideoReader
from tests.videos import encode, remux, silence


def _read(path: Path, every: int = 1) -> tuple[list, VideoReader]:
    with VideoReader(path, Sample(every=every)) as reader:
        frames = [(frame.index, frame.pts, frame.time_base, frame.time_s, frame.luma.copy()) for frame in reader]
    return frames, reader


@pytest.mark.parametrize("every", [1, 2, 5, 119, 120, 1000])
def test_one_frame_in_n_with_its_exact_time(clips: Path, every: int) -> None:
    frames, reader = _read(clips / "carphone_pristine.mp4", every)
    assert [frame[0] for frame in frames] == list(range(0, 120, every))
    assert reader.decoded == 120
    assert reader.error is None
    for index, pts, time_base, time_s, _ in frames:
        assert time_base == Fraction(1, 30000)
        assert pts == index * 1001
        assert time_s == pytest.approx(index * 1001 / 30000)


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 33, 40, 500, 512, 2000]
    pictures = [np.full((64, 64, 3), 20 * i, np.uint8) for i in range(6)]
    frames, _ = _read(encode(tmp_path / "vfr.mkv", pictures, rate=1000, pts=times))
    assert [float(pts * base) for _, pts, base, _, _ in frames] == pytest.approx([t / 1000 for t in times], abs=1e-9)


def test_the_same_pixels_as_the_decoder_gives(clips: Path) -> None:
    path = clips / "bikes.mp4"
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        rgb = frame.to_ndarray(format="rgb24")
        grey = frame.to_ndarray(format="gray")
    with VideoReader(path, Sample()) as reader:
        first = next(iter(reader))
        assert np.array_equal(first.rgb(), rgb)
        assert first.luma.shape == grey.shape
        # the luma plane has the range 16 to 235 of video, grey that of a picture
        stretched = np.clip((first.luma.astype(float) - 16) * 255 / 219, 0, 255)
        assert np.abs(stretched - grey).mean() < 1


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_rotation_tag_is_honoured(tmp_path: Path, turn: int) -> None:
    picture = np.zeros((48, 96, 3), np.uint8)
    picture[:24, :48] = 220  # bright at the top left
    frames, reader = _read(encode(tmp_path / "turned.mp4", [picture] * 3, turn=turn))
    assert reader.error is None
    expected = np.rot90(picture[:, :, 0], turn // 90)
    luma = frames[0][4]
    assert luma.shape == expected.shape
    assert np.corrcoef(luma.ravel(), expected.ravel())[0, 1] > 0.95


def test_a_video_without_a_luma_plane_is_read_too(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    with av.open(str(tmp_path / "rgb.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "bgr0"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with VideoReader(tmp_path / "rgb.mkv", Sample()) as reader:
        frame = next(iter(reader))
        assert np.array_equal(frame.rgb(), picture)
        assert frame.luma.shape == (32, 32)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_truncated_video_gives_the_frames_before_the_break_on_any_number_of_threads(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str, share: float
) -> None:
    whole = remux(clips / "carphone_pristine.mp4", tmp_path / f"whole.{container}").read_bytes()
    cut = tmp_path / f"cut.{container}"
    cut.write_bytes(whole[: int(len(whole) * share)])
    found = []
    for threads in ("1", "2,1", "4", ""):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        frames, reader = _read(cut)
        assert 0.8 * share * 120 < len(frames) < 119
        assert len(frames) == reader.decoded
        assert str(cut) in reader.error
        assert "cut short" in reader.error
        found.append((reader.error, [(frame[:4], frame[4].tobytes()) for frame in frames]))
    assert all(one == found[0] for one in found)


def test_a_last_frame_that_is_cut_is_said_although_hardly_anything_is_missing(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole = remux(clips / "carphone_pristine.mp4", tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:-30])
    frames, reader = _read(tmp_path / "cut.mp4")
    assert 115 < len(frames) < 120
    assert f"decoding broke off after {len(frames)} frames" in reader.error


def test_a_break_in_the_middle_is_told_from_a_file_that_is_cut_short(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole = bytearray(remux(clips / "carphone_pristine.mp4", tmp_path / "whole.mp4").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 4000] = bytes(4000)
    (tmp_path / "hole.mp4").write_bytes(whole)
    frames, reader = _read(tmp_path / "hole.mp4")
    assert 0 < len(frames) < 119
    assert "decoding broke off after" in reader.error


def test_what_is_no_video_says_so_in_one_line(clips: Path, tmp_path: Path) -> None:
    whole = (clips / "carphone_pristine.mp4").read_bytes()  # its index stands at the end
    cases = {
        "missing.mp4": (None, "no such file"),
        "empty.mp4": (b"", "that FFmpeg can open"),
        "text.mp4": (b"not a video" * 50, "that FFmpeg can open"),
        "headless.mp4": (whole[: len(whole) // 2], "that FFmpeg can open"),
    }
    for name, (content, sentence) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        frames, reader = _read(tmp_path / name)
        assert frames == []
        assert name in reader.error
        assert sentence in reader.error
        assert "\n" not in reader.error


def test_a_sound_file_has_no_video_stream(tmp_path: Path) -> None:
    frames, reader = _read(silence(tmp_path / "sound.wav"))
    assert frames == []
    assert "expected a video stream (found audio)" in reader.error
