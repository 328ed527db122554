"""The stages of an annotation by themselves: threads, tracks and smoothing, names, labels, curves, cameras."""

import math
import threading
import time
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align import Box, UsageError
from curate import Align, Cut
from tests.videos import shorten
from train.annotate.alignment import alignment_of
from train.annotate.faces import Answered, FaceAnswer, Follower, answer, chunks
from train.annotate.inputs import Input, list_inputs
from train.annotate.look import Seen
from train.annotate.painter import Painter, label_lines, text_mask
from train.annotate.sources import CameraReader, Shape
from train.annotate.table import TableWriter
from train.annotate.threads import Dropped, ahead
from train.annotate.timeline import draw_timeline, thinned
from train.annotate.video import VideoWriter
from train.tasks import Tasks

TASKS = Tasks(classes=["a", "b"], affect=True, units=["au_4", "au_12"])
CLIP = Input("video", "x.mp4", "x.mp4", "x")


def face(values, x=0.0, track=None):
    made = None if values is None else np.array(values, np.float32)
    return FaceAnswer(Box(x, 0, 10, 10), made, None if made is not None else "profile", track)


# threads


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_what_runs_ahead_gives_the_same_items_in_order(items, depth):
    assert list(ahead(iter(items), depth)) == items


def test_an_error_ahead_arrives_after_the_items_before_it():
    def broken():
        yield 1
        raise UsageError("broken")

    found = ahead(broken(), 2)
    assert next(found) == 1
    with pytest.raises(UsageError, match="broken"):
        next(found)


def test_closing_ends_every_stage_and_its_thread():
    closed = []

    def endless(name, items):
        try:
            yield from items
        finally:
            closed.append((name, threading.current_thread() is threading.main_thread()))

    before = threading.active_count()
    outer = ahead(endless("second", ahead(endless("first", iter(int, 1)), 2)), 2)
    assert [next(outer), next(outer)] == [0, 0]
    outer.close()
    assert sorted(closed) == [("first", False), ("second", False)]
    assert threading.active_count() == before


def test_a_stage_stays_within_its_depth():
    made = []
    found = ahead((made.append(i) or i for i in range(100)), 3)
    next(found)
    time.sleep(0.3)
    assert len(made) <= 1 + 3 + 1
    found.close()


def test_what_does_not_wait_loses_its_oldest_items_and_they_are_counted():
    dropped, go_on = Dropped(), threading.Event()

    def fast():
        yield from range(50)
        go_on.set()
        time.sleep(0.2)

    found = ahead(fast(), 2, dropped)
    first = next(found)
    go_on.wait(5)
    rest = list(found)
    assert rest[-1] == 49
    assert dropped.count > 0
    assert dropped.count + len(rest) + 1 == 50
    assert [first, *rest] == sorted([first, *rest])


# faces


def test_smoothing_shows_63_percent_of_a_step_after_its_time_constant():
    follower = Follower(0.5)
    for i in range(11):
        seen = Seen(CLIP, i, time_s=i / 20)
        (found,) = follower.follow([face([0.0 if i == 0 else 1.0])], seen)
    assert found.values[0] == pytest.approx(1 - math.exp(-1), abs=1e-5)
    assert found.track == 0


def test_smoothing_ends_with_the_track_and_at_a_change_of_scene():
    follower = Follower(10.0)
    follower.follow([face([0.0])], Seen(CLIP, 0, time_s=0.0))
    (cut,) = follower.follow([face([1.0])], Seen(CLIP, 1, time_s=0.1, new_scene=True))
    assert (cut.track, cut.values[0]) == (1, 1.0)
    for i in range(7):
        follower.follow([], Seen(CLIP, 2 + i, time_s=0.2 + i))
    assert follower._last == {}  # memory does not grow with the faces of a long video
    (back,) = follower.follow([face([0.5])], Seen(CLIP, 20, time_s=9.0))
    assert (back.track, back.values[0]) == (2, 0.5)


def test_without_smoothing_answers_are_as_the_model_gave_them_and_two_faces_keep_their_tracks():
    follower = Follower(0.0)
    left, right = face([0.1]), face([0.9], x=100)
    assert [one.track for one in follower.follow([left, right], Seen(CLIP, 0, time_s=0.0))] == [0, 1]
    found = follower.follow([right, left], Seen(CLIP, 1, time_s=0.1))
    assert [(one.track, float(one.values[0])) for one in found] == [(1, pytest.approx(0.9)), (0, pytest.approx(0.1))]


