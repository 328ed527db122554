from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.curate.report_sets import face, flip
from tests.curate.small import run_small
from tests.videos import shorten

REGISTRY = """
[small]
title = "A short talk, traffic, and some photos"
source = [
  { kind = "videos", path = "talk.mp4", label = "face", subject = "carphone" },
  { kind = "videos", path = "traffic.mp4", background = { boxes = 2, label = "not_face" } },
  { kind = "images", path = "photos", label = "face" },
]
sample = { every = 2 }
align = { size = 64 }
split = { val = 0.25, test = 0.25 }
balance = { cap = 8, oversample = true }
labels = ["not_face", "face"]
"""


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory, clips: Path, astronaut: np.ndarray) -> Path:
    """A folder with 20 frames of carphone, 12 of bikes, two photos of one woman, a picture without a face and a broken
    one, and a registry that names them `small`."""
    root = tmp_path_factory.mktemp("small")
    shorten(clips / "carphone_pristine.mp4", root / "talk.mp4", 20)
    shorten(clips / "bikes.mp4", root / "traffic.mp4", 12)
    (root / "photos").mkdir()
    Image.fromarray(astronaut).save(root / "photos" / "a.png")
    Image.fromarray(astronaut).save(root / "photos" / "b.jpg", quality=85)
    Image.effect_noise((120, 120), 20).save(root / "photos" / "noise.png")
    (root / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (root / "datasets.toml").write_text(REGISTRY)
    return root


@pytest.fixture(scope="session")
def made(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "set"
    assert run_small(small_root, out) == 3  # one photo is broken
    return out


@pytest.fixture
def rows():
    """Give 60 rows: kept, dropped for five reasons, on three sides."""
    made = [face(n, split="train" if n < 40 else "val" if n < 50 else "test") for n in range(60)]
    for n in (3, 13, 23):
        made[n] |= {"drop_reason": "blurred", "sharpness": 4.0, "repeat": None}
    for n in (5, 6):
        bits = 31 if n == 5 else 9
        made[n] |= {"drop_reason": "duplicate", "duplicate_of": "f000004", "hash": flip(made[4]["hash"], bits)}
    made[11] |= {"drop_reason": "over_cap", "repeat": 0, "label": "happy"}
    for n in (21, 22, 44, 54):
        nothing = dict.fromkeys(("crop", "score", "hash", "label", "sharpness", "roll_deg", "split", "repeat"))
        made[n] |= nothing | {"drop_reason": "no_face"}
    made[31] |= {"label": "sad", "repeat": 4}
    return made
