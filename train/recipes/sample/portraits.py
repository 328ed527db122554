"""Draws people who move their faces: two photographs that Python packages ship, warped.

Nobody's data may be given out, so a made set stands in for it. A person is one of the photographs with another shape,
skin, light and side; an action unit moves the parts of the face that it is named for, so that what is to be learnt is
there to be seen. The intensities and the places are made: figures on made sets say whether things work, not how well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from align import UsageError, load_image

HEIGHT, WIDTH = 288, 256
EYES = np.array([[100.0, 120.0], [156.0, 120.0]])
"""Where the eyes of every portrait stand, in pixels; the units below are in multiples of their distance."""

_PHOTOS = (
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", ((222.6, 194.7), (307.1, 190.2))),
    ("skimage", "data/astronaut.png", ((203.4, 102.0), (246.4, 104.4))),
)
"""Package, file, and where its eyes are; both are in the public domain."""

Move = tuple[float, float, float, float, float]
"""x and y from the middle between the eyes, how far the move reaches, and the move along x and y at intensity 1."""


def _both(x: float, y: float, reach: float, dx: float, dy: float) -> tuple[Move, Move]:
    return (-x, y, reach, -dx, dy), (x, y, reach, dx, dy)


UNITS: Mapping[int, tuple[Move, ...]] = {
    1: _both(0.25, -0.28, 0.18, 0.0, -0.14),
    2: _both(0.65, -0.28, 0.18, 0.0, -0.14),
    4: _both(0.35, -0.26, 0.22, -0.07, 0.12),
    5: _both(0.50, -0.08, 0.10, 0.0, -0.07),
    6: _both(0.55, 0.30, 0.20, 0.0, -0.08),
    9: ((0.0, 0.45, 0.28, 0.0, -0.10),),
    12: _both(0.42, 0.95, 0.20, 0.10, -0.15),
    15: _both(0.42, 0.95, 0.20, 0.02, 0.15),
    17: ((0.0, 1.40, 0.25, 0.0, -0.14),),
    20: _both(0.42, 0.98, 0.22, 0.16, 0.0),
    25: ((0.0, 0.85, 0.16, 0.0, -0.07), (0.0, 1.10, 0.16, 0.0, 0.09)),
    26: ((0.0, 1.35, 0.38, 0.0, 0.24),),
}
"""What each action unit of the Facial Action Coding System moves."""

EMOTIONS: Mapping[str, tuple[int, ...]] = {
    "neutral": (),
    "happy": (6, 12),
    "sad": (1, 4, 15),
    "surprise": (1, 2, 26),
    "fear": (1, 2, 4, 20),
    "disgust": (9, 15),
    "anger": (4,),
    "contempt": (12,),
}
"""The action units of each emotion (Ekman and Friesen, EMFACS, 1983), as far as drawn; contempt has one side."""

AFFECT: Mapping[str, tuple[float, float]] = {
    "neutral": (0.0, 0.0),
    "happy": (0.8, 0.3),
    "sad": (-0.7, -0.4),
    "surprise": (0.2, 0.8),
    "fear": (-0.5, 0.7),
    "disgust": (-0.7, 0.2),
    "anger": (-0.6, 0.6),
    "contempt": (-0.5, 0.1),
}
"""Valence and arousal of each emotion, about where the circumplex has it (Russell 1980)."""


@dataclass(frozen=True)
class Person:
    """Someone who can be drawn with any face.

    Args:
        seed: Decides who it is; the same seed is the same person.
    """

    seed: int

    def draw(
        self, units: Mapping[int, float], rng: np.random.Generator | None = None, *, one_sided: bool = False
    ) -> NDArray[np.uint8]:
        """Draw the person.

        Args:
            units: Intensity of each action unit, 0 to 1.
            rng: Turns, moves and lights the picture a little; None draws it as it is.
            one_sided: Move one side of the face only.

        Returns:
            uint8 [288, 256, 3], RGB; the eyes stand near `EYES`.
        """
        who = np.random.default_rng([self.seed, 1])
        moves = list(_shape(who))
        for unit, intensity in sorted(units.items()):
            for x, y, reach, dx, dy in UNITS[unit]:
                if not (one_sided and x < 0):
                    moves.append((x, y, reach, dx * intensity, dy * intensity))
        picture = cv2.remap(_photo(self.seed % len(_PHOTOS)), *_sources(moves), cv2.INTER_LINEAR)
        if who.random() < 0.5:
            picture = np.ascontiguousarray(picture[:, ::-1])
        return _moved(_lit(picture, who), rng)


def expression(emotion: str, rng: np.random.Generator) -> dict[int, float]:
    """Give the action units of an emotion, 0 to 1, each of an intensity of its own."""
    return {unit: float(rng.uniform(0.6, 1.0)) for unit in EMOTIONS[emotion]}


@cache
def _photo(number: int) -> NDArray[np.uint8]:
    """Load a photograph, brought to the eyes of every portrait."""
    package, file, eyes = _PHOTOS[number]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(f"a made set needs a photograph of {package} (not installed); pip install 'eyeline[demo]'")
    left, right = np.array(eyes)
    across, wanted = right - left, EYES[1] - EYES[0]
    scale = float(np.linalg.norm(wanted) / np.linalg.norm(across))
    turn = cv2.getRotationMatrix2D(tuple((left + right) / 2), np.degrees(np.arctan2(across[1], across[0])), scale)
    turn[:, 2] += EYES.mean(0) - (left + right) / 2
    image = load_image(Path(spec.origin).parent / file)
    return np.asarray(cv2.warpAffine(image, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _shape(who: np.random.Generator) -> list[Move]:
    """Choose the shape of a face: brows, eyes, nose, cheeks, mouth and chin, a little elsewhere."""
    places = [
        *_both(0.45, -0.25, 0.3, 1.0, 0.0),
        *_both(0.75, 0.6, 0.45, 1.0, 0.0),
        *_both(0.5, 1.5, 0.5, 1.0, 0.0),
        (0.0, 0.5, 0.3, 0.0, 1.0),
        (0.0, 0.95, 0.35, 0.0, 1.0),
        (0.0, 1.7, 0.5, 0.0, 1.0),
        (0.0, -0.9, 0.7, 0.0, 1.0),
    ]
    parts = sorted({(abs(x), y) for x, y, *_ in places})
    far = dict(zip(parts, who.normal(0, 0.07, 16)[: len(parts)], strict=True))
    return [(x, y, reach, dx * far[abs(x), y], dy * far[abs(x), y]) for x, y, reach, dx, dy in places]


def _sources(moves: list[Move]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give where each pixel of a picture comes from when the moves are made."""
    unit = float(EYES[1, 0] - EYES[0, 0])
    rows, columns = np.arange(HEIGHT, dtype=np.float32), np.arange(WIDTH, dtype=np.float32)
    to_x, to_y = np.tile(columns, (HEIGHT, 1)), np.tile(rows[:, None], WIDTH)
    across, down = (columns - EYES[:, 0].mean()) / unit, (rows - EYES[:, 1].mean()) / unit
    for x, y, reach, dx, dy in moves:
        weight = np.outer(np.exp(-(((down - y) / reach) ** 2) / 2), np.exp(-(((across - x) / reach) ** 2) / 2))
        if dx:
            to_x -= np.float32(dx * unit) * weight
        if dy:
            to_y -= np.float32(dy * unit) * weight
    return to_x, to_y


def _lit(picture: NDArray[np.uint8], who: np.random.Generator) -> NDArray[np.uint8]:
    """Give skin, hair and light another colour."""
    tint = who.uniform(0.8, 1.15, 3)
    gamma = float(who.uniform(0.75, 1.4))
    levels = np.arange(256)[:, None, None] / 255  # [256, 1, channels]: what becomes of each value of each channel
    return np.asarray(cv2.LUT(picture, np.asarray(np.clip(255 * levels**gamma * tint, 0, 255), np.uint8)), np.uint8)


def _moved(picture: NDArray[np.uint8], rng: np.random.Generator | None) -> NDArray[np.uint8]:
    if rng is None:
        return picture
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), float(rng.normal(0, 5)), float(rng.uniform(0.9, 1.05)))
    turn[:, 2] += rng.normal(0, 4, 2)
    moved = cv2.warpAffine(picture, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    light = float(rng.uniform(0.8, 1.2))
    return np.asarray(np.clip(moved * light + rng.normal(0, 2, moved.shape), 0, 255), np.uint8)
