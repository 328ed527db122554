"""`source` in a dataset's table: where pictures or videos come from, and what is known of them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .values import NonNegative, Positive

Part = Literal["train", "val", "test"]
Separator = Literal[",", ";", "tab", "blank"]
Code = str | int | float

ACTION_UNIT = re.compile(r"au_?0*([1-9]\d?)(?:_[rc])?", re.IGNORECASE)
"""How sets write an action unit's name: au_12, AU12, au01, AU01_r."""

COLUMNS = frozenset(
    {"label", "subject", "split", "valence", "arousal", "au", "intensity"}
    | {"path", "source", "frame", "start_s", "end_s", "pixels", "pictures"}
    | {"box_left", "box_top", "box_right", "box_bottom", "box_x", "box_y", "box_w", "box_h"}
)
"""Our names of columns, besides those of the action units, `au_<number>`."""

_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "rows": ("arrays",),
    "labels_file": ("arrays", "pixels"),
    "files": ("tables",),
    "sidecars": ("videos", "images", "tables"),
}
"""Keys that mean something for some kinds of source alone."""


def au_name(theirs: str) -> str | None:
    """Give the one way we write an action unit's name, `au_<number>`; None where it is not one's name."""
    found = ACTION_UNIT.fullmatch(theirs.strip())
    return f"au_{found[1]}" if found else None


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
class Rename:
    r"""How the path column of a table becomes a path below `--root`.

    Attributes:
        find: A regular expression that is searched in the cell.
        replace: What takes the place of what it found; `\1` is its first group, `\g<0>` all of it.
    """

    find: str
    replace: str

    def __post_init__(self) -> None:
        _require_pattern("find", self.find, groups=0)
        _require_template("replace", self.replace, self.find)


@dataclass(frozen=True)
class Sidecar:
    r"""A file of labels that lies beside each picture or video.

    A table with a column `frame` labels frames; one row without it labels the whole picture or video.

    Attributes:
        media: A regular expression that is searched in the picture's or video's path.
        path: Where its labels lie, with the groups of `media` as `\1`; may be a glob.
        columns: Our names of columns -> the file's, or their numbers from 1. `au` and `intensity` are for files with
            a line for each action unit.
        header: The first line names the columns.
        separator: As a source's.
        missing: Codes that mean that nothing is known.
        first_frame: The number that the file gives to the first frame.
        row_is_frame: Each line is a frame, in order from the first.
        frame_from: A regular expression searched in the picture's path; its first group is the number of the frame
            whose line is taken.
        au_from: A regular expression searched in the labels' path; its first group is the action unit that the column
            `intensity` is about.
        au_header: Columns whose names are plain numbers are action units.
        au: Action units that were looked for: one that a file does not list is 0.
        split_from: A regular expression searched in the labels' path; its first group is the published part.
        required: A picture or video for which the file says nothing is left out, and counted in a notice.
    """

    media: str
    path: str
    columns: dict[str, str | int] = field(default_factory=dict)
    header: bool = True
    separator: Separator | None = None
    missing: tuple[Code, ...] = ()
    first_frame: NonNegative = 0
    row_is_frame: bool = False
    frame_from: str | None = None
    au_from: str | None = None
    au_header: bool = False
    au: tuple[Positive, ...] = ()
    split_from: str | None = None
    required: bool = False

    def __post_init__(self) -> None:
        _require_pattern("media", self.media, groups=0)
        _require_template("path", self.path, self.media)
        for key in ("frame_from", "au_from", "split_from"):
            _require_pattern(key, getattr(self, key))
        _require_inside("path", self.path)
        _require_columns(self.columns, header=self.header)


