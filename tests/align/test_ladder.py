"""The ladder on a backend that sees bright squares, so that each step can be told apart."""

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align import Box, Face, Search, UsageError
from align.ladder import LadderDetector, Reach, View, _ladder


class Squares:
    """Finds bright upright 'faces' of 10 to 200 px: a square whose upper left quarter is brightest."""

    name = "squares"
    colour = False

    def __init__(self, **reach: object) -> None:
        wanted = {"window": 10, "sure_score": 0.5, "long_side": 100, "max_side": 800, "upright_score": 0.0}
        self.reach = Reach(**{**wanted, **reach})
        self.shown: list[tuple[int, ...]] = []
        self.batches: list[int] = []

    def boxes(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.batches.append(len(pictures))
        return [self._one(picture) for picture in pictures]

    def _one(self, luma: np.ndarray) -> np.ndarray:
        self.shown.append(luma.shape)
        count, _, stats, _ = cv2.connectedComponentsWithStats((luma > 60).astype(np.uint8))
        rows = []
        for x, y, w, h, _ in stats[1:count]:
            touches = x == 0 or y == 0 or x + w == luma.shape[1] or y + h == luma.shape[0]
            if touches or not 10 <= w <= 200:
                continue
            part = luma[y : y + h, x : x + w].astype(float)
            quarters = [
                part[: h // 2, : w // 2],
                part[: h // 2, w // 2 :],
                part[h // 2 :, : w // 2],
                part[h // 2 :, w // 2 :],
            ]
            means = [quarter.mean() for quarter in quarters]
            score = means[0] / 255 if int(np.argmax(means)) == 0 else 0.3
            rows.append((x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5, score))
        return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _picture(height: int, width: int, *faces: tuple[int, int, int], turn: int = 0) -> np.ndarray:
    """Draw faces at (x, y, side) on black, then turn the picture by quarters, clockwise."""
    picture = np.zeros((height, width), np.uint8)
    for x, y, side in faces:
        picture[y : y + side, x : x + side] = 120
        picture[y : y + side // 2, x : x + side // 2] = 250
    return np.ascontiguousarray(np.rot90(picture, -turn // 90))


def _near(face: Face, x: float, y: float, side: float, within: float = 1.0) -> bool:
    return bool(np.allclose(face.box.xyxy, (x - 0.5, y - 0.5, x + side - 0.5, y + side - 0.5), atol=within))


def test_the_first_view_that_shows_a_face_ends_the_search() -> None:
    backend = Squares()
    (face,) = LadderDetector(backend).detect(_picture(100, 100, (30, 40, 20)))
    assert _near(face, 30, 40, 20, within=0.01)
    assert (face.scale, face.turn_deg, face.detector) == (1.0, 0, "squares")
    assert backend.shown == [(100, 100)]


def test_a_small_face_is_found_enlarged_and_brought_back() -> None:
    backend = Squares(long_side=100)
    (face,) = LadderDetector(backend).detect(_picture(400, 400, (200, 100, 20)), Search(min_face=20))
    assert _near(face, 200, 100, 20, within=1.5)
    assert face.scale == 0.5


def test_a_face_that_fills_the_picture_is_found_inside_a_border() -> None:
    picture = _picture(100, 100, (0, 0, 100))
    picture[:4] = picture[-4:] = picture[:, :4] = picture[:, -4:] = 30  # replicated by the border: dark, not part of it
    backend = Squares(window=80)
    backend.reach = Reach(window=10, sure_score=0.5, long_side=300, max_side=800, upright_score=0.0)
    (face,) = LadderDetector(backend).detect(picture, Search(min_face=2))
    assert _near(face, 4, 4, 92, within=2)
    assert face.scale < backend.reach.long_side / 100


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_lying_head_is_found_and_says_how_it_lies(turn: int) -> None:
    picture = _picture(100, 140, (30, 40, 30), turn=turn)
    (face,) = LadderDetector(Squares(long_side=140)).detect(picture)
    assert abs(face.turn_deg) == abs(turn)
    assert np.sign(face.turn_deg) == np.sign(turn)
    x, y, side = {90: (100 - 40 - 30, 30, 30), 180: (140 - 30 - 30, 100 - 40 - 30, 30), -90: (40, 140 - 30 - 30, 30)}[
        turn
    ]
    assert _near(face, x, y, side, within=0.01)


def test_lying_heads_are_not_looked_for_where_they_are_not_wanted() -> None:
    backend = Squares(long_side=140)
    faces = LadderDetector(backend).detect(_picture(100, 140, (30, 40, 30), turn=90), Search(turns=False))
    assert [face.turn_deg for face in faces] == [0]  # unsure, but seen in the first view
    assert faces[0].score == 0.3


@pytest.mark.parametrize(
    ("upright_score", "turns", "asked"), [(1.0, True, 1), (1.0, False, 0), (0.5, True, 0), (math.inf, False, 1)]
)
def test_which_way_up_is_asked_of_weak_faces_unless_heads_are_known_to_be_upright(
    monkeypatch: pytest.MonkeyPatch, upright_score: float, turns: bool, asked: int
) -> None:
    seen = []
    monkeypatch.setattr("align.ladder.upright", lambda _, face: seen.append(face) or replace(face, turn_deg=180))
    detector = LadderDetector(Squares(upright_score=upright_score))
    (face,) = detector.detect(_picture(100, 100, (30, 40, 20)), Search(turns=turns))
    assert len(seen) == asked
    assert face.turn_deg == 180 * asked


def test_every_view_is_merged_where_all_are_asked_for() -> None:
    picture = _picture(400, 400, (20, 20, 120), (300, 300, 20))
    first = LadderDetector(Squares()).detect(picture)
    every = LadderDetector(Squares()).detect(picture, Search(until="every"))
    assert len(first) == 1
    assert len(every) == 2
    assert [face.score for face in every] == sorted((face.score for face in every), reverse=True)


def test_a_group_of_like_size_is_found_whole_and_a_large_face_ends_the_search() -> None:
    """Of two faces the smaller is just too small for the first view: it is looked for only beside one hardly larger."""
    group = _picture(400, 400, (20, 20, 44), (300, 300, 36))
    assert len(LadderDetector(Squares()).detect(group, Search(until="one"))) == 1
    assert len(LadderDetector(Squares()).detect(group)) == 2
    backend = Squares()
    apart = _picture(400, 400, (20, 20, 120), (300, 300, 36))
    assert len(LadderDetector(backend).detect(apart)) == 1
    assert backend.shown == [(100, 100)]


class _Nonsense(Squares):
    def boxes(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        bad = [(5, 5, 5, 9, 1), (5, 5, 5.5, 9, 1), (9, 9, 5, 5, 1), (np.nan, 5, 20, 20, 1), (5, 5, 20, 20, np.inf)]
        return [np.array([*bad, (5, 5, 20, 20, 0.9)], dtype=np.float64) for _ in pictures]


def test_boxes_that_are_none_are_left_out() -> None:
    (face,) = LadderDetector(_Nonsense()).detect(np.zeros((100, 100), np.uint8))
    assert face.box.xyxy == pytest.approx((5, 5, 20, 20))


def test_unsure_faces_of_later_views_are_not_believed() -> None:
    picture = _picture(400, 400, (200, 100, 20), turn=90)
    assert LadderDetector(Squares()).detect(picture, Search(turns=False, min_face=20)) == []


def test_pictures_of_one_size_are_shown_together_and_found_as_one_by_one() -> None:
    pictures = [_picture(100, 100, (10 * i, 40, 20)) for i in range(1, 6)] + [
        _picture(100, 100),
        _picture(60, 90, (5, 5, 20)),
    ]
    backend = Squares()
    together = LadderDetector(backend).detect_batch(pictures)
    assert backend.batches[:2] == [6, 1]
    assert together == [LadderDetector(Squares()).detect(picture) for picture in pictures]
    assert together[5] == []


@given(st.integers(1, 40_000), st.integers(1, 40_000), st.integers(1, 500), st.none() | st.integers(1, 500))
def test_no_view_has_more_pixels_than_the_reach_allows(
    height: int, width: int, min_face: int, expected: int | None
) -> None:
    reach = Reach(window=80, sure_score=0.5, turns=(90, -90, 45, -45, 180))
    steps = list(_ladder((height, width), reach, Search(min_face=min_face, expected_face=expected)))
    assert steps[0].views[0].turn_deg == steps[0].views[0].padding == 0
    for view in (view for step in steps for view in step.views):
        down, across = view.shape(height, width)
        assert down * across <= 0.75 * reach.max_side**2 + 3 * (down + across)
        assert max(down, across) <= 30_001


def test_the_view_for_the_expected_face_comes_first_and_the_ladder_goes_on_from_it() -> None:
    reach = Reach(window=96, sure_score=0.5, long_side=480)

    def scales(expected: int | None) -> list[float]:
        steps = list(_ladder((360, 640), reach, Search(min_face=20, turns=False, expected_face=expected)))
        return [round(step.views[0].scale, 2) for step in steps]

    assert scales(None) == [0.75, 0.38, 1.5, 3.0, 4.62]
    assert scales(64) == [1.5, 0.75, 0.38, 3.0, 4.62]
    assert scales(40) == [2.4, 0.75, 0.38, 4.62]
    assert scales(10) == [4.62, 0.75, 0.38]
    assert scales(300) == scales(None)


def test_an_expected_face_is_found_in_one_view_and_another_one_by_the_ladder() -> None:
    search = Search(until="one", min_face=10, turns=False, expected_face=25)
    backend = Squares(long_side=100)
    (face,) = LadderDetector(backend).detect(_picture(400, 400, (200, 100, 26)), search)
    assert _near(face, 200, 100, 26, within=1.5)
    assert backend.shown == [(160, 160)]
    backend = Squares(long_side=100)
    (face,) = LadderDetector(backend).detect(_picture(400, 400, (200, 100, 12)), search)
    assert _near(face, 200, 100, 12, within=1.5)
    assert backend.shown == [(160, 160), (100, 100), (74, 74), (320, 320)]


def test_a_face_that_the_view_for_the_expected_one_alone_shows_is_kept_by_a_search_of_every_view() -> None:
    search = Search(until="every", min_face=12, turns=False, expected_face=12)
    (face,) = LadderDetector(Squares()).detect(_picture(400, 400, (200, 100, 14)), search)
    assert _near(face, 200, 100, 14, within=1.5)


def test_an_unsure_face_counts_in_the_lowest_view_alone_also_where_another_is_expected() -> None:
    """An upright square of 0.3 is unsure; the view for the expected face shows it, and is not believed."""
    unsure = np.rot90(_picture(400, 400, (200, 100, 26)))
    backend = Squares(long_side=100)
    assert LadderDetector(backend).detect(unsure, Search("one", 20, turns=False, expected_face=25)) == []
    unsure = np.rot90(_picture(400, 400, (200, 100, 60)))
    (face,) = LadderDetector(Squares()).detect(unsure, Search("one", 20, turns=False, expected_face=25))
    assert (face.score, face.scale) == (pytest.approx(0.3), 0.25)


@given(
    st.integers(1, 120),
    st.integers(1, 120),
    st.floats(0.3, 4),
    st.sampled_from([0, 0.25]),
    st.sampled_from([0, 90, -90, 180, 45]),
)
def test_a_view_has_the_shape_that_was_said(height: int, width: int, scale: float, padding: float, turn: int) -> None:
    view = View(scale, padding, turn)
    shown, _ = view.show(np.zeros((height, width), np.uint8))
    assert np.allclose(shown.shape, np.maximum(view.shape(height, width), 64), atol=6)  # two borders are rounded


@pytest.mark.parametrize(("min_face", "smallest"), [(20, 20), (40, 40), (80, 80)])
def test_views_are_enlarged_until_the_smallest_face_fills_the_window(min_face: int, smallest: int) -> None:
    steps = list(_ladder((480, 640), Reach(window=80, sure_score=0.5), Search(min_face=min_face)))
    assert max(view.scale for step in steps for view in step.views) == pytest.approx(80 / smallest)


def test_a_long_picture_is_brought_to_size_by_its_short_side_and_one_without_room_is_seen_once() -> None:
    reach = Reach(window=80, sure_score=0.5)
    first = next(iter(_ladder((300, 3000), reach, Search(min_face=80)))).views[0]
    assert first.scale == pytest.approx(640 / 900)
    assert len(list(_ladder((9, 5000), reach, Search(min_face=20)))) == 1


def test_two_boxes_of_one_face_are_one_and_two_faces_are_two() -> None:
    def boxes(_: Squares, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        rows = [(10, 10, 50, 50, 0.9), (18, 18, 58, 58, 0.8), (60, 60, 90, 90, 0.7)]
        return [np.array(rows, dtype=np.float64) for _ in pictures]

    backend = type("Fixed", (Squares,), {"boxes": boxes})()
    faces = LadderDetector(backend).detect(np.zeros((100, 100), np.uint8), Search(until="one"))
    assert [face.score for face in faces] == [0.9, 0.7]


def test_boxes_that_lie_apart_share_nothing() -> None:
    assert Box(0, 0, 10, 10).iou(Box(20, 30, 10, 10)) == 0
    assert Box(0, 0, 10, 10).iou(Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert Box(0, 0, 10, 10).iou(Box(0, 0, 10, 10)) == 1


def test_what_was_unsure_before_a_sure_face_came_was_none() -> None:
    def boxes(_: Squares, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        row = (60, 60, 90, 90, 0.9) if pictures[0].shape == (200, 100) else (5, 5, 25, 25, 0.3)
        return [np.array([row], dtype=np.float64) for _ in pictures]

    backend = type("Unsure", (Squares,), {"boxes": boxes})(long_side=200, turns=(90,))
    faces = LadderDetector(backend).detect(np.zeros((100, 200), np.uint8), Search(min_face=100))
    assert [(face.score, face.turn_deg) for face in faces] == [(0.9, 90)]


def test_an_oblong_box_of_a_turned_view_lies_with_the_head() -> None:
    def boxes(_: Squares, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        is_turned = pictures[0].shape == (200, 100)
        rows = [(10, 20, 40, 80, 0.9)] if is_turned else []
        return [np.array(rows, dtype=np.float64).reshape(-1, 5) for _ in pictures]

    backend = type("Oblong", (Squares,), {"boxes": boxes})(long_side=200, turns=(90,), upright_score=0.0)
    (face,) = LadderDetector(backend).detect(np.zeros((100, 200), np.uint8), Search(min_face=100))
    assert (face.box.w, face.box.h) == pytest.approx((60, 30))
    assert face.turn_deg == 90


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 9000)])
def test_pictures_of_any_shape_can_be_looked_at(size: tuple[int, int]) -> None:
    assert LadderDetector(Squares()).detect(np.full(size, 9, np.uint8)) == []


@given(
    st.integers(90, 160),
    st.integers(90, 160),
    st.floats(0.5, 3),
    st.sampled_from([0, 0.25]),
    st.sampled_from([0, 90, -90, 180, 45, -45]),
)
def test_a_views_matrix_says_where_each_pixel_went(
    height: int, width: int, scale: float, padding: float, turn: int
) -> None:
    """A bright spot is found in the view where the matrix says."""
    spot = width * 0.3, height * 0.6
    y, x = np.mgrid[0:height, 0:width]
    picture = (255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 32)).astype(np.uint8)
    shown, matrix = View(scale, padding, turn).show(picture)
    weights = shown.astype(float)
    y, x = np.mgrid[0 : shown.shape[0], 0 : shown.shape[1]]
    found = (x * weights).sum() / weights.sum(), (y * weights).sum() / weights.sum()
    assert np.allclose(found, matrix @ (*spot, 1), atol=0.15 * max(scale, 1))


def test_a_small_view_gets_a_border_on_the_right_and_below_alone() -> None:
    shown, matrix = View(1.0).show(np.full((5, 200), 7, np.uint8))
    assert shown.shape == (64, 200)
    assert np.allclose(matrix, [[1, 0, 0], [0, 1, 0]])


def test_an_unknown_end_of_the_search_is_refused() -> None:
    with pytest.raises(UsageError, match=r"search must be one of one, alike, every \(got 'first'\)"):
        Search(until="first")


@pytest.mark.parametrize("bad", [0, -1, 2.5, "20", True])
def test_a_smallest_face_that_is_no_number_of_pixels_is_refused(bad: object) -> None:
    with pytest.raises(UsageError, match="min_face must be a whole number of pixels >= 1"):
        Search(min_face=bad)
    with pytest.raises(UsageError, match="expected_face must be a whole number of pixels >= 1"):
        Search(expected_face=bad)
