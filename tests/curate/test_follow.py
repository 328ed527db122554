import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import align
from align import find_faces, warp
from align.detectors import dlib_hog
from curate.config import Align, Background, Sample
from curate.follow import Sighting, Watcher
from curate.frames import Frame, VideoReader
from curate.look import Looker


@pytest.fixture(scope="module")
def talk(clips: Path) -> list[Frame]:
    """The first 90 frames of a man who talks: his face is near 60 px wide."""
    with VideoReader(clips / "carphone_pristine.mp4", Sample()) as reader:
        return [replace(frame, luma=frame.luma.copy()) for frame in islice(reader, 90)]


def _watch(frames: list[Frame], **settings: object) -> list[list[Sighting]]:
    watcher = Watcher(Align(**settings))
    return [watcher.find(frame) for frame in frames]


def _shown(picture: np.ndarray, number: int) -> Frame:
    """A picture as a frame of a video of 30 frames a second."""
    import cv2

    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return Frame(number, number, None, luma, lambda: picture, since_first_s=number / 30)


def _moved(picture: np.ndarray, right: float, down: float = 0.0) -> np.ndarray:
    return warp(picture, np.array([[1.0, 0.0, right], [0.0, 1.0, down]]), picture.shape[1::-1])


def test_no_face_is_lost_and_the_eyes_are_those_of_a_search(talk: list[Frame]) -> None:
    searched, followed = _watch(talk, follow_s=0.0), _watch(talk)
    found = [bool(sightings) for sightings in searched]
    assert sum(found) > 80
    assert all(sightings for sightings, there in zip(followed, found, strict=True) if there)
    assert sum(math.isnan(sightings[0].face.score) for sightings in followed if sightings) > 70
    pairs = [(a[0].face.eyes, b[0].face.eyes) for a, b in zip(searched, followed, strict=True) if a and b]
    off = [np.linalg.norm(a.xy - b.xy, axis=1).max() / a.interocular_px for a, b in pairs]
    assert np.mean(off) < 0.015
    assert np.percentile(off, 95) < 0.04


def test_a_face_that_moves_is_followed_with_its_box(astronaut: np.ndarray) -> None:
    frames = [_shown(_moved(astronaut, 3.0 * n, 1.0 * n), n) for n in range(12)]
    faces = [sightings[0].face for sightings in _watch(frames)]
    assert [math.isnan(face.score) for face in faces] == [False] + [True] * 11
    for face in faces:
        assert face.box.iou(find_faces(frames[faces.index(face)].luma)[0].box) > 0.8


def test_a_face_that_is_hidden_is_not_claimed_and_is_found_when_it_is_back(astronaut: np.ndarray) -> None:
    box = find_faces(astronaut)[0].box
    hidden = astronaut.copy()
    left, top, right, bottom = (round(edge) for edge in box.xyxy)
    hidden[top:bottom, left:right] = np.random.default_rng(0).integers(
        0, 256, (bottom - top, right - left, 3), np.uint8
    )
    frames = [_shown(picture, n) for n, picture in enumerate([astronaut] * 3 + [hidden] * 3 + [astronaut] * 3)]
    assert [len(sightings) for sightings in _watch(frames)] == [1, 1, 1, 0, 0, 0, 1, 1, 1]


def test_a_jump_to_another_place_is_found_by_a_search(astronaut: np.ndarray) -> None:
    frames = [_shown(astronaut, 0), _shown(astronaut, 1), _shown(_moved(astronaut, 150), 2)]
    watcher = Watcher(Align())
    centers = [watcher.find(frame)[0].face.box.center[0] for frame in frames]
    assert centers[2] - centers[1] == pytest.approx(150, abs=8)


def test_nothing_is_followed_into_a_new_scene(astronaut: np.ndarray) -> None:
    watcher = Watcher(Align())
    watcher.find(_shown(astronaut, 0))
    assert math.isnan(watcher.find(_shown(astronaut, 1))[0].face.score)
    assert not math.isnan(watcher.find(_shown(astronaut, 2), new_scene=True)[0].face.score)


def test_the_detector_is_asked_again_when_the_time_is_up(astronaut: np.ndarray) -> None:
    sightings = _watch([_shown(astronaut, n) for n in range(16)], follow_s=0.2)
    detected = [n for n, (sighting,) in enumerate(sightings) if not math.isnan(sighting.face.score)]
    assert detected == [0, 6, 12]


def test_where_all_faces_are_wanted_a_second_one_is_found_at_the_next_check(astronaut: np.ndarray) -> None:
    alone = np.hstack([astronaut, np.zeros_like(astronaut)])
    both = np.hstack([astronaut, astronaut])
    frames = [_shown(alone if n < 3 else both, n) for n in range(10)]
    assert [len(s) for s in _watch(frames, faces="all", search="every", follow_s=0.2)] == [1] * 6 + [2] * 4


