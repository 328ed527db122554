"""Sets with faces and non-faces, and checkpoints of both networks of a cascade; for the tests of it."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from PIL import Image

from curate.manifest import FIELDS, write_curation, write_manifest
from train.backbones import BackboneSpec
from train.cascade import Evaluated, Labels, Networks, Pair
from train.cascade.answers import Said
from train.cascade.run import CascadeSpec
from train.cascade.truth import read_truth
from train.checkpoints import Checkpoint
from train.cli import main
from train.finetune import FinetuneSpec
from train.module import FaceModel
from train.tasks import Tasks

from .conftest import ALIGN, face, other

EMOTIONS = ["sad", "joy", "calm"]
LABELS = Labels(tuple(EMOTIONS), "face", ("not_face",))


def mixed_set(root: Path, counts) -> Path:
    """Write a set with `counts[split][label]` crops; what is labelled `not_face` shows no face, joy is bright."""
    rng, rows = np.random.default_rng(3), []
    for split, by_label in counts.items():
        for label, count in by_label.items():
            for _ in range(count):
                i = len(rows)
                crop = f"crops/s/s-{i:08d}-00.png"
                (root / crop).parent.mkdir(parents=True, exist_ok=True)
                picture = (other if label == "not_face" else face)(rng)
                shade = {"joy": 1.0, "sad": 0.35}.get(label, 0.7)
                Image.fromarray((picture * shade).astype(np.uint8)).save(root / crop)
                row = {"face_id": f"s-{i:08d}-00", "source": f"{label} {i % 4}.mp4", "crop": crop, "label": label}
                rows.append(row | {"frame": i, "split": split, "repeat": 1, "subject": f"{label} {split} {i % 5}"})
    write_manifest(root, pd.DataFrame([dict.fromkeys(FIELDS) | row for row in rows]))
    labels = {label for by_label in counts.values() for label in by_label if label is not None}
    write_curation(root, {"labels": sorted(labels), "config": {"align": ALIGN}})
    return root


def fit(root: Path, folder: Path, *flags: str) -> Path:
    """Train a tiny network on a set; gives its checkpoint."""
    quick = ["--trainer.accelerator", "cpu", "--data.batch_size", "8", "--model.finetune.freeze", "none"]
    where = ["--data.root", str(root), "--trainer.default_root_dir", str(folder), "--trainer.max_epochs", "1"]
    assert main(["fit", *where, *quick, "--model.backbone.name", "test_resnet", *flags]) == 0
    return folder / "checkpoints" / "last.ckpt"


def untrained(path: Path, tasks: Tasks, seed=0, **backbone) -> Path:
    """Write a checkpoint of a tiny network with random weights, whose answers differ from face to face."""
    torch.manual_seed(seed)
    size = {"name": "test_resnet", "size_px": 48} | backbone
    model = FaceModel(tasks, BackboneSpec(**size), finetune=FinetuneSpec(freeze="none"))
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.mul_(8)
    model.alignment = dict(ALIGN)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)
    return path


def said_of(is_face, emotions, sure=0.8) -> Said:
    """What networks say that are this sure of the given emotions."""
    emotions = np.asarray(emotions, dtype=np.int64)
    shares = np.full((len(emotions), len(EMOTIONS)), (1 - sure) / (len(EMOTIONS) - 1))
    shares[np.arange(len(emotions)), emotions] = sure
    return Said(np.asarray(is_face, dtype=np.float64), shares)


def by_hand(root: Path, *said: Said, thresholds=(0.5, 0.5), split="test", labels=LABELS) -> Evaluated:
    """A cascade on a set whose networks said what is given of its rows; no network runs."""
    tasks = {name: asdict(Tasks(classes)) for name, classes in (("f", ["not_face", "face"]), ("e", EMOTIONS))}
    named = [Checkpoint(Path(f"{n}{i}.ckpt"), {"tasks": tasks[n], "backbone": {"name": "x"}}, 7, dict(ALIGN))
             for i in range(len(said)) for n in "fe"]  # fmt: skip
    pairs = [Pair(*named[2 * i : 2 * i + 2]) for i in range(len(said))]
    networks = Networks(pairs[0], pairs[1] if len(pairs) > 1 else None, labels)
    truth = read_truth(root, split, labels)
    return Evaluated(networks, CascadeSpec(root, split), truth, tuple(said), tuple(thresholds[: len(said)]))
