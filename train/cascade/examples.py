"""The pictures that the first network is most wrong about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..evaluate.mistakes import greatest
from ..evaluate.tallies import Ints
from .answers import Said
from .truth import Truth

MOST = 64
"""Pictures on a page, over all filters."""


@dataclass(frozen=True)
class Example:
    """One picture that was wrongly passed or rejected.

    Attributes:
        face_id: Of the picture.
        crop: Relative to the set.
        truth: Its right answer, or the label of a face of no known emotion.
        emotion: What the second network says of it.
        probability: Of that.
        is_face: What the first network says of it.
        source: The file it came from.
        subject: The person, or None.
    """

    face_id: str
    crop: str
    truth: str
    emotion: str
    probability: float
    is_face: float
    source: str
    subject: str | None


@dataclass(frozen=True)
class Examples:
    """The worst of both kinds; `passed` are no faces, `rejected` are faces."""

    passed: tuple[Example, ...]
    rejected: tuple[Example, ...]


def worst_examples(truth: Truth, said: Said, threshold: float, names: Sequence[str], root: Path, most: int) -> Examples:
    """Find what is most surely passed though no face, and what is most surely rejected though a face.

    Args:
        truth: What is right.
        said: What was said.
        threshold: Least probability of a face that passes.
        names: Of the answers, and last the label of a face of no known emotion.
        root: The set's folder.
        most: How many of each kind.
    """
    passes = said.is_face >= threshold

    def listed(chosen: Ints) -> tuple[Example, ...]:
        return tuple(_example(truth, said, place, names, root) for place in chosen.tolist())

    return Examples(
        listed(greatest(said.is_face, ~truth.is_face & passes, most)),
        listed(greatest(-said.is_face, truth.is_face & ~passes, most)),
    )


def _example(truth: Truth, said: Said, place: int, names: Sequence[str], root: Path) -> Example:
    rows, emotion = truth.rows, int(said.likeliest[place])
    return Example(
        rows.face_ids[place],
        rows.paths[place].relative_to(root).as_posix(),
        names[truth.true[place]],
        names[emotion],
        float(said.emotions[place, emotion]),
        float(said.is_face[place]),
        rows.sources[place],
        rows.subjects[place],
    )
