"""The other tables of a dataset: how it is sampled, aligned, cleaned of duplicates, split and balanced."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from align import DETECTORS, LANDMARKERS, Border, Choice, CropSpec, Search, Until

from .values import NonNegative, Positive, Share

HashName = Literal["phash64", "phash256", "dhash64", "dhash256", "ahash64", "ahash256", "whash64", "whash256"]

NO_DETECTOR = "none"
"""`align.detector` of a set whose pictures are cropped faces already: each is resized, none is searched."""


def _require(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)} (got {value!r})")


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
        within: Look for duplicates in the whole set, or only among crops of one source, or of one track.
        mirrored: Look for mirrored copies as well, which no hash finds by itself.
    """

    hash: HashName = "phash256"
    radius: Annotated[int, msgspec.Meta(ge=0, le=128)] = 31
    within: Literal["set", "source", "track"] = "set"
    mirrored: bool = False

    @property
    def algorithm(self) -> str:
        """The hash's name, for example `phash`."""
        return re.sub(r"\d+$", "", self.hash)

    @property
    def bits(self) -> int:
        """64 or 256."""
        return int(self.hash.removeprefix(self.algorithm))


@dataclass(frozen=True)
class Tracking:
    """When two faces of a video belong to one track; a track ends at a change of scene.

    Attributes:
        overlap: Intersection over union of the two boxes, at the least.
        gap: How many looked-at frames in a row a face may be missed in.
    """

    overlap: Share = 0.3
    gap: NonNegative = 5


@dataclass(frozen=True)
class Identify:
    """Who is shown, where the source does not say.

    Attributes:
        by: `faces`: faces of sources without a subject are compared and grouped into people; `given`: only subjects
            that the source gives count.
        threshold: Distance of two face descriptors (dlib's, of length 1) up to which they show one person.
    """

    by: Literal["faces", "given"] = "faces"
    threshold: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.5


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
