"""What a leaky split hides: one model validated on frames of its own videos, and on people whom it never saw."""

import argparse
import csv
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import align
import curate.cli
import train.cli
from train.recipes.sample.action_units import drawn, script
from train.recipes.sample.clips import shaken, write_clip
from train.recipes.sample.portraits import UNITS, Person

from ._faces import data_folder

Picture = NDArray[np.uint8]
Shown = dict[str, int]
"""Action units of a frame, `au_12`, 0 or 1."""

TABLE = """
[{name}]
source = {{ kind = "videos", path = "{name}/*.avi", annotations = "{name}.csv" }}
sample = {{ unchanged = false }}
identify = {{ by = "given" }}
align = {{ size = 150 }}
"""
EVERY_FRAME = 'dedup = { hash = "dhash256", radius = 0 }\n'
NEAR_DROPPED = 'dedup = { hash = "dhash256", within = "track" }\n'
AS_SAID = 'split = { published = "keep", val = 0, test = 0 }\n'
ALL_TEST = 'split = { published = "ignore", val = 0, test = 1 }\n'

MADE = {
    "(a) frames at random, duplicates kept": EVERY_FRAME + AS_SAID,
    "(b) frames at random, duplicates dropped": NEAR_DROPPED + AS_SAID,
    "(c) by person, duplicates dropped": NEAR_DROPPED
    + 'split = { by = "subject", published = "ignore", val = 0.2, test = 0, seed = SEED }\n',
}
"""The three splits of the same videos. `AS_SAID` keeps the side that the list of frames says, drawn for each frame."""

VALIDATION = 0.2


@dataclass(frozen=True)
class Effort:
    """How much is done: people known and new, steps of a training, seeds."""

    known: int
    new: int
    steps: int
    seeds: int


@dataclass(frozen=True)
class Score:
    """One training's numbers: faces in training and validation, F1 on its own validation part and on new people."""

    train: int
    val: int
    own: float
    new: float