def cuts(count, side=8, start=0):
    box = {"box_x": 0.0, "box_y": 0.0, "box_w": 4.0, "box_h": 4.0}
    return [Cut(box, np.full((side, side, 3), start + i, np.uint8)) for i in range(count)]


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=40), st.integers(1, 8))
def test_chunks_keep_the_order_and_each_face_gets_its_own_answer(counts, batch_size):
    start, frames = 0, []
    for index, count in enumerate(counts):
        frames.append(Seen(CLIP, index, cuts=None if count is None else cuts(count, start=start)))
        start += count or 0

    def told(crops):
        return np.array([[crop[0, 0, 0]] for crop in crops], np.float32).reshape(-1, 1)

    made = list(chunks(iter(frames), batch_size))
    assert [seen for chunk in made for seen in chunk] == frames
    assert all(sum(len(seen.crops) for seen in chunk[:-1]) < batch_size for chunk in made)
    found = [one for part in answer(iter(made), told, None) for one in part]
    assert [None if one.faces is None else len(one.faces) for one in found] == counts
    assert [float(one.values[0]) for frame in found for one in frame.faces or ()] == [i % 256 for i in range(start)]


def test_large_frames_go_on_before_there_are_many_faces_and_so_do_many_empty_ones():
    large = np.zeros((2160, 3840, 3), np.uint8)
    sizes = [len(chunk) for chunk in chunks((Seen(CLIP, i, picture=large) for i in range(9)), 32)]
    assert sizes == [3, 3, 3]
    assert [len(chunk) for chunk in chunks((Seen(CLIP, i, cuts=()) for i in range(300)), 32)] == [256, 44]
    assert [len(chunk) for chunk in chunks((Seen(CLIP, i) for i in range(3)), 32, at_once=True)] == [1, 1, 1]


# inputs


