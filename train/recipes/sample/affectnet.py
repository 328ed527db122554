"""AffectNet in small: two lists with face box, expression, valence and arousal, and photographs in numbered folders."""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .portraits import AFFECT, EYES, HEIGHT, WIDTH, Person, expression

EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
"""In the order of the published numbers; 8 is None, 9 Uncertain, 10 Non-Face, which carry no emotion."""

HEADER = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks"),
    *("expression", "valence", "arousal"),
)
FILES = {"training.csv": range(24), "validation.csv": range(24, 30)}
"""The people of each list."""

NO_EMOTION = (8, 9, 10)
MISSING = -2
"""Valence and arousal of a picture that carries no emotion."""

COMMON = ("neutral", "happy")
"""Shown twice by each person of the training list, so that the classes are uneven as the real ones are."""


def make(folder: Path) -> None:
    """Write `Manually_Annotated_file_lists/` and `Manually_Annotated_Images/`."""
    lists, images = folder / "Manually_Annotated_file_lists", folder / "Manually_Annotated_Images"
    lists.mkdir()
    for file, people in FILES.items():
        with (lists / file).open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(HEADER)
            for person in people:
                writer.writerows(_rows(person, images, is_training=file == "training.csv"))


def _rows(person: int, images: Path, *, is_training: bool) -> Iterator[tuple[object, ...]]:
    """Draw a person with every expression, and with one of the codes that carry none; save and describe each."""
    rng = np.random.default_rng([person, 11])
    shown = [*EMOTIONS, *COMMON] if is_training else EMOTIONS
    for number, emotion in enumerate(shown):
        picture = Person(person).draw(expression(emotion, rng), rng, one_sided=emotion == "contempt")
        affect = np.clip(np.array(AFFECT[emotion]) + rng.normal(0, 0.12, 2), -1, 1)
        yield _row(images, f"{person}-{number}", picture, EMOTIONS.index(emotion), affect.round(6).tolist())
    code = NO_EMOTION[person % len(NO_EMOTION)]
    picture = _patches(rng) if code == NO_EMOTION[-1] else Person(person).draw({26: 0.4, 20: 0.4}, rng)
    yield _row(images, f"{person}-none", picture, code, [MISSING, MISSING])


def _row(images: Path, what: str, picture: NDArray[np.uint8], code: int, affect: list[float]) -> tuple[object, ...]:
    """Save a picture, and give its line."""
    name = hashlib.sha224(what.encode()).hexdigest()
    path = Path(str(int(name[:4], 16) % 1000 + 1)) / f"{name}{'.JPG' if name[-1] == '0' else '.jpg'}"
    (images / path.parent).mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(images / path, "JPEG", quality=95)
    middle, apart = EYES.mean(0), float(EYES[1, 0] - EYES[0, 0])
    side = round(2.4 * apart)
    left, top = round(float(middle[0]) - side / 2), round(float(middle[1]) - 0.35 * side)
    turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.column_stack([left + side / 2 * (1 + np.cos(turn)), top + side / 2 * (1 + np.sin(turn))])
    landmarks = ";".join(f"{value:.2f}" for value in points.ravel())
    return (path.as_posix(), left, top, side, side, landmarks, code, *affect)


def _patches(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw what no face is: a coarse patchwork."""
    cells = Image.fromarray(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8))
    return np.asarray(cells.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
