"""The networks of a cascade, and what their classes mean to each other and to the labels of a set."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from align import EyelineError, UsageError

from ..checkpoints import Checkpoint, read_checkpoint, resolve

NOT_FACE = "not_face"
"""The answer to what the first network rejects, and the row and column of the confusion matrices."""

USUAL_FACE = "face"
"""The class of the first network that passes, where nothing else is asked for."""


@dataclass(frozen=True)
class Labels:
    """What the labels of a set mean to a cascade.

    Attributes:
        emotions: The classes of the second network, in its order.
        face: The class of the first network that passes; as a label, a face of no known emotion.
        not_faces: The other classes of the first network; as labels, what is not a face.
    """

    emotions: tuple[str, ...]
    face: str
    not_faces: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The answers of a cascade: the emotions, then `not_face`."""
        return [*self.emotions, NOT_FACE]


@dataclass(frozen=True)
class Pair:
    """A first and a second network."""

    face: Checkpoint
    emotion: Checkpoint


@dataclass(frozen=True)
class Networks:
    """The checkpoints of a cascade.

    Attributes:
        first: The two networks.
        improved: Those that are held against them; None where none are. One that was left out is the first pair's.
        labels: What their classes mean.
    """

    first: Pair
    improved: Pair | None
    labels: Labels

    @property
    def pairs(self) -> list[Pair]:
        """The first pair, and the improved one where there is one."""
        return [self.first] if self.improved is None else [self.first, self.improved]

    @property
    def all(self) -> dict[str, Checkpoint]:
        """Each checkpoint once, by the flag that named it."""
        named = {"face": self.first.face, "emotion": self.first.emotion}
        if self.improved is not None:
            others = {"improved_face": self.improved.face, "improved_emotion": self.improved.emotion}
            named |= {name: found for name, found in others.items() if found not in named.values()}
        return named


def read_networks(paths: dict[str, Path | None], face_label: str | None = None) -> Networks:
    """Read what the checkpoints say about themselves, and refuse those that make no cascade.

    Args:
        paths: By flag: `face` and `emotion`, and where given `improved_face` and `improved_emotion`.
        face_label: The class of the first network that passes; None is `face` of a network of two classes.

    Raises:
        UsageError: A file is not there or is given twice, or the classes do not go together.
        EyelineError: A file is no checkpoint, or one of a network that tells no classes.
    """
    files = {name: resolve(str(path), Path(), f"--{name}") for name, path in paths.items() if path is not None}
    for (one, a), (other, b) in combinations(files.items(), 2):
        if a.samefile(b):
            raise UsageError(
                f"--{one} and --{other}: expected two checkpoints (got {a} for both); leave an improved one out where "
                "the other pair's stands in, and give different ones else"
            )
    found = {name: require_classes(read_checkpoint(path), f"--{name}") for name, path in files.items()}
    first = Pair(found["face"], found["emotion"])
    labels = read_labels(first, face_label)
    for name, ordinary in (("improved_face", first.face), ("improved_emotion", first.emotion)):
        if name in found:
            _require_same_classes(found[name], ordinary, f"--{name}")
    improved = Pair(found.get("improved_face", first.face), found.get("improved_emotion", first.emotion))
    return Networks(first, improved if improved != first else None, labels)


def read_labels(pair: Pair, face_label: str | None) -> Labels:
    """Find out which class passes, and which names are emotions.

    Raises:
        UsageError: The two are the wrong way round, it is not clear which class passes, or a name is one of both.
    """
    classes, emotions = pair.face.tasks.classes, pair.emotion.tasks.classes
    if (name := face_label or USUAL_FACE) in emotions and name not in classes:
        raise UsageError(
            f"--face and --emotion: expected a network that tells faces, then one that tells emotions (found {name!r} "
            f"among the classes of --emotion {pair.emotion.path}, {emotions}); give them the other way round"
        )
    wanted = face_class(pair.face, face_label)
    both = [name for name in emotions if name in {*classes, NOT_FACE}]
    if both:
        raise UsageError(
            f"--emotion {pair.emotion.path}: expected emotions alone (found {both}, which the first network tells); "
            "give a second network that was trained on faces alone"
        )
    return Labels(tuple(emotions), wanted, tuple(name for name in classes if name != wanted))


def face_class(checkpoint: Checkpoint, face_label: str | None) -> str:
    """Find out which class of a first network passes.

    A network of more than two classes needs `face_label`: every other class of it is then not a face.

    Raises:
        UsageError: It is not clear.
    """
    classes = checkpoint.tasks.classes
    wanted = USUAL_FACE if face_label is None else face_label
    if wanted not in classes or wanted == NOT_FACE or (face_label is None and len(classes) > 2):
        got = f"got {face_label!r}" if face_label is not None else "got none"
        offered = [name for name in classes if name != NOT_FACE]
        raise UsageError(
            f"--face_label: expected the class of {checkpoint.path} that is a face, one of {offered} ({got}); "
            "name it, every other class is then not a face"
        )
    return wanted


def require_classes(checkpoint: Checkpoint, flag: str) -> Checkpoint:
    """Give a checkpoint back where its network tells classes.

    Raises:
        EyelineError: It does not.
    """
    if not checkpoint.tasks.classes:
        raise EyelineError(
            f"{flag} {checkpoint.path}: expected a network that tells classes (found one of "
            f"{' and '.join(checkpoint.tasks.kinds)} alone); give one that was trained on labels of classes"
        )
    return checkpoint


def _require_same_classes(improved: Checkpoint, ordinary: Checkpoint, flag: str) -> None:
    """Refuse an improved network of other classes; their order may differ."""
    classes, expected = improved.tasks.classes, ordinary.tasks.classes
    if set(classes) != set(expected):
        raise UsageError(
            f"{flag} {improved.path}: expected the classes of {ordinary.path}, {expected} (found {classes}); "
            "give one that was trained on the same classes"
        )