def test_a_small_newcomer_in_a_far_corner_of_a_still_picture_is_found_at_the_next_check(astronaut: np.ndarray) -> None:
    import cv2

    alone = np.hstack([astronaut, np.full_like(astronaut, 90)])
    both = alone.copy()
    both[-170:, -170:] = cv2.resize(astronaut, (170, 170), interpolation=cv2.INTER_AREA)
    frames = [_shown(alone if n < 3 else both, n) for n in range(9)]
    watched = _watch(frames, faces="all", search="every", follow_s=0.2)
    assert [len(sightings) for sightings in watched] == [1] * 6 + [2] * 3
    x, y = watched[-1][-1].face.box.center
    assert x > 850
    assert y > 342


def test_where_the_largest_face_is_wanted_a_larger_newcomer_is_found_at_the_tenth_check(astronaut: np.ndarray) -> None:
    small = np.hstack([_small(astronaut), np.full_like(astronaut, 90)])
    both = np.hstack([_small(astronaut), astronaut])
    frames = [_shown(small if n < 2 else both, n) for n in range(36)]
    widths = [sightings[0].face.box.w for sightings in _watch(frames, follow_s=0.1)]
    is_large = [width > 1.5 * widths[0] for width in widths]
    assert is_large == [False] * 30 + [True] * 6


def test_pictures_are_searched_one_by_one(astronaut: np.ndarray) -> None:
    pictures = [replace(_shown(astronaut, n), pts=None, since_first_s=None) for n in range(3)]
    assert not any(math.isnan(sightings[0].face.score) for sightings in _watch(pictures))


def test_a_lost_face_is_searched_for_five_times_a_second(
    astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    search = align.ladder.LadderDetector.detect

    def counted(self: object, image: np.ndarray, how: object) -> object:
        asked.append(image.size)
        return search(self, image, how)

    monkeypatch.setattr(align.ladder.LadderDetector, "detect", counted)
    empty = np.full_like(astronaut, 90)
    assert not any(_watch([_shown(empty, n) for n in range(31)]))
    assert len(asked) == 6


@pytest.mark.parametrize("background", [None, Background()], ids=["faces", "background"])
def test_where_background_is_cut_each_frame_is_searched(astronaut: np.ndarray, background: Background | None) -> None:
    """A frame is background where the detector found no face in it, not where none was followed into it."""
    looker = Looker(Align(), "s", None, background)
    scores = [cut.columns["score"] for n in range(3) for cut in looker.look(_shown(astronaut, n), new_scene=False)]
    assert [score is not None for score in scores] == [True, background is not None, background is not None]


def _small(picture: np.ndarray) -> np.ndarray:
    """The picture at half its size in a corner of a black one."""
    import cv2

    small = np.zeros_like(picture)
    small[:256, 256:] = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    return small


def test_when_a_face_is_lost_one_as_large_is_looked_for_at_once_and_a_smaller_one_soon(astronaut: np.ndarray) -> None:
    frames = [_shown(astronaut if n < 2 else _small(astronaut), n) for n in range(12)]
    assert [len(sightings) for sightings in _watch(frames)] == [1] * 2 + [0] * 6 + [1] * 4
    watcher = Watcher(Align())
    watcher.find(frames[0])
    assert len(watcher.find(frames[2], new_scene=True)) == 1


def test_a_face_that_comes_back_at_another_place_is_found_near_by(astronaut: np.ndarray) -> None:
    width = find_faces(astronaut)[0].box.w
    back = _moved(astronaut, 0.7 * width, 0.75 * width)
    frames = [_shown(picture, n) for n, picture in enumerate([astronaut, np.zeros_like(astronaut), back])]
    assert [len(sightings) for sightings in _watch(frames)] == [1, 0, 1]


def test_in_a_new_scene_a_face_of_the_size_of_the_last_one_is_found_in_one_view(
    astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, ...]] = []
    boxes = dlib_hog.Hog.boxes

    def counted(self: dlib_hog.Hog, pictures: list[np.ndarray]) -> list[np.ndarray]:
        shown.extend(picture.shape for picture in pictures)
        return boxes(self, pictures)

    monkeypatch.setattr(dlib_hog.Hog, "boxes", counted)
    watcher = Watcher(Align())
    assert watcher.find(_shown(_small(astronaut), 0))
    climbed = len(shown)
    assert watcher.find(_shown(_moved(_small(astronaut), -200), 1), new_scene=True)
    assert (climbed, len(shown) - climbed) == (3, 1)