@dataclass(frozen=True)
class Source:
    """Where pictures or videos come from, and their labels.

    Attributes:
        kind: `videos`; `images` (files that Pillow opens); `tables` (pictures that the path column of a csv, text or
            Parquet file names); `pixels` (a csv whose column `pixels` holds the grey values of square pictures);
            `arrays` (.npy or .npz of [N, H, W] or [N, H, W, 3]); `tar` (shards as WebDataset writes them).
        path: A file, a folder or a glob (`clips/**/*.mp4`) below `--root`, or below `package`; for `images` also a
            .txt or .lst file that lists pictures, one a line.
        package: An installed package that ships the files; it is not imported.
        label: The label of every face of this source.
        label_from: A regular expression searched in the path; its first group is the label.
        label_names: Turns labels, whichever way they come, into the set's vocabulary; `""` makes one unlabelled.
        subject: Who is shown in this source.
        subject_from: A regular expression searched in the path; its first group is the subject.
        annotations: A table below `--root` with the column `source` and, for a frame, `frame`, or for an interval,
            `start_s` and `end_s`; and any of `label`, `valence`, `arousal`, `au_*`, `subject`, `split`.
        rows: Labels of an array's pictures.
        background: Cut random boxes where no face is found.
        split: The published part of all of this source.
        split_from: A regular expression searched in the path; its first group is the published part.
        split_names: Turns published names into `train`, `val` and `test`; `""` means that none is known.
        files: How the path column of a table becomes a path below `--root`.
        columns: Our names of columns -> the table's, or their numbers from 1.
        header: The first line of the table names the columns.
        separator: `,`, `;`, `tab` or `blank` (any run of blanks); when left out, by the suffix: .csv has commas, .tsv
            tabs, any other blanks.
        missing: Codes that mean that nothing is known, in any column.
        votes: Columns that count the votes for a label each; the most voted label is taken, none where two tie.
        au_threshold: Action units of this intensity or more become 1, others 0.
        labels_file: A table below `--root` with a row for each picture, in the same order.
        sidecars: Files of labels beside the pictures or videos.
    """

    kind: Literal["videos", "images", "tables", "pixels", "arrays", "tar"]
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
    split: Part | None = None
    split_from: str | None = None
    split_names: dict[str, Literal["train", "val", "test", ""]] = field(default_factory=dict)
    files: Rename | None = None
    columns: dict[str, str | int] = field(default_factory=dict)
    header: bool = True
    separator: Separator | None = None
    missing: tuple[Code, ...] = ()
    votes: tuple[str, ...] = ()
    au_threshold: float | None = None
    labels_file: str | None = None
    sidecars: tuple[Sidecar, ...] = ()

    def __post_init__(self) -> None:
        for key in ("path", "annotations", "labels_file"):
            _require_inside(key, getattr(self, key))
        for key in ("label_from", "subject_from", "split_from"):
            _require_pattern(key, getattr(self, key))
        for key, kinds in _ONLY_FOR.items():
            if getattr(self, key) and self.kind not in kinds:
                raise ValueError(f"{key} is for sources of kind {' or '.join(kinds)} (got kind {self.kind!r})")
        _require_columns(self.columns, header=self.header)


def _require_inside(key: str, path: str | None) -> None:
    if path is not None and Path(path).is_absolute():
        raise ValueError(f"{key} must be relative to --root (got {path!r})")


def _require_pattern(key: str, pattern: str | None, groups: int = 1) -> None:
    if pattern is None:
        return
    try:
        found = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{key} must be a regular expression ({error})") from None
    if found < groups:
        raise ValueError(f"{key} must have one group in parentheses (got {pattern!r})")


def _require_template(key: str, template: str, pattern: str) -> None:
    """Refuse a replacement that names groups which the pattern has not."""
    try:
        re.sub(f"{pattern}|", template, "")  # the empty alternative matches, so that the template is looked at
    except (re.error, IndexError) as error:
        raise ValueError(f"{key} must name groups of {pattern!r} only ({error}; got {template!r})") from None


def _require_columns(columns: Mapping[str, str | int], *, header: bool) -> None:
    for ours, theirs in columns.items():
        if ours not in COLUMNS and ours != au_name(ours):
            raise ValueError(f"columns must name {', '.join(sorted(COLUMNS))} or au_<number> (got {ours!r})")
        if isinstance(theirs, int) and theirs < 1:
            raise ValueError(f"columns must count from 1 (got {ours} = {theirs})")
        if not header and isinstance(theirs, str):
            raise ValueError(f"columns must be numbers where there is no header (got {ours} = {theirs!r})")
    _require_distinct(columns.items())


def _require_distinct(columns: Iterable[tuple[str, str | int]]) -> None:
    seen: dict[str | int, str] = {}
    for ours, theirs in columns:
        if theirs in seen:
            raise ValueError(
                f"columns must name each of the table's once (got {theirs!r} as {seen[theirs]} and {ours})"
            )
        seen[theirs] = ours
