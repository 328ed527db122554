from pathlib import Path

import numpy as np
import pytest

from curate.config import Sample
from curate.frames import VideoReader
from curate.scenes import SceneWatch, is_cut, thumbnail


def _cuts(path: Path, every: int = 1) -> list[int]:
    with VideoReader(path, Sample(every=every)) as reader:
        watch = SceneWatch()
        return [frame.index for frame in reader if watch.is_new(thumbnail(frame.luma))]


def test_the_cuts_of_an_edited_clip_are_found_and_nothing_else(clips: Path) -> None:
    assert _cuts(clips / "bikes.mp4") == [30, 76, 137, 187, 242]


@pytest.mark.parametrize("every", [1, 5, 15])
def test_a_man_who_talks_in_a_moving_car_is_one_scene(clips: Path, every: int) -> None:
    assert _cuts(clips / "carphone_pristine.mp4", every) == []


def test_noise_on_a_flat_picture_and_a_change_of_light_are_no_cut() -> None:
    rng = np.random.default_rng(0)
    flat = [rng.integers(100, 110, (90, 160), np.uint8) for _ in range(2)]
    assert not is_cut(*map(thumbnail, flat))
    picture = rng.integers(0, 120, (9, 16), np.uint8).repeat(10, 0).repeat(10, 1)
    assert not is_cut(thumbnail(picture), thumbnail(picture + np.uint8(100)))


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (63, 64), (129, 65), (1080, 1920)])
def test_a_thumbnail_has_the_picture_s_mean(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    small = thumbnail(luma)
    assert small.shape == (32, 32)
    assert small.dtype == np.float32
    if min(shape) > 60:
        assert abs(float(small.mean()) - luma.mean()) < 1.5


def test_a_sudden_change_between_like_scenes_is_a_cut_and_steady_motion_is_none() -> None:
    rng = np.random.default_rng(2)
    room = rng.integers(60, 200, (9, 16), np.uint8).repeat(10, 0).repeat(10, 1).astype(np.int64)
    other = room.copy()
    other[:, 50:100] = rng.integers(0, 255, (90, 50))  # another person stands there
    still = [np.clip(room + rng.integers(-2, 3, room.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    watch = SceneWatch()
    shown = [*still, np.clip(other, 0, 255).astype(np.uint8)]
    assert [watch.is_new(thumbnail(luma)) for luma in shown] == [False] * 8 + [True]
    assert not is_cut(thumbnail(shown[-2]), thumbnail(shown[-1]))  # by itself it is not enough
    watch = SceneWatch()
    panning = [np.roll(room, 3 * step, axis=1).astype(np.uint8) for step in range(12)]
    assert not any(watch.is_new(thumbnail(luma)) for luma in panning)