def main(*options: str) -> None:
    """Print F1 on each split's own validation part beside F1 on new people."""
    parser = argparse.ArgumentParser("python -m benchmarks leaky", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few people, one seed and a short training")
    parser.add_argument("--made", action="store_true", help="drawn people, which are taken where there are no photos")
    chosen = parser.parse_args(options)
    if chosen.made or not _has_photos():
        effort = Effort(8, 4, 40, 1) if chosen.quick else Effort(16, 8, 150, 3)
        _compare("drawn people, 12 action units", _made_people(effort.known + effort.new), effort)
    else:
        effort = Effort(20, 10, 40, 1) if chosen.quick else Effort(68, 34, 120, 3)
        title = "people of the London set, AU 12 (smiling)"
        _compare(title, _clips_of_photos(effort.known + effort.new), effort)


def _made_people(count: int) -> Iterator[list[tuple[Picture, Shown]]]:
    """Draw a video of each person, who shows every action unit once; most frames are much like the one before."""
    for number in range(count):
        rng = np.random.default_rng([number, 5])
        frames = list(script(rng, rounds=1))
        labels = [{f"au_{unit}": int(frame.get(unit, 0.0) >= 0.4) for unit in UNITS} for frame in frames]
        pictures = (shaken(picture, rng) for picture in drawn(Person(number), frames))
        yield list(zip(pictures, labels, strict=True))


def _has_photos() -> bool:
    try:
        data_folder()
    except SystemExit:
        return False
    return True


def _clips_of_photos(count: int) -> Iterator[list[tuple[Picture, Shown]]]:
    """Make a video of each person out of two photos, neutral and smiling: eight frames of each, by a moving hand."""
    folder = data_folder()
    with (folder / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"].startswith("london/")]
    people = sorted({row["identity"] for row in rows})[:count]
    for number, person in enumerate(people):
        rng = np.random.default_rng([number, 6])
        frames: list[tuple[Picture, Shown]] = []
        for row in sorted((row for row in rows if row["identity"] == person), key=lambda row: row["expression"]):
            photo = align.load_image(folder / row["path"])
            half = cv2.resize(photo, (photo.shape[1] // 4 * 2, photo.shape[0] // 4 * 2), interpolation=cv2.INTER_AREA)
            shown = {"au_12": int(row["expression"] == "happy")}
            frames += [(shaken(np.asarray(half, np.uint8), rng), shown) for _ in range(8)]
        yield frames


def _compare(title: str, people: Iterator[list[tuple[Picture, Shown]]], effort: Effort) -> None:
    """Train on each split with each seed, and print the table of one set of people."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        labels: dict[str, list[list[Shown]]] = {"known": [], "new": []}
        for number, frames in enumerate(people):
            where = "known" if number < effort.known else "new"
            write_clip(root / where / f"{number:03d}.avi", [picture for picture, _ in frames])
            labels[where].append([shown for _, shown in frames])
        _list_frames(root / "new.csv", 0, effort.known, labels["new"])
        _curate(root, "run", "new", NEAR_DROPPED + ALL_TEST)
        scores: dict[str, list[Score]] = {name: [] for name in MADE}
        for seed in range(effort.seeds):
            _list_frames(root / "known.csv", seed, 0, labels["known"])
            for number, (name, split) in enumerate(MADE.items()):
                _curate(root, "dedup" if number else "run", "known", split.replace("SEED", str(seed)))
                scores[name].append(_train(root, seed, effort.steps))
    print(f"\n{title}: F1, mean (min to max) of {effort.seeds} seeds, {effort.steps} steps of 16 faces")
    print(f"{'':42}{'train':>6}{'val':>6}  {'own validation':24}{effort.new} people it never saw")
    for name, found in scores.items():
        faces = [round(statistics.mean(values)) for values in ([s.train for s in found], [s.val for s in found])]
        own, new = _spread([score.own for score in found]), _spread([score.new for score in found])
        print(f"{name:42}{faces[0]:6}{faces[1]:6}  {own:24}{new}", flush=True)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _list_frames(path: Path, seed: int, first: int, people: Sequence[Sequence[Shown]]) -> None:
    """List the frames of each video: who is shown, which action units, and a side that is drawn for each frame."""
    rng = np.random.default_rng(seed)
    units = list(people[0][0])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "frame", "subject", "split", *units])
        for number, frames in enumerate(people, first):
            for frame, shown in enumerate(frames):
                side = "val" if rng.random() < VALIDATION else "train"
                name = f"{path.stem}/{number:03d}.avi"
                writer.writerow([name, frame, f"p{number:03d}", side, *shown.values()])


def _curate(root: Path, stage: str, name: str, settings: str) -> None:
    """Run `eyeline-curate run`, or its stages from `dedup` on, with the set's table as given."""
    registry = ["--registry", str(root / "datasets.toml")]
    (root / "datasets.toml").write_text(TABLE.format(name=name) + settings)
    out = str(root / f"{name}-set")
    if stage == "run":
        _quietly(curate.cli.main, ["run", name, *registry, "--root", str(root), "--out", out])
        return
    for each in ("dedup", "identify", "split", "balance"):
        _quietly(curate.cli.main, [each, out, *registry])


def _train(root: Path, seed: int, steps: int) -> Score:
    """Train the recipe's model, and test it on its own validation part and on people whom it never saw."""
    known, new = str(root / "known-set"), str(root / "new-set")
    run = ["--trainer.default_root_dir", str(root / "run"), "--json", "--trainer.enable_progress_bar", "false"]
    length = ["--trainer.max_epochs", "1000", "--trainer.max_steps", str(steps), "--seed_everything", str(seed)]
    model = ["--config", "action_units", "--model.backbone.size_px", "96", "--model.optimizer.lr", "0.003"]
    model += ["--trainer.limit_val_batches", "0"]
    _quietly(train.cli.main, ["fit", *model, "--data.root", known, *run, *length])
    own = _numbers(["validate", "--data.root", known, *run, "--ckpt_path", "last"])
    others = _numbers(["test", "--data.root", new, *run, "--ckpt_path", "last"])
    rows = curate.read_manifest(Path(known))
    used = int((rows["drop_reason"].isna() & rows["split"].eq("train")).sum())
    return Score(used, int(own["rows"]), float(own["f1_units_mean"]), float(others["f1_units_mean"]))


def _numbers(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_quietly(train.cli.main, arguments))
    return found


def _quietly(command: Callable[[list[str]], int], arguments: list[str]) -> str:
    """Run a command and give what it printed; what it said is shown where it failed."""
    printed, said = StringIO(), StringIO()
    with redirect_stdout(printed), redirect_stderr(said):
        code = command(arguments)
    if code:
        raise SystemExit(f"{' '.join(arguments)}: exit code {code}\n{said.getvalue()}")
    return printed.getvalue()
