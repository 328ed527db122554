"""The numbers of a cascade: every row counts, and the right answer to what is not a face is `not_face`."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from ..evaluate.tallies import Floats, Ints, Numbers, Tally, divide
from ..metrics import Outcome, per_unit
from ..tasks import Tasks


@dataclass(frozen=True)
class Errors:
    """Where the answers of a cascade go wrong; `rows` is the sum of the four that partition it.

    Attributes:
        rows: That have a right answer.
        right: Answered rightly.
        faces_rejected: Faces that the first network took for none.
        not_faces_passed: What is not a face and got an emotion all the same.
        wrong_emotion: Faces that passed and got a wrong emotion.
        right_but_rejected: Of `faces_rejected`, those of which the second network alone had the emotion right: what the
            filter costs.
    """

    rows: int
    right: int
    faces_rejected: int
    not_faces_passed: int
    wrong_emotion: int
    right_but_rejected: int


def split_errors(true: Ints, answers: Ints, alone: Ints, emotions: int) -> Errors:
    """Count where the answers go wrong.

    Args:
        true: int64 [N]: the place of an emotion, or `emotions` for what is not a face.
        answers: int64 [N], likewise.
        alone: int64 [N], what the second network would say of each.
        emotions: How many there are.
    """
    is_face, passed, right = true < emotions, answers < emotions, true == answers
    rejected = is_face & ~passed
    return Errors(
        rows=len(true),
        right=int(right.sum()),
        faces_rejected=int(rejected.sum()),
        not_faces_passed=int((~is_face & passed).sum()),
        wrong_emotion=int((is_face & passed & ~right).sum()),
        right_but_rejected=int((rejected & (alone == true)).sum()),
    )


@dataclass(frozen=True)
class FilterScore:
    """What the first network is worth; None where there is nothing to divide by.

    Attributes:
        threshold: Least probability of a face that passes.
        faces: Rows that show one, those of no known emotion too.
        not_faces: Rows that do not.
        passed: Rows of either kind that passed.
        faces_rejected: False rejections.
        not_faces_passed: False passes.
        precision: Share of faces in what passed.
        recall: Share of the faces that passed.
        accuracy: Share of rows that were told rightly.
        auc: The chance that a face scores above what is none; it depends on no threshold.
    """

    threshold: float
    faces: int
    not_faces: int
    passed: int
    faces_rejected: int
    not_faces_passed: int
    precision: float | None
    recall: float | None
    accuracy: float | None
    auc: float | None


def score_filter(is_face: NDArray[np.bool_], probabilities: Floats, threshold: float) -> FilterScore:
    """Compute what the first network is worth.

    Args:
        is_face: bool [N].
        probabilities: float64 [N], of a face.
        threshold: Least one that passes.
    """
    passed = probabilities >= threshold
    faces, hits, said = int(is_face.sum()), int((is_face & passed).sum()), int(passed.sum())
    columns = (torch.from_numpy(np.asarray(values, dtype=np.float64)[:, None]) for values in (probabilities, is_face))
    (ranked,) = per_unit(Outcome(torch.arange(len(passed)), *columns), Tasks(units=["face"]))
    return FilterScore(
        threshold=threshold,
        faces=faces,
        not_faces=len(passed) - faces,
        passed=said,
        faces_rejected=faces - hits,
        not_faces_passed=said - hits,
        precision=hits / said if said else None,
        recall=hits / faces if faces else None,
        accuracy=float((is_face == passed).mean()) if len(passed) else None,
        auc=ranked.auc,
    )


def as_outcome(true: Ints, answers: Ints, names: int) -> Outcome:
    """Write answers as a model's outputs, so that all numbers of classes can be computed from them.

    Args:
        true: int64 [N], places below `names`.
        answers: int64 [N], likewise.
        names: How many answers there are.
    """
    hot = (torch.nn.functional.one_hot(torch.from_numpy(places), names).float() for places in (answers, true))
    return Outcome(torch.arange(len(true)), *hot)


def gain_tally(true: Ints, answers: Ints, before: Ints) -> Tally:
    """Make the lines from which follows by how much the accuracy of `answers` is above that of `before`."""
    gained = (answers == true).astype(np.float64) - (before == true)
    lines = sparse.csr_matrix(np.column_stack([gained, np.ones(len(true))]))

    def numbers(sums: Floats) -> Numbers:
        return {"gain": divide(sums[:, 0], sums[:, 1])}

    return Tally("gain", lines, numbers, "gain")
