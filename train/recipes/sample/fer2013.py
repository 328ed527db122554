"""FER2013 in small: a csv with the pixels of 48 x 48 grey faces in a column, its blanks and copies across parts too."""

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .portraits import EYES, Person, expression

SIDE = 48
EMOTIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""In the order of the published numbers."""

PEOPLE = {"Training": 16, "PublicTest": 5, "PrivateTest": 6}
"""How many people each published part has; each shows every emotion once."""

STRENGTH = 1.8
"""How much farther a face moves than others drawn here do: a network is to learn it from a hundred pictures at once."""

_FACE = 2.6
"""Side of a crop in distances of the eyes."""

_SHIFT_PX = 3.0
"""By how much a crop misses its place in a portrait, as a standard deviation."""


def make(folder: Path) -> None:
    """Write `fer2013.csv`."""
    rows = []
    person = 0
    for usage, people in PEOPLE.items():
        for _ in range(people):
            rng = np.random.default_rng([person, 48])
            for number, emotion in enumerate(EMOTIONS):
                units = {unit: STRENGTH * much for unit, much in expression(emotion, rng).items()}
                rows.append((number, _face(Person(person).draw(units), rng), usage))
            person += 1
    rows.append((*rows[0][:2], "PrivateTest"))  # as many pictures of the real one stand in two parts
    rows.append((3, np.zeros((SIDE, SIDE), np.uint8), "Training"))  # and twelve are blank
    with (folder / "fer2013.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("emotion", "pixels", "Usage"))
        writer.writerows((number, " ".join(map(str, face.ravel())), usage) for number, face, usage in rows)


def _face(portrait: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut the face out, grey and small, not always in the same place and light."""
    half = _FACE / 2 * float(EYES[1, 0] - EYES[0, 0])
    x, y = EYES.mean(0) + np.array([0.0, 0.25 * half]) + rng.normal(0, _SHIFT_PX, 2)
    left, top = round(x - half), round(y - half)
    face = cv2.cvtColor(portrait[top : top + round(2 * half), left : left + round(2 * half)], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small * rng.uniform(0.85, 1.15) + rng.normal(0, 2, small.shape), 0, 255), np.uint8)
