"""The form `csv`: one file, a line a face; the crops stay where they are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .faces import Faces
from .spec import Export

if TYPE_CHECKING:
    from .export import Progress

NAME = "faces.csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_TEXT = ("path", "face_id", "label", "subject", "source")


def write(faces: Faces, folder: Path, asked: Export, progress: "Progress") -> Mapping[str, Any]:
    """Write `faces.csv`."""
    final = asked.dest.resolve()
    crops = faces.rows["crop"]
    paths = [str(crop) if asked.paths == "absolute" else os.path.relpath(crop, final) for crop in crops]
    formulas = write_table(faces, paths, folder / NAME, repeat=asked.repeat)
    progress(len(crops), len(crops))
    return {"notes": formula_notes(formulas)}


def write_table(faces: Faces, paths: list[str], target: Path, *, repeat: bool) -> int:
    """Write a line for each face, or for each showing, with its path first.

    Cells are written as they are, quoted where csv needs it. A number has the digits that give it back.

    Args:
        faces: What is told of them.
        paths: One a face.
        target: The file.
        repeat: Write a line a showing; `repeat` is 1 in each then, so that its sum is the same.

    Returns:
        How many cells of text a spreadsheet would take for a formula.
    """
    table = faces.rows[list(faces.columns)].copy()
    table.insert(0, "path", paths)
    if repeat:
        table = table.loc[table.index.repeat(table["repeat"])].assign(repeat=1)
    table.to_csv(target, index=False, lineterminator="\n", encoding="utf-8", errors="surrogateescape")
    return sum(_formulas(table[name]) for name in _TEXT)


def formula_notes(count: int) -> list[str]:
    """Warn of cells that a spreadsheet would run."""
    if not count:
        return []
    what = f"{count:,} cells of {NAME} begin with = + - or @, which a spreadsheet may run as formulas"
    return [f"{what}: import its columns as text"]


def _formulas(column: "pd.Series[Any]") -> int:
    text = column.dropna().astype(str)
    return int(text.str.startswith(_FORMULA).sum())
