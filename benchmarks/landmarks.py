"""Microseconds a face for dlib's 5 and 68 points, ours and dlib's own call, with the rounded points compared."""

import statistics
import time

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

import align
from align.landmarkers.regression_trees import ShapePredictor

from ._timing import compare

FILES = {
    "5 points": "shape_predictor_5_face_landmarks.dat",
    "68 points": "shape_predictor_68_face_landmarks.dat",
}
FACES, TIMES = 40, 8
"""So few that the views stay in the cache, as the one view of a face that was just cut out does."""

SIDE, WIDTH = 360, 240
ROUNDS = 7

View = tuple[NDArray[np.uint8], tuple[int, int, int, int]]
"""A picture and left, top, right and bottom of the box in it."""


def make_views(count: int) -> list[View]:
    """Make views of the astronaut's face, each turned, resized and with its box a little off in its own way."""
    import skimage.data

    luma = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    face = align.find_faces(luma)[0]
    rng = np.random.default_rng(0)
    views = []
    for _ in range(count):
        scale = WIDTH / face.box.w * rng.uniform(0.8, 1.25)
        matrix = cv2.getRotationMatrix2D(face.box.center, rng.uniform(-30, 30), scale)
        matrix[:, 2] += SIDE / 2 - np.array(face.box.center)
        left, top = (int(edge) for edge in (SIDE - WIDTH) // 2 + rng.integers(-40, 41, 2))
        views.append((align.warp(luma, matrix, (SIDE, SIDE), quick=True), (left, top, left + WIDTH, top + WIDTH)))
    return views


def by_dlib(predictor: dlib.shape_predictor, view: View) -> NDArray[np.float64]:
    """Give the points, float64 [N, 2], as a user of dlib gets them."""
    picture, edges = view
    return np.array([(p.x, p.y) for p in predictor(picture, dlib.rectangle(*edges)).parts()], dtype=np.float64)


def by_us(predictor: ShapePredictor, view: View) -> NDArray[np.float64]:
    """Give the points, float64 [N, 2], between the pixels."""
    picture, (left, top, right, bottom) = view
    return predictor.points(picture, align.Box(left, top, right - left, bottom - top))


def main() -> None:
    """Print loading, time a face, their ratio round by round, and the largest difference."""
    views = make_views(FACES)
    for title, name in FILES.items():
        path = align.find_model(name)
        ShapePredictor(path, "any")  # compiles
        started = time.perf_counter()
        ours = ShapePredictor(path, "any")
        loaded = time.perf_counter()
        theirs = dlib.shape_predictor(str(path))
        print(f"\n{title}: loaded in {loaded - started:.2f} s (dlib: {time.perf_counter() - loaded:.2f} s)")
        seconds = compare(
            {
                "eyeline": lambda ours=ours: [by_us(ours, view) for view in TIMES * views],
                "dlib": lambda theirs=theirs: [by_dlib(theirs, view) for view in TIMES * views],
            },
            ROUNDS,
        )
        for who, times in seconds.items():
            print(f"  {who:10}{statistics.median(times) / (FACES * TIMES) * 1e6:8.0f} us a face (median of {ROUNDS})")
        ratios = sorted(b / a for a, b in zip(seconds["eyeline"], seconds["dlib"], strict=True))
        print(f"  {statistics.median(ratios):.1f} times as fast ({ratios[0]:.1f} to {ratios[-1]:.1f})")
        off = np.stack([np.floor(by_us(ours, view) + 0.5) - by_dlib(theirs, view) for view in views])
        print(f"  rounded: {np.count_nonzero(off)} of {off.size} numbers differ, by at most {np.abs(off).max():.0f} px")
