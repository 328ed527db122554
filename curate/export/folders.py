"""The form `folders`: a folder a side and in it one a class, as torchvision's ImageFolder reads them."""

import csv
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .csv_file import NAME, formula_notes, write_table
from .faces import Faces
from .names import UNLABELLED, safe_names
from .spec import Export
from .staging import Placer

if TYPE_CHECKING:
    from .export import Progress

CLASSES = "classes.csv"
_STEP = 500


def write(faces: Faces, folder: Path, asked: Export, progress: "Progress") -> Mapping[str, Any]:
    """Write the folders, `classes.csv` with the label of each, and `faces.csv` with what is told of each face."""
    named: dict[str | None, str] = {}
    named.update(safe_names(faces.classes))
    labels = [told["label"] for told in faces.told()]
    if None in labels:
        named[None] = UNLABELLED
    for side in faces.sides:
        for name in named.values():
            (folder / side / name).mkdir(parents=True)
    placer, paths = Placer(asked.link), []
    rows = zip(faces.rows["crop"], faces.rows["split"], labels, faces.rows["name"], faces.rows["repeat"], strict=True)
    for done, (crop, side, label, name, repeat) in enumerate(rows, start=1):
        paths.append(f"{side}/{named[label]}/{name}{crop.suffix.lower()}")
        placer.place(crop, folder / paths[-1])
        for showing in range(2, repeat + 1 if asked.repeat else 2):
            placer.place(crop, folder / side / named[label] / f"{name}.{showing}{crop.suffix.lower()}")
        if done % _STEP == 0 or done == len(labels):
            progress(done, len(labels))
    with (folder / CLASSES).open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("folder", "label"))
        lines.writerows((name, label or "") for label, name in named.items())
    formulas = write_table(faces, paths, folder / NAME, repeat=False)
    return {
        "linked": placer.linked,
        "copied": placer.copied,
        "classes": {name: label for label, name in named.items()},
        "notes": [*_empty_classes(faces, named, labels), *formula_notes(formulas)],
    }


def _empty_classes(faces: Faces, named: Mapping[str | None, str], labels: list[str | None]) -> list[str]:
    """Say which folders are empty: without them the classes of two sides would be numbered differently."""
    pairs = sorted(zip(faces.rows["split"], (named[label] for label in labels), strict=True))
    found = {side: {name for _, name in some} for side, some in groupby(pairs, key=lambda pair: pair[0])}
    return [
        f"{side} has no face of {', '.join(lacking)}: read it with ImageFolder(..., allow_empty=True)"
        for side in faces.sides
        if (lacking := sorted(set(named.values()) - found[side]))
    ]
