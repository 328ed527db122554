"""Run an export: read the faces, write them in one form, say what was written."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from align import printable

from . import csv_file, fiftyone, folders, parquet, tars
from .faces import Faces, read_faces
from .spec import Export, Format
from .staging import staged

Progress = Callable[[int, int], None]
"""Called with faces done and faces in all."""

Writer = Callable[[Faces, Path, Export, Progress], Mapping[str, Any]]
"""Writes the faces into a folder and gives what is to be told of it, `notes` among it."""

FORMATS: Mapping[Format, Writer] = {
    "folders": folders.write,
    "csv": csv_file.write,
    "webdataset": tars.write,
    "hf": parquet.write,
    "fiftyone": fiftyone.write,
}


@dataclass(frozen=True)
class Result:
    """What was written.

    Attributes:
        to: The form.
        dest: The folder.
        splits: Side -> `faces`, and `showings` in an epoch.
        details: What the form has to tell, such as `linked` and `copied`.
        notes: Sentences that whoever reads the export should know.
    """

    to: str
    dest: str
    splits: Mapping[str, Mapping[str, int]]
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Give everything in plain values."""
        return asdict(self)


def export_set(asked: Export, progress: Progress = lambda _done, _total: None) -> Result:
    """Write a curated set's kept faces in another form, whole or not at all.

    Args:
        asked: What, to where and how.
        progress: Told of faces that are done.

    Raises:
        UsageError: The set or the folder cannot be used.
        EyelineError: A crop is missing, or writing failed.
    """
    faces = read_faces(asked)
    with staged(asked.dest, asked.out) as folder:
        progress(0, len(faces.rows))
        said = dict(FORMATS[asked.to](faces, folder, asked, progress))
    notes = tuple(said.pop("notes", ()))
    splits = {
        side: {"faces": len(rows), "showings": int(rows["repeat"].sum())}
        for side in faces.sides
        for rows in [faces.of_side(side).rows]
    }
    return Result(asked.to, printable(asked.dest), splits, said, notes)
