"""What the tests of the job over many pictures share."""

from pathlib import Path

import numpy as np
from PIL import Image

from align import CropSpec
from align.batch import Job, Outcome, Recipe, run
from align.inputs import list_pictures

SMALL = Recipe(crop=CropSpec(size=64))


def save_photos(face: np.ndarray, *names: str) -> None:
    """Save a face under each name, a little darker each time."""
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((face * (1 - 0.02 * number)).astype(np.uint8)).save(name)


def run_batch(*paths: str, recipe: Recipe = SMALL, out: str = "out", workers: int = 0) -> Outcome:
    return run(Job(list_pictures(paths, Path(out))[0], recipe, Path(out), workers), lambda _: None)


def bytes_of(out: str = "out") -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in Path(out).rglob("*") if path.is_file()}


def inodes_of(out: str = "out") -> dict[str, int]:
    """Tell which crops were written anew."""
    return {path.name: path.stat().st_ino for path in sorted(Path(out).glob("*.png"))}
