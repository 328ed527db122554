"""The faces that a model is worst at, task by task."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax

from ..metrics import Outcome
from ..rows import Rows
from ..tasks import AFFECT, Tasks
from .tallies import Floats, Ints

MOST = 60
"""Pictures on a page, over all splits and tasks."""


@dataclass(frozen=True)
class Mistake:
    """One face that was told wrongly.

    Attributes:
        face_id: Of the face.
        crop: Its picture, relative to the set.
        truth: The label, in words.
        prediction: What was said instead, in words.
        probability: Of what was said; None where the task has none.
        loss: Negative log likelihood of the label; the squared distance of valence and arousal.
        source: The file it came from.
        subject: The person, or None.
    """

    face_id: str
    crop: str
    truth: str
    prediction: str
    probability: float | None
    loss: float
    source: str
    subject: str | None


@dataclass(frozen=True)
class Mistakes:
    """The worst of one task.

    Attributes:
        task: `classes`, `affect` or `units`.
        wrong: How many answers were wrong; None where an answer is only more or less near.
        answers: How many there were to give.
        worst: The greatest losses first, of the wrong ones.
    """

    task: str
    wrong: int | None
    answers: int
    worst: tuple[Mistake, ...]


def worst_mistakes(rows: Rows, outcome: Outcome, tasks: Tasks, root: Path, most: int) -> list[Mistakes]:
    """Find the wrong answers with the greatest loss, of each task that has labels here.

    Args:
        rows: The faces of the split.
        outcome: What was said of them.
        tasks: What the model tells.
        root: The set's folder.
        most: How many, of each task.
    """
    outputs, targets = tasks.split(outcome.outputs.double()), tasks.split(outcome.targets.double())
    faces = _Faces(rows, root)
    found = [
        _classes(outputs.classes.numpy(), targets.classes.numpy(), tasks.classes, faces, most),
        _affect(outputs.affect.numpy(), targets.affect.numpy(), faces, most),
        _units(outputs.units.numpy(), targets.units.numpy(), tasks.units, faces, most),
    ]
    return [mistakes for mistakes in found if mistakes.answers]


class _Faces:
    """Names faces by their place in the split."""

    def __init__(self, rows: Rows, root: Path) -> None:
        self.rows = rows
        self.root = root

    def mistake(self, place: int, said: tuple[str, str], probability: float | None, loss: float) -> Mistake:
        rows = self.rows
        crop = rows.paths[place].relative_to(self.root).as_posix()
        identity = rows.face_ids[place], crop
        return Mistake(*identity, *said, probability, loss, rows.sources[place], rows.subjects[place])


def greatest(values: Floats, chosen: Any, most: int) -> Ints:
    """Give the places of the greatest values among the chosen ones, greatest first, of equals the first."""
    places = np.flatnonzero(chosen)
    return places[np.argsort(-values[places], kind="stable")[:most]].astype(np.int64)


def _classes(logits: Floats, targets: Floats, names: Sequence[str], faces: _Faces, most: int) -> Mistakes:
    labelled = ~np.isnan(targets).any(1) & bool(names)
    if not labelled.any():
        return Mistakes("classes", 0, 0, ())
    log_probabilities = np.asarray(log_softmax(logits, axis=1))
    losses = -(np.nan_to_num(targets) * log_probabilities).sum(1)
    truth, said = np.nan_to_num(targets).argmax(1), logits.argmax(1)
    wrong = labelled & (truth != said)
    worst = tuple(
        faces.mistake(
            place,
            (names[truth[place]], names[said[place]]),
            float(np.exp(log_probabilities[place, said[place]])),
            float(losses[place]),
        )
        for place in greatest(losses, wrong, most).tolist()
    )
    return Mistakes("classes", int(wrong.sum()), int(labelled.sum()), worst)


def _affect(outputs: Floats, targets: Floats, faces: _Faces, most: int) -> Mistakes:
    labelled = ~np.isnan(targets)
    losses = (np.where(labelled, outputs - targets, 0.0) ** 2).sum(1)
    worst = tuple(
        faces.mistake(place, (_point(targets[place]), _point(outputs[place])), None, float(losses[place]))
        for place in greatest(losses, labelled.any(1), most).tolist()
    )
    return Mistakes("affect", None, int(labelled.any(1).sum()), worst)


def _point(values: Floats) -> str:
    """Write valence and arousal in words; those without a label are left out."""
    pairs = zip(AFFECT, values.tolist(), strict=True)
    return ", ".join(f"{name} {value:+.2f}" for name, value in pairs if not np.isnan(value))


def _units(logits: Floats, targets: Floats, names: Sequence[str], faces: _Faces, most: int) -> Mistakes:
    labelled = ~np.isnan(targets)
    present, said = targets >= 0.5, logits >= 0
    losses = np.logaddexp(0, np.where(present, -logits, logits))
    wrong = labelled & (present != said)
    places = greatest(losses.ravel(), wrong.ravel(), most)
    worst = []
    for row, column in zip(*np.unravel_index(places, losses.shape), strict=True):
        words = [f"{names[column]} {'present' if there[row, column] else 'absent'}" for there in (present, said)]
        sure = float(expit(abs(logits[row, column])))
        worst.append(faces.mistake(int(row), (words[0], words[1]), sure, float(losses[row, column])))
    return Mistakes("units", int(wrong.sum()), int(labelled.sum()), tuple(worst))
