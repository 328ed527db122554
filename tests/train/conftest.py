"""A small curated set of real pictures: jittered crops of the astronaut's face, and pieces of other pictures."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch
from PIL import Image

from curate.manifest import FIELDS, read_manifest, write_curation, write_manifest

CLASSES = ["not_face", "face"]


def face(rng, size=64):
    side, x, y = rng.integers(100, 150), rng.integers(160, 185), rng.integers(5, 40)
    return _resized(skimage.data.astronaut()[y : y + side, x : x + side], size)


def other(rng, size=64):
    picture = (skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket())[rng.integers(3)]
    side = rng.integers(60, 200)
    y, x = rng.integers(0, picture.shape[0] - side), rng.integers(0, picture.shape[1] - side)
    return _resized(picture[y : y + side, x : x + side], size)


def _resized(image, size):
    return np.asarray(Image.fromarray(image).resize((size, size)))


ALIGN = {"detector": "hog", "landmarks": "dlib5", "template": "tight", "size": 64, "border": "replicate"}


def draw(label, rng, size):
    """Draw a crop: a face, or of any other label something else."""
    return (face if label == "face" else other)(rng, size)


def write_set(root: Path, counts, labels=tuple(CLASSES), repeat=1, size=64, picture_of=draw):
    """Write a set with `counts[split][label]` crops; returns the manifest's rows."""
    rng = np.random.default_rng(0)
    rows = []
    for split, by_label in counts.items():
        for label, count in by_label.items():
            for _ in range(count):
                i = len(rows)
                crop = f"crops/s/s-{i:08d}-00.png"
                (root / crop).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture_of(label, rng, size)).save(root / crop)
                row = {"face_id": f"s-{i:08d}-00", "source": "s.mp4", "frame": i, "crop": crop, "label": label}
                rows.append(row | {"split": split, "repeat": repeat if split == "train" else 1})
    frame = pd.DataFrame([dict.fromkeys(FIELDS) | row for row in rows])
    write_manifest(root, frame)
    write_curation(root, {"labels": list(labels), "config": {"align": ALIGN}})
    return frame


def label_everything(root: Path):
    """Give a set valence, arousal, two action units and people; each of them has gaps. Returns the manifest's rows."""
    rows = read_manifest(root)
    rng = np.random.default_rng(1)
    sign = np.where(rows["label"] == "face", 1.0, -1.0)
    for name in ("valence", "arousal"):
        rows[name] = (0.6 * sign + rng.uniform(-0.3, 0.3, len(rows))).astype(np.float32)
    rows["au_12"] = (sign > 0).astype(np.float32)
    rows["au_4"] = (rng.random(len(rows)) < 0.5).astype(np.float32)
    rows.loc[rows.index % 5 == 0, ["valence", "arousal"]] = np.nan
    rows.loc[rows.index % 7 == 0, "au_12"] = np.nan
    rows["subject"] = [f"person-{i % 6}" for i in range(len(rows))]
    write_manifest(root, rows)
    return rows


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Run torch on one thread: with networks so small, threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _one_thread_in_processes():
    """Do the same in processes that tests start; not for longer, for videos are decoded by as many threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def faces_set(tmp_path_factory):
    """24 training, 11 validation and 13 test crops: no split is a multiple of the batch."""
    root = tmp_path_factory.mktemp("set")
    write_set(
        root,
        {"train": {"face": 12, "not_face": 12}, "val": {"face": 5, "not_face": 6}, "test": {"face": 7, "not_face": 6}},
    )
    return root


@pytest.fixture(scope="session")
def rich_set(faces_set, tmp_path_factory):
    """The same faces with labels of all three tasks."""
    root = tmp_path_factory.mktemp("rich")
    shutil.copytree(faces_set, root, dirs_exist_ok=True)
    label_everything(root)
    return root


@pytest.fixture(scope="session")
def swept(faces_set, tmp_path_factory):
    """A sweep that was carried out: see `Swept`."""
    from .sweep_cases import carry_out

    folder = tmp_path_factory.mktemp("swept")
    write_set(folder / "trick", {"test": {"face": 3, "not_face": 2}})
    return carry_out(folder, faces_set, folder / "trick")
