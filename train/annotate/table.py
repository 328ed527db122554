"""The csv of an annotation: one row a face of each frame that was looked at."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ..predict import answer_columns, answer_names
from ..tasks import Tasks
from .faces import Answered, FaceAnswer

_FRAME = ("frame", "time_s", "face", "track")
_PHOTO = ("source", "face")
_BOX = ("box_x", "box_y", "box_w", "box_h", "drop_reason")


class TableWriter:
    """Write the rows as they come; a context manager.

    Args:
        path: The csv.
        tasks: What the model tells; their columns are those of `eyeline-train predict`.
        of_photos: Whether rows are told apart by their source, and not by frame, time and track.
    """

    def __init__(self, path: Path, tasks: Tasks, *, of_photos: bool) -> None:
        self.rows = 0
        self._path = path
        self._tasks = tasks
        self._of_photos = of_photos

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow([*(_PHOTO if self._of_photos else _FRAME), *_BOX, *answer_names(self._tasks)])
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, answered: Answered) -> None:
        """Write the rows of a frame."""
        seen = answered.seen
        for number, face in enumerate(answered.faces or ()):
            at: Sequence[Any] = (seen.item.source,) if self._of_photos else (seen.index, seen.time_s)
            where = (number,) if self._of_photos else (number, face.track)
            box = face.box.record().values()
            cells = [*at, *where, *box, face.drop_reason, *self._answers(face)]
            self._writer.writerow([_cell(cell) for cell in cells])
            self.rows += 1

    def _answers(self, face: FaceAnswer) -> list[Any]:
        if face.values is None:
            return [None] * len(answer_names(self._tasks))
        values = torch.from_numpy(np.atleast_2d(face.values))
        return [column[0] for column in answer_columns(values, self._tasks)]


def _cell(value: Any) -> Any:
    return f"{value:.6f}" if isinstance(value, float) else value
