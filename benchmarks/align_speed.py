"""Pictures a second from pixels to aligned crops, against a plain dlib script, where the time goes, two processes."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

import align
from align.landmarks import locate, open_landmarker

from . import _faces
from ._timing import compare, show

SETS = ("london", "canada")
EVERY = 4
"""One photo in so many is taken, unless all are asked for."""

SPEC = align.CropSpec(size=224)
ROUNDS = 5
TARGET = 1.5
"""How many times the script's speed ours shall have."""

Pictures = Sequence[NDArray[np.uint8]]


def eyeline(pictures: Pictures) -> list[NDArray[np.uint8]]:
    """Find and align the largest face of each picture as a user of eyeline does."""
    found = ((picture, align.find_faces(picture, "hog", "dlib5")) for picture in pictures)
    return [align.align_face(picture, _largest(faces), SPEC).image for picture, faces in found if faces]


def _largest(faces: Sequence[align.Face]) -> align.Face:
    return max(faces, key=lambda face: face.box.area)


class PlainScript:
    """What one writes with dlib and OpenCV alone: HOG on RGB, 68 points once, rotate, largest face."""

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(align.find_model("shape_predictor_68_face_landmarks.dat")))

    def __call__(self, pictures: Pictures) -> list[NDArray[np.uint8]]:
        """Find and align the largest face of each picture."""
        crops = []
        for picture in pictures:
            if found := self._detector(picture, 0):
                box = max(found, key=lambda box: box.area())
                points = np.array([(p.x, p.y) for p in self._predictor(picture, box).parts()], dtype=np.float64)
                crops.append(rotated_crop(picture, points[36:42].mean(axis=0), points[42:48].mean(axis=0)))
        return crops


def rotated_crop(
    picture: NDArray[np.uint8], left: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Turn and scale by two eyes, x and y each, so that they stand where our template has them."""
    (to_left, to_y), (to_right, _) = SPEC.eyes_px
    across = right - left
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    middle = (left + right) / 2
    matrix = cv2.getRotationMatrix2D(tuple(middle), angle, (to_right - to_left) / float(np.hypot(*across)))
    matrix[:, 2] += ((to_left + to_right) / 2, to_y) - middle
    crop: NDArray[np.uint8] = cv2.warpAffine(picture, matrix, SPEC.width_height)
    return crop


@dataclass
class Stages:
    """CPU seconds that went into each stage of eyeline; all of it is one thread."""

    detect: float = 0.0
    locate: float = 0.0
    align_face: float = 0.0

    def run(self, pictures: Pictures) -> None:
        """Do what `eyeline` does, with a clock between the stages."""
        detector, landmarker = align.open_detector("hog"), open_landmarker("dlib5")
        for picture in pictures:
            started = time.process_time()
            found = detector.detect(picture)
            detected = time.process_time()
            faces = [locate(picture, face, landmarker) for face in found]
            located = time.process_time()
            if faces:
                align.align_face(picture, _largest(faces), SPEC)
            self.detect += detected - started
            self.locate += located - detected
            self.align_face += time.process_time() - located


_HELD: list[NDArray[np.uint8]] = []
"""The pictures that a worker process has decoded."""


def _hold(paths: Sequence[Path]) -> None:
    cv2.setNumThreads(1)
    _HELD.extend(align.load_image(path) for path in paths)
    eyeline(_HELD[:1])


def _align_part(numbers: Sequence[int]) -> int:
    return len(eyeline([_HELD[number] for number in numbers]))


def measure_pool(paths: Sequence[Path], alone: Callable[[], object]) -> dict[str, list[float]]:
    """Time the same work in two spawned processes and in this one, in turn; both hold the pictures decoded."""
    numbers = range(len(paths))
    parts = [numbers[start : start + 4] for start in range(0, len(numbers), 4)]
    with multiprocessing.get_context("spawn").Pool(2, _hold, (paths,)) as pool:
        return compare(
            {"two processes": lambda: pool.map(_align_part, parts, chunksize=1), "one process": alone}, rounds=ROUNDS
        )


def main(*options: str) -> None:
    """Print both speeds with their ratio round by round, the faces found, the stages, and two processes' gain."""
    every = 1 if _faces.wants_all(options, "align-speed", __doc__) else EVERY
    paths = [photo.path for photo in _faces.read_index() if photo.set_name in SETS][::every]
    pictures = [align.load_image(path) for path in paths]
    script = PlainScript()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        found = f"faces found: eyeline {len(eyeline(pictures))}, script {len(script(pictures))}"
        seconds = compare({"eyeline": lambda: eyeline(pictures), "plain script": lambda: script(pictures)}, ROUNDS)
        title = f"{len(pictures)} photos of at most 640 px, decoded, one process, one thread; {found}"
        show(title, seconds, len(pictures), "pictures")
        ratios = [theirs / ours for ours, theirs in zip(*seconds.values(), strict=True)]
        print(f"  target: at least {TARGET:g} times; round by round: {' '.join(f'{ratio:.2f}' for ratio in ratios)}")
        show_cpu({"eyeline": lambda: eyeline(pictures), "plain script": lambda: script(pictures)}, len(pictures))
        show_stages(pictures)
        show("scaling", measure_pool(paths, lambda: eyeline(pictures)), len(pictures), "pictures")
    finally:
        cv2.setNumThreads(threads)


def show_cpu(contestants: Mapping[str, Callable[[], object]], count: int) -> None:
    """Print the median CPU ms a picture of each; on a machine that others use it is steadier than time."""
    ms: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            started = time.process_time()
            run()
            ms[name].append((time.process_time() - started) / count * 1000)
    ours, theirs = (statistics.median(times) for times in ms.values())
    print(f"  CPU: {' against '.join(ms)} {ours:.1f} against {theirs:.1f} ms a picture: {theirs / ours:.2f} times")


def show_stages(pictures: Pictures) -> None:
    """Print the median CPU ms a picture of each stage over the rounds."""
    rounds = [Stages() for _ in range(ROUNDS)]
    for stages in rounds:
        stages.run(pictures)
    for name in ("detect", "locate", "align_face"):
        ms = statistics.median(getattr(stages, name) for stages in rounds) / len(pictures) * 1000
        print(f"  {name:12}{ms:7.2f} ms of CPU a picture")
