"""What a cascade answers, of what its two networks say."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from align import EyelineError

from ..checkpoints import Checkpoint
from ..evaluate.tallies import Floats, Ints
from .networks import Labels


@dataclass(frozen=True)
class Said:
    """What two networks say of N pictures.

    Attributes:
        is_face: float64 [N], the first one's probability of a face.
        emotions: float64 [N, E], the second one's probabilities, in the order of `Labels.emotions`.
    """

    is_face: Floats
    emotions: Floats

    @property
    def likeliest(self) -> Ints:
        """The emotion that the second one tells if it must, int64 [N]."""
        return np.asarray(self.emotions.argmax(1), dtype=np.int64)

    def take(self, places: Ints) -> "Said":
        """Take some of the pictures."""
        return Said(self.is_face[places], self.emotions[places])


def face_probabilities(outputs: Tensor, checkpoint: Checkpoint, labels: Labels) -> Floats:
    """Compute the probability of a face, float64 [N], from a first network's outputs [N, outputs]."""
    tasks = checkpoint.tasks
    return np.asarray(tasks.split(outputs.double()).classes.softmax(1)[:, tasks.classes.index(labels.face)])


def emotion_probabilities(outputs: Tensor, checkpoint: Checkpoint, labels: Labels) -> Floats:
    """Compute the probabilities of the emotions, float64 [N, E], from a second network's outputs [N, outputs]."""
    tasks = checkpoint.tasks
    columns = [tasks.classes.index(name) for name in labels.emotions]
    return np.asarray(tasks.split(outputs.double()).classes.softmax(1)[:, columns])


def require_finite(outputs: Tensor, path: Path) -> None:
    """Refuse outputs, or probabilities, [N, outputs], that are no numbers: no threshold would pass them.

    Raises:
        EyelineError: Some are not.
    """
    if bad := int((~outputs.isfinite()).any(1).sum()):
        raise EyelineError(
            f"{path}: expected outputs that are finite numbers (found NaN or infinite ones in {bad} of {len(outputs)} "
            "rows): its training diverged; train it anew with a lower learning rate"
        )


def answer(said: Said, threshold: float | None) -> Ints:
    """Answer each picture.

    Args:
        said: By the two networks.
        threshold: Least probability of a face that passes; None asks the second network alone about every picture.

    Returns:
        int64 [N]: the place of an emotion, or E for what is not a face.
    """
    if threshold is None:
        return said.likeliest
    return np.where(said.is_face >= threshold, said.likeliest, said.emotions.shape[1])


def best_threshold(said: Said, true: Ints) -> float:
    """Find the threshold with the most right answers; for another split than the one that is reported.

    Args:
        said: By the two networks.
        true: int64 [N], as `answer` gives them.

    Returns:
        A probability half way between two neighbours that occur, or between 0 and the lowest; of equally good ones the
        nearest to 0.5. One that rejects every picture is never given.
    """
    order = np.argsort(said.is_face, kind="stable")
    ordered = said.is_face[order]
    is_face = true[order] < said.emotions.shape[1]
    right_emotion = (said.likeliest == true)[order]
    # where the first n are rejected: non-faces among them, and right emotions among the others
    rejected_rightly = np.append(0, np.cumsum(~is_face))[:-1]
    passed_rightly = right_emotion.sum() - np.append(0, np.cumsum(right_emotion))[:-1]
    firsts = np.append(0, np.flatnonzero(np.diff(ordered) > 0) + 1)
    right = (rejected_rightly + passed_rightly)[firsts]
    low, high = np.append(0.0, ordered)[firsts], ordered[firsts]
    middle = (low + high) / 2
    thresholds = np.where(middle > low, middle, high)  # two neighbours may have no number between them
    best = np.flatnonzero(right == right.max())
    return float(thresholds[best[np.abs(thresholds[best] - 0.5).argmin()]])
