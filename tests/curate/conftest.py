from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
