"""A small csv laid out as FER2013's, with its faults: blank pictures, copies across its parts, copies of two labels."""

from pathlib import Path

import numpy as np

EMOTIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PARTS = {"Training": (6, 1, 4, 9, 5, 3, 4), "PublicTest": (2,) * 7, "PrivateTest": (2,) * 7}
TRAIN_COPIES, LEAKS, BLANKS = 2, 3, 2


def line(emotion, picture, usage):
    return f"{emotion},{' '.join(map(str, picture.ravel()))},{usage}"


def write_fer2013(folder: Path) -> Path:
    """Write `fer2013.csv`: by class and part as many pictures as `PARTS` says, and the faults on top.

    Those are two copies within the training part, one of another label; three of validation and test pictures in it,
    one of another label; and two blank pictures.
    """
    rng = np.random.default_rng(5)
    rows = {
        usage: [
            (emotion, rng.integers(0, 256, (6, 6), np.uint8).repeat(8, 0).repeat(8, 1))
            for emotion, count in enumerate(counts)
            for _ in range(count)
        ]
        for usage, counts in PARTS.items()
    }
    train, val, test = rows.values()
    happy = next(picture for emotion, picture in train if emotion == 3)
    faults = [(3, happy), (4, train[0][1]), val[0], test[0], (1, test[-1][1])]
    faults += [(6, np.full((48, 48), grey, np.uint8)) for grey in (0, 90)]
    lines = [line(*row, usage) for usage, part in rows.items() for row in part]
    lines += [line(*row, "Training") for row in faults]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return folder
