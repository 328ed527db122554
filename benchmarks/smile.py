"""What face pretraining is worth: neutral or smiling told by dlib's network, fine-tuned and from random weights."""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import curate.cli
import train.cli

from ._faces import data_folder

REGISTRY = r"""
[smile]
title = "Face Research Lab London Set: 102 people, neutral and smiling"
labels = ["neutral", "smiling"]
align = { template = "tight", size = 150 }
split = { by = "subject", val = 0.0, folds = 5 }
dedup = { radius = 0 }
licence = "CC BY 4.0"

[smile.source]
kind = "images"
path = "london/*.jpg"
label_from = "_(\\d+)\\.jpg"
subject_from = "/(\\d+)_"
label_names = { 03 = "neutral", 08 = "smiling" }
"""

HEAD_RATE = 1e-3

MODELS = {"face-pretrained, fine-tuned": [], "random weights": ["--model.backbone.weights", "none"]}
"""What of each contestant differs from `SHARED`."""

SHARED = [
    *("--model.backbone.name", "dlib_face_resnet", "--model.backbone.stage", "3", "--model.finetune.freeze", "none"),
    *("--model.head.batch_norm", "true", "--model.optimizer.lr", str(HEAD_RATE)),
    *("--model.optimizer.schedule.name", "cosine", "--data.batch_size", "16"),
]
"""The first three stages: the last ones tell people apart, whatever their faces do."""


def main(*options: str) -> None:
    """Print the accuracy on people who were not trained on: mean and spread over five seeds, each with its own fold."""
    parser = argparse.ArgumentParser(prog="benchmarks smile", description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--folds", type=int, default=5, help="of the five, how many to run")
    parser.add_argument("--rates", type=float, nargs="*", default=[3e-5], help="the backbone's; each is run")
    chosen = parser.parse_args(options)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "datasets.toml").write_text(REGISTRY)
        where = ["--root", str(data_folder()), "--out", str(root / "set")]
        _quietly(curate.cli.main, ["run", "smile", *_registry(root), *where])
        print(f"{'':30}{'rate':>8}  accuracy on new people, mean (min to max) of {chosen.folds} folds and seeds")
        for rate in chosen.rates:
            share = str(rate / HEAD_RATE)
            for name, differs in MODELS.items():
                flags = [*SHARED, *differs, "--model.finetune.backbone_lr", share]
                flags += ["--trainer.max_epochs", str(chosen.epochs)]
                scores = [_score(root, fold, flags) for fold in range(chosen.folds)]
                spread = f"({min(scores):.3f} to {max(scores):.3f}), sd {statistics.pstdev(scores):.3f}"
                print(f"{name:30}{rate:8g}  {statistics.mean(scores):.3f} {spread}", flush=True)


def _registry(root: Path) -> list[str]:
    return ["--registry", str(root / "datasets.toml")]


def _score(root: Path, fold: int, flags: list[str]) -> float:
    """Train with the seed `fold` without the people of that fold, and give the accuracy on them."""
    _quietly(curate.cli.main, ["split", str(root / "set"), "--fold", str(fold), *_registry(root)])
    common = ["--data.root", str(root / "set"), "--trainer.default_root_dir", str(root / "run"), "--json"]
    common += ["--trainer.enable_progress_bar", "false"]
    _quietly(train.cli.main, ["fit", *common, *flags, "--seed_everything", str(fold)])
    return float(json.loads(_quietly(train.cli.main, ["test", *common, "--ckpt_path", "last"]))["accuracy_micro"])


def _quietly(command: Callable[[list[str]], int], arguments: list[str]) -> str:
    """Run a command and give what it printed."""
    printed = StringIO()
    with redirect_stdout(printed):
        code = command(arguments)
    if code:
        raise SystemExit(code)
    return printed.getvalue()
