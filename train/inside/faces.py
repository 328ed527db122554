"""Chooses faces of a set to look at, and what to ask about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from align import UsageError

from ..pack import pack
from ..rows import Split, read_rows, select
from ..tasks import AFFECT, Tasks

TRUE, PREDICTED = "true", "predicted"


@dataclass(frozen=True)
class Faces:
    """Faces to look at.

    Attributes:
        face_ids: One a face.
        labels: The class that each is labelled with, or None.
        images: uint8 [N, 3, S, S], RGB.
    """

    face_ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    images: Tensor


def choose_faces(root: Path, size_px: int, split: Split, count: int, face_ids: Sequence[str] | None) -> Faces:
    """Read faces of a curated set.

    Args:
        root: The set's folder.
        size_px: Height and width to read them at.
        split: Where to take them from when none are named.
        count: How many: one of each label in turn, in the manifest's order.
        face_ids: Those to take, whatever their split; None chooses.

    Raises:
        UsageError: A face that is named is not in the set, or the split has none.
    """
    rows = read_rows(root)
    faces = select(rows, root, "all" if face_ids else split, None)
    places = {face_id: i for i, face_id in enumerate(faces.face_ids)}
    by_id = rows.drop_duplicates("face_id").set_index("face_id")["label"]
    labels = {str(face_id): None if pd.isna(label) else str(label) for face_id, label in by_id.items()}
    for face_id in face_ids or ():
        if face_id not in places:
            raise UsageError(f"--faces: expected the face_id of a kept face of {root} (got {face_id!r})")
    chosen = list(face_ids) if face_ids else _in_turn(faces.face_ids, labels)[:count]
    if not chosen:
        raise UsageError(f"--split: expected {split} rows in {root} (found none that were kept); choose another split")
    images = pack([faces.paths[places[face_id]] for face_id in chosen], size_px)
    return Faces(tuple(chosen), tuple(labels[face_id] for face_id in chosen), images)


def _in_turn(face_ids: Sequence[str], labels: dict[str, str | None]) -> list[str]:
    by_label: dict[str, list[str]] = {}
    for face_id in face_ids:
        by_label.setdefault(labels[face_id] or "", []).append(face_id)
    queues = [by_label[label] for label in sorted(by_label)]
    return [face_id for face_id in chain.from_iterable(zip_longest(*queues)) if face_id is not None]


def default_targets(tasks: Tasks) -> list[str]:
    """List what is asked of a model where nothing is named: the predicted class, and all else that it tells."""
    return [*([PREDICTED] if tasks.classes else []), *(AFFECT if tasks.affect else ()), *tasks.units]


def target_columns(target: str, tasks: Tasks, outputs: Tensor, faces: Faces) -> Tensor:
    """Give the column of the outputs that each face is asked about.

    Args:
        target: `true`, `predicted`, a class, `valence`, `arousal` or an action unit.
        tasks: What the model tells.
        outputs: float [N, outputs], what it says of the faces.
        faces: With their labels.

    Returns:
        int64 [N].

    Raises:
        UsageError: The model has no such output, or `true` is asked of a face without a label that the model knows.
    """
    count = len(outputs)
    if target == PREDICTED and tasks.classes:
        return outputs[:, : len(tasks.classes)].argmax(1)
    if target == TRUE and tasks.classes:
        for face_id, label in zip(faces.face_ids, faces.labels, strict=True):
            if label not in tasks.classes:
                raise UsageError(
                    f"--targets: true expects a label that is one of {tasks.classes} (found {label!r} at {face_id}); "
                    "ask for predicted or for a class by name"
                )
        return torch.tensor([tasks.classes.index(str(label)) for label in faces.labels])
    if target in tasks.names:
        return torch.full((count,), tasks.names.index(target))
    expected = [*([TRUE, PREDICTED] if tasks.classes else []), *tasks.names]
    raise UsageError(f"--targets: expected one of {expected} (got {target!r})")
