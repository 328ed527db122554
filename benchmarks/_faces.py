"""Photos of one face each with what is known of them, turned and resized, and what counts as a hit."""

import argparse
import csv
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import align

HAND_MARKED = "hand-marked pupils"

SAME_EYES = 0.25
"""Eyes that a method finds are those of the truth where both are within this many eye distances of it."""

MOST_LEANING_DEG = 60
"""A face that leans by more than this in the view that showed it was taken for one of another roll."""


@dataclass(frozen=True)
class Photo:
    """One line of faces/index.csv.

    Attributes:
        path: The picture's file.
        expression: `neutral`, `smiling`, or empty.
        eye_source: Who marked the eyes; empty where nobody did.
        pupils: float64 [2, 2], the pupil at the image's left, then the other, x and y; None where nobody marked them.
    """

    path: Path
    expression: str
    eye_source: str
    pupils: NDArray[np.float64] | None

    @property
    def set_name(self) -> str:
        """The folder that it is in, for example `london`."""
        return self.path.parent.name


@dataclass(frozen=True)
class Subject:
    """A photo with the truth about its face: the HOG detector's box, and the pupils, or our eyes where none are known.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        box: The box of the HOG detector on the upright photo at full size.
        eyes: float64 [2, 2].
    """

    image: NDArray[np.uint8]
    box: align.Box
    eyes: NDArray[np.float64]


@dataclass(frozen=True)
class Placed:
    """A subject's photo, turned and brought to a size.

    Attributes:
        picture: uint8 [H, W, 3], RGB.
        eyes: float64 [2, 2], where the subject's eyes are in it.
        face_px: How wide the face is in it.
    """

    picture: NDArray[np.uint8]
    eyes: NDArray[np.float64]
    face_px: float


def wants_all(options: Sequence[str], name: str, doc: str | None) -> bool:
    """Read a benchmark's one option, --all: every photo, not the default's part of them."""
    parser = argparse.ArgumentParser(f"python -m benchmarks {name}", description=(doc or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="take every photo, not only a part of them")
    return bool(parser.parse_args(options).all)


def data_folder() -> Path:
    """Find the folder of photos and clips that EYELINE_TEST_DATA names, or shared/data beside the checkout has."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EYELINE_TEST_DATA", beside)) / "faces"
    if not (folder / "index.csv").is_file():
        sys.exit(f"benchmarks: expected photos in {folder} (not found); set EYELINE_TEST_DATA to a folder with faces/")
    return folder


def read_index() -> list[Photo]:
    """Read the index of the photos."""
    index = data_folder() / "index.csv"
    with index.open(newline="") as file:
        return [_photo(index.parent, row) for row in csv.DictReader(file)]


def _photo(folder: Path, row: dict[str, str]) -> Photo:
    numbers = [row[key] for key in ("eye1_x", "eye1_y", "eye2_x", "eye2_y")]
    pupils = np.array([float(number) for number in numbers]).reshape(2, 2) if all(numbers) else None
    return Photo(folder / row["path"], row["expression"], row["eye_source"], pupils)


def open_subjects(photos: Iterable[Photo]) -> list[Subject]:
    """Load photos and find the truth of each; those whose box the pupils do not confirm are counted and left out."""
    photos = list(photos)
    subjects = []
    for photo in photos:
        image = align.load_image(photo.path)
        faces = [face for face in align.find_faces(image) if _is_confirmed(face, photo.pupils)]
        if faces and faces[0].eyes is not None:
            eyes = faces[0].eyes.xy if photo.pupils is None else photo.pupils
            subjects.append(Subject(image, faces[0].box, eyes))
    print(f"{len(subjects)} photos; {len(photos) - len(subjects)} left out: no box of HOG's that the pupils confirm")
    return subjects


def _is_confirmed(face: align.Face, pupils: NDArray[np.float64] | None) -> bool:
    return face.eyes is not None and (pupils is None or are_same_eyes(face.eyes.xy, pupils))


def are_same_eyes(found: NDArray[np.float64], true: NDArray[np.float64]) -> bool:
    """Tell whether eyes, float64 [2, 2], are those of the truth."""
    return float(np.linalg.norm(found - true, axis=1).max()) <= SAME_EYES * math.dist(*true)


def place(subject: Subject, face_px: float, turn_deg: float = 0.0) -> Placed:
    """Turn a photo clockwise on the screen and bring its face to a width; the canvas holds all of it."""
    scale = face_px / subject.box.w
    matrix, size = turning(subject.image.shape[1], subject.image.shape[0], turn_deg, scale)
    picture = align.warp(subject.image, matrix, size)
    return Placed(picture, subject.eyes @ matrix[:, :2].T + matrix[:, 2], face_px)


def turning(width: int, height: int, turn_deg: float, scale: float) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Give the matrix, float64 [2, 3], that turns a picture clockwise and scales it, and the canvas that holds it."""
    cos, sin = math.cos(math.radians(turn_deg)) * scale, math.sin(math.radians(turn_deg)) * scale
    turn = np.array([[cos, -sin], [sin, cos]])
    across, down = np.abs(turn) @ (width, height)
    size = max(1, round(across)), max(1, round(down))
    shift = (np.array(size) - 1) / 2 - turn @ ((width - 1) / 2, (height - 1) / 2)
    return np.column_stack([turn, shift]), size


def is_hit(face: align.Face, placed: Placed) -> bool:
    """Tell whether a detector's face is the one: it holds both eyes, has their roll and about the face's size."""
    left, top, right, bottom = face.box.xyxy
    holds = all(left <= x <= right and top <= y <= bottom for x, y in placed.eyes)
    is_upright = abs(angle_between(face.turn_deg, roll_of(placed.eyes))) <= MOST_LEANING_DEG
    return holds and is_upright and 0.5 <= math.sqrt(face.box.area) / placed.face_px <= 2


def roll_of(eyes: NDArray[np.float64]) -> float:
    """Give the angle of an eye line, float64 [2, 2], in degrees; positive turns clockwise on the screen."""
    across = eyes[1] - eyes[0]
    return math.degrees(math.atan2(across[1], across[0]))


def angle_between(a_deg: float, b_deg: float) -> float:
    """Give a - b as an angle from -180 to 180 degrees."""
    return math.remainder(a_deg - b_deg, 360)


def spread(errors: Sequence[float]) -> tuple[float, float, float]:
    """Give the mean, the 95th percentile and the largest of some errors; not numbers where there are none."""
    if not errors:
        return math.nan, math.nan, math.nan
    return float(np.mean(errors)), float(np.percentile(errors, 95)), float(np.max(errors))


def own_points(model: str = "face_detection_yunet_2023mar.onnx") -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Open YuNet as OpenCV gives it: RGB -> float64 [N, 2, 2], the two eyes of each face, by its own key points.

    Raises:
        ModelError: Its file is not there.
    """
    import cv2

    network = cv2.FaceDetectorYN.create(str(align.find_model(model)), "", (320, 320), 0.6, 0.3)

    def eyes(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        network.setInputSize((rgb.shape[1], rgb.shape[0]))
        found = network.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
        rows = np.empty((0, 15)) if found is None else found.astype(np.float64)
        return rows[:, 4:8].reshape(-1, 2, 2)

    return eyes