def test_inputs_that_would_write_one_file_get_names_of_their_own_whatever_their_order(tmp_path):
    for name in ("x/clip.mp4", "y/clip.mp4", "y/Clip.avi", "y/other.mp4", "y/photos.mp4", "y/p.png", "y/clip.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = {}
    for order in (["x", "y"], ["y", "x", "x/clip.mp4"]):
        found = list_inputs(order, tmp_path / "out")
        files = [name.casefold() for item in found for name in item.own_files]
        assert len(files) == len(set(files))
        assert len(found) == 7
        names[tuple(order)] = {str(item.address): item.name for item in found}
    assert len({tuple(sorted(one.items())) for one in names.values()}) == 1
    (given_once,) = {tuple(sorted(one.items())) for one in names.values()}
    named = dict(given_once)
    assert named["y/other.mp4"] == "other"
    assert named["y/clip.jpg"] == "clip"  # clip.jpg lies over no mp4
    assert named["y/photos.mp4"] != "photos"  # photos.csv is taken by the photos
    assert named["x/clip.mp4"].startswith("clip-")


def test_cameras_streams_and_globs_are_told_apart(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.gif").write_bytes(b"")
    (tmp_path / "c").write_bytes(b"")
    found = list_inputs(["*", "camera:3", "camera", "rtsp://u:p@h:554/cam/1?x=1", "http://h/f.mp4"], tmp_path / "o")
    kinds = [(item.kind, item.source, item.name, item.is_live, item.is_endless) for item in found]
    assert kinds == [
        ("photo", "a.png", "a", False, False),
        ("video", "b.gif", "b", False, False),
        ("video", "c", "c", False, False),
        ("camera", "camera:3", "camera-3", True, True),
        ("camera", "camera:0", "camera-0", True, True),
        ("stream", "rtsp://h:554/cam/1?x=1", "h-554-cam-1", True, True),
        ("stream", "http://h/f.mp4", "h-f.mp4", False, True),
    ]


def test_all_faces_are_looked_for_where_all_are_asked_for(tmp_path):
    kept = {"detector": "hog", "landmarks": "dlib5", "template": "tight", "size": 64}
    assert alignment_of(kept, {}, tmp_path) == Align(**kept)
    assert alignment_of(kept, {"faces": "all", "size": None}, tmp_path) == Align(**kept, faces="all", search="alike")
    assert alignment_of(kept, {"faces": "all", "search": "one"}, tmp_path).search == "one"
    assert alignment_of({"detector": "none"}, {}, tmp_path).detector == "none"


# pictures


def test_labels_say_what_the_model_tells():
    lines = label_lines(face([0.2, 0.8, -0.5, 0.25, 0.7, 0.9]), TASKS, 0.75)
    assert lines == ["b 80%", "valence -0.50", "arousal +0.25", "AU 12 90%"]
    assert label_lines(face(None), TASKS, 0.5) == ["profile"]
    assert label_lines(face([0.4, 0.6]), Tasks(units=["au_1", "au_2"]), 0.5) == ["AU 2 60%"]


def test_letters_of_other_scripts_are_drawn_and_not_boxes():
    painter = Painter(TASKS, 0.5)
    for text in ("Радость", "χαρά", "ärgerlich"):
        drawn = text_mask(text, painter._font, 20)
        missing = text_mask("\U000f0000" * len(text), painter._font, 20)
        assert drawn.shape != missing.shape or np.abs(drawn - missing).mean() > 0.05
        assert 0.03 < drawn.mean() < 0.6
    assert text_mask("a", painter._font, 20).shape[0] == text_mask("Ég", painter._font, 20).shape[0]


def test_a_font_that_is_none_is_refused(tmp_path):
    (tmp_path / "x.ttf").write_text("no font")
    with pytest.raises(UsageError, match="--font must be"):
        Painter(TASKS, 0.5, tmp_path / "x.ttf")


@given(st.floats(-60, 300), st.floats(-60, 300), st.floats(1, 400), st.integers(1, 200), st.integers(1, 200))
def test_boxes_anywhere_are_drawn_without_harm(x, y, side, height, width):
    picture = np.full((height, width, 3), 255, np.uint8)
    there = FaceAnswer(Box(x, y, side, side), np.array([0.1, 0.9, 0, 0, 1, 1], np.float32), track=3)
    Painter(TASKS, 0.5).paint(picture, [there, face(None)])
    assert picture.shape == (height, width, 3)


def test_the_label_stands_above_the_box_and_below_it_where_there_is_no_room():
    painter, answer_ = Painter(Tasks(classes=["a", "b"]), 0.5), np.array([0.1, 0.9], np.float32)
    for top, rows in ((150, slice(100, 149)), (2, slice(106, 150))):
        picture = np.full((300, 300, 3), 255, np.uint8)
        painter.paint(picture, [FaceAnswer(Box(100, top, 100, 100), answer_)])
        assert (picture[rows, 105:150] != 255).any()
        other = slice(255, 300) if top == 150 else slice(160, 300)
        assert (picture[other, 105:150] == 255).all()


@given(st.integers(1, 500), st.integers(1, 60))
def test_thinning_keeps_ends_means_and_order(count, most):
    time_s = np.linspace(0, 10, count)
    values = np.random.default_rng(count).random((count, 2))
    times, curves = thinned(time_s, values, most)
    assert len(times) <= most + 1
    assert (np.diff(times) >= 0).all()
    if count % -(-count // most) == 0:
        np.testing.assert_allclose(curves.mean(0), values.mean(0))


def test_a_curve_breaks_where_the_face_was_away():
    time_s = np.array([0, 1, 2, 3, 20, 21, 22.0])
    times, curves = thinned(time_s, np.ones((7, 1)))
    assert np.isnan(curves[:, 0]).nonzero()[0].tolist() == [4]
    assert len(times) == 8


def test_the_timeline_shows_each_task_of_the_faces_that_were_there_longest(tmp_path):
    frames = [*([0] * 9), *([1] * 5), *([2] * 3), *([3] * 2), 4]
    with TableWriter(tmp_path / "t.csv", TASKS, of_photos=False) as table:
        for index, track in enumerate(frames):
            there = [face([0.2, 0.8, 0, 0, 1, 0], track=track), face(None, track=9)]
            table.write(Answered(Seen(CLIP, index, time_s=index / 10), there))
    assert table.rows == 40
    figure = draw_timeline(tmp_path / "t.csv", TASKS, "a $ title")
    assert len(figure.axes) == 4 * 3
    assert "1 more faces" in figure.axes[-1].get_xlabel()
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines[:2]] == ["a", "b"]
    np.testing.assert_allclose(lines[1].get_ydata(), 0.8, atol=1e-6)


# sources and videos


def test_a_cameras_pictures_come_in_rgb_with_growing_times(clips, tmp_path):
    clip = shorten(clips / "carphone_pristine.mp4", tmp_path / "c.mp4", 5)
    with CameraReader(str(clip)) as reader:  # OpenCV reads a file as it reads a camera
        frames = list(reader)
    assert len(frames) == 5
    assert "the camera is gone" in reader.error
    assert [frame.index for frame in frames] == list(range(5))
    assert (np.diff([frame.since_first_s for frame in frames]) > 0).all()
    with_cv2 = cv2.VideoCapture(str(clip)).read()[1]
    np.testing.assert_array_equal(frames[0].rgb(), with_cv2[:, :, ::-1])


def test_odd_sizes_repeated_times_and_changing_sizes_are_written(tmp_path):
    from .annotate_cases import read_video

    with VideoWriter(tmp_path / "x.mp4", Shape(Fraction(10)), None) as video:
        for index, pts in enumerate([100, 140, 140, 90, 300]):
            side = 64 if index == 4 else 33
            picture = np.full((side, side + 2, 3), 40 * index, np.uint8)
            video.write(picture, Seen(CLIP, index, pts, Fraction(1, 1000)))
    frames, times = read_video(tmp_path / "x.mp4")
    assert times == pytest.approx([0, 0.04, 0.041, 0.042, 0.2])
    assert [frame.shape for frame in frames] == [(34, 36, 3)] * 5
    assert [frame.mean() for frame in frames] == pytest.approx([0, 40, 80, 120, 160], abs=3)


def test_pixels_that_are_not_square_stay_so_and_turn_with_the_picture():
    shape = Shape(aspect=Fraction(4, 3), width=720, height=576)
    assert shape.aspect_of(576, 720) == Fraction(4, 3)
    assert shape.aspect_of(720, 576) == Fraction(3, 4)
