"""A checkpoint with alignment, and ways to annotate and to read back what was written; for the tests of annotate."""

import csv
from pathlib import Path

import av
import numpy as np
import pytorch_lightning as pl
import torch

from train.backbones import BackboneSpec
from train.cli import main
from train.finetune import FinetuneSpec
from train.module import FaceModel
from train.tasks import Tasks

ALIGN = {"detector": "hog", "landmarks": "dlib5", "template": "tight", "size": 96, "border": "replicate"}
CLASSES = ["сон", "joy"]
TASKS = Tasks(classes=CLASSES, affect=True, units=["au_4", "au_12"])


def make_checkpoint(path: Path, alignment=ALIGN, seed=0, tasks=TASKS) -> Path:
    """Write a checkpoint of a tiny network with random weights, whose answers differ from face to face."""
    torch.manual_seed(seed)
    model = FaceModel(tasks, BackboneSpec(name="test_resnet", size_px=64), finetune=FinetuneSpec(freeze="none"))
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.mul_(8)
    model.alignment = dict(alignment)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)
    return path


def annotate(*args: object) -> int:
    """Run the command in this process."""
    return main(["annotate", *map(str, args), "--device", "cpu"])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_video(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """The frames of a video, RGB, and their times."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for frame in frames], [frame.time for frame in frames]


def sound_of(path: Path) -> tuple[str, float, np.ndarray]:
    """Codec, length in seconds and samples of a video's sound."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        name, rate = stream.codec_context.name, stream.rate
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
        return name, len(samples) / rate, samples
