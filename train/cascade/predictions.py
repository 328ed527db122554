"""Writes what a cascade answers to each face of a set as one csv; no label is needed."""

from pathlib import Path
from typing import Any

from align import write_atomic

from ..evaluate import csv_text
from ..predict import answer_columns, answer_names, to_values
from .answers import face_probabilities
from .networks import NOT_FACE, Networks
from .run import CascadeSpec, Runner, face_ids_of

FILE = "predictions.csv"


def write_predictions(networks: Networks, spec: CascadeSpec, folder: Path) -> dict[str, Any]:
    """Write `predictions.csv`: face_id, crop, the probability of a face, the answer, and what else the second tells.

    Args:
        networks: The first pair answers.
        spec: The set and its split; the threshold is a number.
        folder: Where to.

    Returns:
        `rows`, `rejected`, `threshold`, `split` and `files`.

    Raises:
        EyelineError: The split is empty, or a crop is missing.
    """
    face_ids, crops = face_ids_of(spec.root, spec.split)
    runner, pair = Runner(spec, networks.labels), networks.first
    (faces,), (emotions,) = (runner.outputs(checkpoint, [spec.split]) for checkpoint in (pair.face, pair.emotion))
    is_face = face_probabilities(faces, pair.face, networks.labels)
    passed = is_face >= float(spec.threshold)
    tasks = pair.emotion.tasks
    predicted, *columns = answer_columns(to_values(emotions, tasks), tasks)
    lines = [
        (face_id, crop, float(share), *((said, *cells) if passes else (NOT_FACE, *[None] * len(cells))))
        for face_id, crop, share, passes, said, *cells in zip(
            face_ids, crops, is_face, passed, predicted, *columns, strict=True
        )
    ]
    path = folder / FILE
    header = ("face_id", "crop", "is_face", "answer", *answer_names(tasks)[1:])
    write_atomic(path, csv_text(header, lines))
    return {
        "split": spec.split,
        "rows": len(lines),
        "rejected": int((~passed).sum()),
        "threshold": float(spec.threshold),
        "files": {FILE: str(path)},
    }
