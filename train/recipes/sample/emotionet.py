"""EmotioNet in small: pictures as they come from the web, with and without a face, and a csv of paths and labels."""

import csv
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from align import UsageError, load_image

from .portraits import EYES, Person, expression

NOT_FACE = "not_face"
EMOTIONS = {
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "fearful": "fear",
    "disgusted": "disgust",
    "angry": "anger",
}
"""What the csv calls an emotion, as EmotioNet's own names go, and the name that it is drawn by."""

PEOPLE = 12
SCENES = (
    ("skimage", ("brick.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png", "rocket.jpg")),
    ("sklearn", ("china.jpg", "flower.jpg")),
)
"""Packages, and the photographs in them that show nobody."""

CUTS = 8
"""Squares that are cut out of each of them."""

_FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
_COMPOUND = "happily_surprised"
_SIDES = (140, 220)


def make(folder: Path) -> None:
    """Write `images` and `emotionet.csv`: every emotion of every person, and as many pictures of something else."""
    rows = []
    for person in range(PEOPLE):
        rng, who = np.random.default_rng([person, 16]), f"person_{person:02d}"
        for label, emotion in EMOTIONS.items():
            face = Person(person).draw(expression(emotion, rng), rng)
            rows.append((_save(folder, f"face_{person:02d}_{label}", _framed(face, rng)), label, who))
        if person == 0:
            both = expression("happy", rng) | expression("surprise", rng)
            picture = Person(person).draw(both, rng)
            rows.append((_save(folder, f"face_{person:02d}_{_COMPOUND}", picture), _COMPOUND, who))
    for number, (package, name) in enumerate((package, name) for package, names in SCENES for name in names):
        picture = _photo(package, name)
        rng = np.random.default_rng([number, 17])
        rows += [(_save(folder, f"{Path(name).stem}_{i}", _cut(picture, rng)), NOT_FACE, "") for i in range(CUTS)]
    with (folder / "emotionet.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("path", "label", "subject"), *sorted(rows)])


def _save(folder: Path, name: str, picture: NDArray[np.uint8]) -> str:
    path = folder / "images" / f"{name}.jpg"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(picture).save(path, quality=90)
    return path.relative_to(folder).as_posix()


def _framed(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a portrait loosely: the head and some of what is around it."""
    half = rng.uniform(1.6, 1.9) * float(EYES[1, 0] - EYES[0, 0])
    x, y = EYES.mean(0)
    left, top, side = max(round(x - half), 0), max(round(y - 0.6 * half), 0), round(2 * half)
    return np.ascontiguousarray(face[top : top + side, left : left + side])


def _photo(package: str, name: str) -> NDArray[np.uint8]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(f"a made set needs a photograph of {package} (not installed); pip install 'eyeline[demo]'")
    return load_image(Path(spec.origin).parent / _FOLDERS[package] / name)


def _cut(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a random square out, in a light of its own."""
    side = int(rng.integers(_SIDES[0], min(_SIDES[1], *picture.shape[:2])))
    y, x = (int(rng.integers(0, extent - side + 1)) for extent in picture.shape[:2])
    square = picture[y : y + side, x : x + side] * rng.uniform(0.7, 1.2)
    return np.asarray(
        cv2.resize(square.clip(0, 255).astype(np.uint8), (200, 200), interpolation=cv2.INTER_AREA), np.uint8
    )
