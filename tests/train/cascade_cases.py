"""Sets with faces and non-faces, and checkpoints of both networks of a cascade; for the tests of it."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from curate.manifest import read_curation, read_manifest, write_curation, write_manifest
from train.cascade import Evaluated, Labels, Networks, Pair, evaluate_cascade, make_report, read_networks
from train.cascade.answers import Said
from train.cascade.run import CascadeSpec
from train.cascade.truth import read_truth
from train.checkpoints import Checkpoint
from train.cli import main
from train.console import quiet
from train.tasks import Tasks

from .conftest import ALIGN, draw, write_set
from .untrained import save, untrained

EMOTIONS = ["sad", "joy", "calm"]
LABELS = Labels(tuple(EMOTIONS), "face", ("not_face",))


def mixed_set(root: Path, counts) -> Path:
    """Write a set in which all but `not_face` shows a face, joy the brightest; sources and people have names."""
    labels = sorted({label for by_label in counts.values() for label in by_label if label is not None})
    rows = write_set(root, counts, labels, picture_of=_shaded)
    numbers = rows.groupby(["split", "label"], dropna=False).cumcount()
    rows["source"] = [f"{label} {i % 4}.mp4" for label, i in zip(rows["label"], rows.index, strict=True)]
    rows["subject"] = [f"{r.label} {r.split} {n % 5}" for r, n in zip(rows.itertuples(), numbers, strict=True)]
    write_manifest(root, rows)
    return root


def _shaded(label, rng, size):
    picture = draw("not_face" if label == "not_face" else "face", rng, size)
    return (picture * {"joy": 1.0, "sad": 0.35}.get(label, 0.7)).astype(np.uint8)


def checkpoint(path: Path, tasks: Tasks, seed=0, **backbone) -> Path:
    """Write a checkpoint of a tiny network with random weights, whose answers differ from face to face."""
    return save(untrained(tasks=tasks, seed=seed, **({"size_px": 48} | backbone)), path)


def without_numbers(path, target):
    """A copy of a checkpoint whose training diverged."""
    stored = torch.load(path, weights_only=True)
    for name, value in stored["state_dict"].items():
        if name.startswith("head"):
            value.fill_(float("nan"))
    torch.save(stored, target)
    return target


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


# ten rows that are worked by hand

SAD, JOY, CALM, NONE = 0, 1, 2, 3
LIKELIEST = [SAD, JOY, JOY, JOY, SAD, CALM, SAD, JOY, JOY, CALM]
IS_FACE = [0.9, 0.8, 0.2, 0.9, 0.7, 0.5, 0.1, 0.6, 0.3, 0.4]
"""Of ten rows: one right joy is rejected, one non-face passes as joy, calm passes at the very threshold."""


def ten_rows(root: Path) -> Path:
    """Two sad faces, three of joy, a calm one, and four non-faces."""
    return mixed_set(root, {"test": {"sad": 2, "joy": 3, "calm": 1, "not_face": 4}})


def worked_by_hand(root: Path):
    """The report of those rows, with an improved pair that has one wrong."""
    improved = said_of([0.9] * 6 + [0.1] * 4, [SAD, SAD, JOY, JOY, SAD, CALM, SAD, SAD, SAD, SAD])
    return make_report(by_hand(root, said_of(IS_FACE, LIKELIEST), improved))


def relabelled(root: Path, folder: Path, labels) -> Path:
    """The same crops with other labels."""
    rows = read_manifest(root)
    rows["label"] = labels
    write_manifest(folder, rows)
    write_curation(folder, read_curation(root))
    (folder / "crops").symlink_to(root / "crops")
    return folder


def systems(report):
    """The ways to answer, by their keys."""
    return {found["key"]: found for found in report.record["systems"]}


# what runs networks

FACES = Tasks(["not_face", "face"])
ROWS = {"joy": 6, "sad": 5, "not_face": 7}


def two_pairs(folder: Path):
    """Two pairs of networks of different input; each pair passes and rejects, and tells both emotions, of `ROWS`.

    The second emotion network's classes stand in another order, and it tells valence and arousal, too.
    """
    first = checkpoint(folder / "f.ckpt", FACES, seed=3, channels=1, size_px=56), Tasks(["joy", "sad"])
    second = checkpoint(folder / "f2.ckpt", FACES, seed=6), Tasks(["sad", "joy"], affect=True)
    return (
        (first[0], checkpoint(folder / "e.ckpt", first[1], seed=6)),
        (second[0], checkpoint(folder / "e2.ckpt", second[1], seed=18)),
    )


def cascade(pair, root: Path, *flags) -> int:
    """Run the command in this process."""
    given = ["--face", pair[0], "--emotion", pair[1], "--root", root, "--accelerator", "cpu", *flags]
    return main(["cascade", *map(str, given)])


def record_of(pair, root: Path, *, improved=(None, None), face_label=None, **asked):
    """The record of an evaluation; no file is written."""
    flags = ("face", "emotion", "improved_face", "improved_emotion")
    networks = read_networks(dict(zip(flags, (*pair, *improved), strict=True)), face_label)
    with quiet():
        return make_report(evaluate_cascade(networks, CascadeSpec(root, accelerator="cpu", **asked))).record


def system(record, key):
    """One way to answer."""
    return next(found for found in record["systems"] if found["key"] == key)
