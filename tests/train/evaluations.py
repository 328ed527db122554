"""Splits that were evaluated, made without a model, for the tests of the report."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from curate.manifest import FIELDS, write_curation, write_manifest
from tests.train.conftest import label_everything
from tests.train.outcomes import ALL, outcome_of, random_outcome
from train.checkpoints import Checkpoint
from train.evaluate import Asked, Evaluated, Part
from train.rows import Rows, read_rows, read_tasks, select

MODEL = {"backbone": {"name": "test_resnet"}, "head": {"units": [8]}}


def rows_of(count, subjects=None, sources=None, root=Path("set")):
    """Rows of faces that are nowhere on the disk."""
    return Rows(
        tuple(f"f{i}" for i in range(count)),
        tuple(root / "crops" / f"{i}.png" for i in range(count)),
        np.empty((count, 0), dtype=np.float32),
        np.ones(count, dtype=np.int64),
        tuple(subjects) if subjects is not None else (None,) * count,
        tuple(sources) if sources is not None else tuple(f"s{i % 5}.mp4" for i in range(count)),
    )


def part_of(count, split="val", seed=0, **names):
    return Part(split, rows_of(count, **names), random_outcome(seed, count), 0.5)


def evaluated(root, *parts, tasks=ALL):
    hyperparameters = {**MODEL, "tasks": {"classes": tasks.classes, "affect": tasks.affect, "units": tasks.units}}
    checkpoint = Checkpoint(Path("run/checkpoints/last.ckpt"), hyperparameters, 40, {})
    return Evaluated(Asked(checkpoint.path, root, tuple(part.split for part in parts)), checkpoint, parts)


def make_rich_set(root, **changes):
    """A set of small pictures with labels of all three tasks; `changes` are columns of the manifest."""
    sides = ["train"] * 4 + ["val"] * 24 + ["test"] * 24
    rows = []
    for i, split in enumerate(sides):
        crop = f"crops/s/{i:08d}.png"
        (root / crop).parent.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(picture).save(root / crop)
        named = {"face_id": f"s-{i:08d}-00", "source": f"clip {i}.mp4", "frame": i, "crop": crop}
        rows.append(named | {"label": ("face", "not_face")[i % 2], "split": split, "repeat": 1})
    write_manifest(root, pd.DataFrame([dict.fromkeys(FIELDS) | row for row in rows]))
    write_curation(root, {"labels": ["not_face", "face"]})
    return label_everything(root).assign(**changes)


def parts_of_set(root, splits=("val", "test"), seed=0):
    """What a model that is often right says of a set: its tasks, and a part a split."""
    rows = read_rows(root)
    tasks = read_tasks(root, rows)
    parts = []
    for number, split in enumerate(splits):
        chosen = select(rows, root, split, tasks)
        noise = np.random.default_rng(seed + number).normal(0, 1, chosen.targets.shape)
        parts.append(Part(split, chosen, outcome_of(np.nan_to_num(chosen.targets) + noise, chosen.targets), 0.5))
    return tasks, parts
