"""What a dataset's table in datasets.toml may say: frozen specs that check their own values."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from align import DETECTORS, LANDMARKERS, Border, Choice, CropSpec, Gates, Search, Until

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
NonNegative = Annotated[int, msgspec.Meta(ge=0)]

HashName = Literal["phash64", "phash256", "dhash64", "dhash256", "ahash64", "ahash256", "whash64", "whash256"]

NO_DETECTOR = "none"
"""`align.detector` of a set whose pictures are cropped faces already: each is resized, none is searched."""


def _require(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)} (got {value!r})")


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


@dataclass(frozen=True)
class Sample:
    """Which frames of a video are looked at.

    Attributes:
        every: 1 frame in this many.
        unchanged: Grey levels. A frame is skipped when no cell of a coarse grid over the frame, nor of a fine one
            around each face of the last frame that was looked at, changed its mean luma by more than this. 0 skips
            only frames that show the same; false looks at every sampled frame.
    """

    every: Positive = 1
    unchanged: Annotated[float, msgspec.Meta(ge=0, le=255)] | bool = 4.0

    def __post_init__(self) -> None:
        if self.unchanged is True:
            raise ValueError("unchanged must be a number of grey levels or false (got True)")

    @property
    def unchanged_levels(self) -> float | None:
        """The threshold, None where every sampled frame is looked at."""
        return None if self.unchanged is False else float(self.unchanged)


@dataclass(frozen=True)
class Align:
    """How faces are found, aligned and cropped; see `align.find_faces` and `align.CropSpec`.

    Attributes:
        detector: What finds the faces; `none` where each picture is a face crop already.
        landmarks: What finds the eyes.
        template: Where the eyes stand in the crop.
        size: Width and height of a crop in pixels.
        faces: Which faces of a frame are taken.
        border: What is shown where a crop leaves the frame.
        search: `one` stops at the first view of a frame that shows a face, which is right for the largest; `alike`
            goes on where others of like size may be; `every` looks at all views.
        min_face: Smallest face that is looked for, in pixels of the frame. A frame without a face costs four times as
            much to search at half the size.
        turns: Look for lying and overhead faces where no upright one is found; for photos and clips that were turned.
    """

    detector: str = "hog"
    landmarks: str = "dlib5"
    template: str = "tight"
    size: int = 224
    faces: Choice = "largest"
    border: Border = "replicate"
    search: Until = "one"
    min_face: Annotated[int, msgspec.Meta(ge=8)] = 40
    turns: bool = False

    def __post_init__(self) -> None:
        _require("detector", self.detector, (*DETECTORS, NO_DETECTOR))
        _require("landmarks", self.landmarks, tuple(LANDMARKERS))
        self.crop_spec()

    def crop_spec(self) -> CropSpec:
        """Give the crop's template, size and border."""
        return CropSpec(self.template, self.size, self.border)

    def search_spec(self) -> Search:
        """Give how hard faces are looked for."""
        return Search(until=self.search, min_face=self.min_face, turns=self.turns)


@dataclass(frozen=True)
class Dedup:
    """Which crops are near-identical.

    Attributes:
        hash: Perceptual hash and its bits.
        radius: Hamming distance up to which two crops are near-identical.
        within: Look for duplicates in the whole set, or only among crops of one source.
    """

    hash: HashName = "phash256"
    radius: Annotated[int, msgspec.Meta(ge=0, le=128)] = 31
    within: Literal["set", "source"] = "set"

    @property
    def algorithm(self) -> str:
        """The hash's name, for example `phash`."""
        return re.sub(r"\d+$", "", self.hash)

    @property
    def bits(self) -> int:
        """64 or 256."""
        return int(self.hash.removeprefix(self.algorithm))


@dataclass(frozen=True)
class Split:
    """Shares of validation and test, by faces; the rest is for training.

    Attributes:
        by: `subject`: nobody, no source and no group of near-duplicates stands on two sides; `source`: subjects may.
        val: Share of the faces for validation.
        test: Share for the test; 1 makes a set to test on only.
        seed: Decides among equally good assignments.
    """

    by: Literal["subject", "source"] = "subject"
    val: Share = 0.1
    test: Share = 0.1
    seed: NonNegative = 0

    def __post_init__(self) -> None:
        if self.val + self.test > 1:
            raise ValueError(f"val and test must sum to 1 at most (got {self.val} + {self.test})")


@dataclass(frozen=True)
class Balance:
    """How the training part is balanced.

    Attributes:
        cap: The most faces of a class: a number, the `median` or the `smallest` of the classes' counts, or no cap.
        oversample: Show the faces of smaller classes several times an epoch, up to the largest class.
        seed: Decides which faces are capped out and which are shown once more.
    """

    cap: Positive | Literal["median", "smallest"] | None = None
    oversample: bool = False
    seed: NonNegative = 0


@dataclass(frozen=True)
class Dataset:
    """One table of datasets.toml: a data set and how it is curated."""

    source: Source | tuple[Source, ...]
    title: str = ""
    sample: Sample = Sample()
    align: Align = Align()
    gates: Gates = field(default_factory=Gates)
    dedup: Dedup = Dedup()
    split: Split = Split()
    balance: Balance = Balance()
    labels: tuple[str, ...] = ()
    licence: str = ""
    homepage: str = ""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("source must be a table or a list of them (got none)")

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, one or several."""
        return self.source if isinstance(self.source, tuple) else (self.source,)

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults included, in plain values."""
        return asdict(self)
