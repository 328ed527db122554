"""Drivers in small: photographs in class folders, people in the names, a test part and a hard one."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .portraits import EYES, HEIGHT, WIDTH, Person, expression

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")

SEEN, NEVER_SEEN = range(6), range(6, 9)
"""People of `train` and, in other photographs, of `test`; and those of `trick` alone."""

_TESTED = 3
_OUTSIDE = 64
_UNIT = float(EYES[1, 0] - EYES[0, 0])
_MIDDLE = EYES.mean(0)

Picture = NDArray[np.uint8]
Hard = Callable[[Picture, np.random.Generator], Picture]


def make(folder: Path) -> None:
    """Write `train`, `test` and `trick`, each with a folder an expression."""
    for person in SEEN:
        _write(folder / "train", person, 1)
    for person in SEEN[:_TESTED]:
        _write(folder / "test", person, 2)
    for number, person in enumerate(NEVER_SEEN):
        _write(folder / "trick", person, 1, _HARD[number])


def _write(part: Path, person: int, number: int, hard: Hard | None = None) -> None:
    """Write a photograph of each expression of a person, in one light; `hard` paints over the face."""
    rng = np.random.default_rng([person, number])
    light = _light(rng)
    for name in EXPRESSIONS:
        face = np.clip(Person(person).draw(expression(name, rng), rng) * light, 0, 255).astype(np.uint8)
        if number > 1:
            face = np.ascontiguousarray(face[:, ::-1])  # else a copy of the first, as every copy is found
        if hard is not None:
            face = hard(face, rng)
        photo = np.pad(face, ((_OUTSIDE, _OUTSIDE), (_OUTSIDE, _OUTSIDE), (0, 0)), mode="edge")
        target = part / name / f"driver{person:02d}_{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(target, quality=92)


def _light(rng: np.random.Generator) -> NDArray[np.float64]:
    """Let light fall in through a window: brighter towards one side, by as much as tells two drives apart."""
    towards = rng.uniform(0, 2 * np.pi)
    rows, columns = (np.linspace(-1, 1, count) for count in (HEIGHT, WIDTH))
    slope = np.cos(towards) * columns[None, :] + np.sin(towards) * rows[:, None]
    return np.asarray((1 + 0.6 * slope)[..., None])


def _at(x: float, y: float) -> tuple[int, int]:
    """Give the pixel at a place in distances of the eyes from the middle between them."""
    across, down = _MIDDLE + _UNIT * np.array([x, y])
    return round(across), round(down)


def beard(face: Picture, rng: np.random.Generator) -> Picture:
    """Grow a beard around the mouth."""
    mask = np.zeros(face.shape[:2], np.float32)
    axes = (round(0.85 * _UNIT), round(0.8 * _UNIT))
    cv2.ellipse(mask, _at(0, 1.2), axes, 0, -10, 190, 1.0, -1)
    cv2.ellipse(mask, _at(0, 0.98), (round(0.42 * _UNIT), round(0.16 * _UNIT)), 0, 0, 360, 0.0, -1)
    hair = rng.normal(55, 22, face.shape[:2]).clip(15, 110)
    return _over(face, cv2.GaussianBlur(mask, (0, 0), 3), hair[..., None] * np.array([1.0, 0.85, 0.7]))


def sunglasses(face: Picture, rng: np.random.Generator) -> Picture:
    """Put half-dark glasses on."""
    mask = np.zeros(face.shape[:2], np.float32)
    for side in (-0.5, 0.5):
        cv2.ellipse(mask, _at(side, 0.04), (round(0.38 * _UNIT), round(0.27 * _UNIT)), 0, 0, 360, 0.7, -1)
    cv2.line(mask, _at(-0.2, -0.05), _at(0.2, -0.05), 0.9, 4)
    return _over(face, mask, np.full((1, 1, 3), rng.uniform(10, 40)))


def hand(face: Picture, rng: np.random.Generator) -> Picture:
    """Hold a hand, or whatever has the colour of skin, before one half of the chin."""
    mask = np.zeros(face.shape[:2], np.float32)
    side = rng.choice([-1, 1])
    for finger in range(4):
        from_, to = _at(side * 1.3, 2.1 - 0.22 * finger), _at(side * 0.25, 1.75 - 0.22 * finger)
        cv2.line(mask, from_, to, 1.0, round(0.2 * _UNIT))
    skin = cv2.GaussianBlur(face, (0, 0), 12)[_at(0, 0.45)[::-1]]
    shade = np.linspace(0.75, 1.05, face.shape[0])[:, None, None]
    return _over(face, cv2.GaussianBlur(mask, (0, 0), 1.5), skin * shade)


def _over(face: Picture, mask: NDArray[np.float32], paint: NDArray[np.float64]) -> Picture:
    """Lay paint over a face where the mask is 1."""
    share = mask[..., None]
    return np.asarray((face * (1 - share) + paint * share).clip(0, 255), np.uint8)


_HARD = (beard, sunglasses, hand)
"""What covers the face of each of those never seen."""
