"""`source` in a dataset's table: where pictures or videos come from, and what is known of them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .values import NonNegative, Positive


@dataclass(frozen=True)
class Background:
    """Random boxes from frames in which no face was found.

    Attributes:
        boxes: How many a frame.
        label: Their label.
        seed: With the frame's identity, decides where they lie.
    """

    boxes: Positive = 4
    label: str = "not_face"
    seed: NonNegative = 0


@dataclass(frozen=True)
class RowLabel:
    """The label of a run of pictures of an array: rows `first` to `last`, both included."""

    first: NonNegative
    last: NonNegative
    label: str


@dataclass(frozen=True)
class Source:
    """Where pictures or videos come from, and their labels.

    Attributes:
        kind: `videos`, `images` (files that Pillow opens) or `arrays` (.npy of [N, H, W] or [N, H, W, 3]).
        path: A file or a glob (`clips/**/*.mp4`) below `--root`, or below `package`.
        package: An installed package that ships the files; it is not imported.
        label: The label of every face of this source.
        label_from: A regular expression searched in the path; its first group is the label.
        label_names: Turns what `label_from` found into the set's vocabulary.
        subject: Who is shown in this source.
        subject_from: A regular expression searched in the path; its first group is the subject.
        annotations: A csv below `--root` with the columns `source` and, for a frame, `frame`, or for an interval,
            `start_s` and `end_s`; and any of `label`, `valence`, `arousal`, `au_*`, `subject`.
        rows: Labels of an array's pictures.
        background: Cut random boxes where no face is found.
    """

    kind: Literal["videos", "images", "arrays"]
    path: str
    package: str | None = None
    label: str | None = None
    label_from: str | None = None
    label_names: dict[str, str] = field(default_factory=dict)
    subject: str | None = None
    subject_from: str | None = None
    annotations: str | None = None
    rows: tuple[RowLabel, ...] = ()
    background: Background | None = None

    def __post_init__(self) -> None:
        if Path(self.path).is_absolute():
            raise ValueError(f"path must be relative to --root (got {self.path!r})")
        for key in ("label_from", "subject_from"):
            pattern = getattr(self, key)
            if pattern is None:
                continue
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{key} must be a regular expression ({error})") from None
            if groups < 1:
                raise ValueError(f"{key} must have one group in parentheses (got {pattern!r})")
