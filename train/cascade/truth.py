"""The rows of a set that a cascade is evaluated on, and what is right for each."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align import EyelineError

from ..evaluate.tallies import Ints
from ..rows import Rows, Split, read_rows, select
from .networks import NOT_FACE, Labels

FACE_ALONE = -1
"""Stands for a face of no known emotion: right to pass, and no answer to it is right or wrong."""


@dataclass(frozen=True)
class Truth:
    """The rows of a split that have a label that counts.

    Attributes:
        rows: Those rows.
        places: int64 [N], their places among all rows of the split.
        true: int64 [N]: the place of an emotion, E for what is not a face, `FACE_ALONE`.
        emotions: E.
        left_out: How many rows have each label that neither network knows, None for none; by label.
    """

    rows: Rows
    places: Ints
    true: Ints
    emotions: int
    left_out: tuple[tuple[str | None, int], ...]

    @property
    def is_face(self) -> NDArray[np.bool_]:
        """Whether each shows a face, bool [N]."""
        return np.asarray(self.true != self.emotions)

    @property
    def answered(self) -> Ints:
        """Where an answer is right or wrong: everything but faces of no known emotion."""
        return np.flatnonzero(self.true != FACE_ALONE).astype(np.int64)


def read_truth(root: Path, split: Split, labels: Labels, flag: str = "--split") -> Truth:
    """Read what is right for the rows of a split.

    Args:
        root: The set's folder.
        split: Of it.
        labels: What its labels mean.
        flag: What chose the split, for errors.

    Raises:
        EyelineError: The split has no row, no face of an emotion, or nothing that is not a face.
    """
    kept = read_rows(root)
    rows = select(kept, root, split, None)
    by_id = dict(zip(kept["face_id"], kept["label"].astype(object).where(kept["label"].notna(), None), strict=True))
    given = [by_id[face_id] for face_id in rows.face_ids]
    meaning = dict.fromkeys((NOT_FACE, *labels.not_faces), len(labels.emotions)) | {labels.face: FACE_ALONE}
    meaning |= {name: place for place, name in enumerate(labels.emotions)}
    places = np.array([i for i, label in enumerate(given) if label in meaning], dtype=np.int64)
    true = np.array([meaning[given[i]] for i in places], dtype=np.int64)
    _require_both_kinds(true, f"{root}/manifest.parquet", (split, flag), given, labels)
    unknown = Counter(label for label in given if label not in meaning)
    left_out = tuple(sorted(unknown.items(), key=lambda pair: (pair[0] is None, str(pair[0]))))
    return Truth(rows.take(places), places, true, len(labels.emotions), left_out)


def said_of(counts: tuple[tuple[str | None, int], ...]) -> str:
    """Name labels and how many rows have each."""
    return ", ".join(f"{count:,} {'without a label' if label is None else repr(label)}" for label, count in counts)


def _require_both_kinds(true: Ints, where: str, asked: tuple[Split, str], given: list[Any], labels: Labels) -> None:
    split, flag = asked
    not_faces = sorted({NOT_FACE, *labels.not_faces})
    wanted = {
        f"of an emotion, one of {list(labels.emotions)}": (true >= 0) & (true < len(labels.emotions)),
        f"that are not a face, labelled {' or '.join(map(repr, not_faces))}": true == len(labels.emotions),
    }
    for said, there in wanted.items():
        if not there.any():
            counts = sorted(Counter(given).items(), key=lambda pair: (pair[0] is None, str(pair[0])))
            raise EyelineError(
                f"{where}: expected {split} rows {said} (found {said_of(tuple(counts)) or 'no kept row'}); choose "
                f"another {flag}, or a set with faces and non-faces"
            )
