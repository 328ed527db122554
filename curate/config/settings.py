"""The other tables of a dataset: how it is sampled, aligned, cleaned of duplicates, split and balanced."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from align import DETECTORS, LANDMARKERS, Border, Choice, CropSpec, Search, Until

from ..radii import ONE_SIDE, SAME_MOMENT, SAME_PICTURE
from .values import NonNegative, Positive, Share

HashName = Literal["phash64", "phash256", "dhash64", "dhash256", "ahash64", "ahash256", "whash64", "whash256"]

NO_DETECTOR = "none"
"""`align.detector` of a set whose pictures are cropped faces already: each is resized, none is searched."""

GIVEN = "given"
"""The manifest's `detector` of a face whose box the source gives."""


def _require(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{key} must be one of {', '.join(known)} (got {value!r})")


@dataclass(frozen=True)
class Sample:
    """Which frames of a video are looked at, and which of their faces are kept.

    Attributes:
        every: 1 frame in this many.
        per_second: Frames a second of video, instead of `every`: the first at or after each step.
        per_scene: Faces that are kept of a track, which ends with its scene, at the most, spread evenly over it.
        novel: Faces that are kept of a track, at the most: those that differ most in expression.
        unchanged: Grey levels. A frame is skipped when no cell of a coarse grid over the frame, nor of a fine one
            around each face of the last frame that was looked at, changed its mean luma by more than this. 0 skips
            only frames that show the same; false looks at every sampled frame.
    """

    every: Positive = 1
    per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    per_scene: Positive | None = None
    novel: Positive | None = None
    unchanged: Annotated[float, msgspec.Meta(ge=0, le=255)] | bool = 4.0

    def __post_init__(self) -> None:
        if self.unchanged is True:
            raise ValueError("unchanged must be a number of grey levels or false (got True)")
        if self.per_second is not None and self.every != 1:
            raise ValueError(f"every and per_second exclude each other (got {self.every} and {self.per_second})")
        if self.per_scene is not None and self.novel is not None:
            raise ValueError(f"per_scene and novel exclude each other (got {self.per_scene} and {self.novel})")

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
        follow_s: Seconds of video. A face that was found is followed by its landmarks for as long, then the whole frame
            is searched again; a face that comes in meanwhile is found then. 0 searches every frame.
        format: Of the crops' files: `png` loses nothing; `jpg` and `webp` are smaller.
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
    follow_s: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    format: Literal["png", "jpg", "webp"] = "png"

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
        radius: Hamming distance up to which two crops are near-identical; none = what suits the hash: copies of one
            picture in a set or a source, the moments before and after within a track.
        within: Look for duplicates in the whole set, or only among crops of one source, or of one track.
        mirrored: Look for mirrored copies as well, which no hash finds by itself.
    """

    hash: HashName = "phash256"
    radius: Annotated[int, msgspec.Meta(ge=0, le=128)] | None = None
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

    @property
    def radius_bits(self) -> int:
        """The radius, or the hash's default for `within`."""
        defaults = SAME_MOMENT if self.within == "track" else SAME_PICTURE
        return defaults[self.hash] if self.radius is None else self.radius

    @property
    def set_radius_bits(self) -> int:
        """The radius within which faces go to one side of a split: across the set, whatever `within` is."""
        return ONE_SIDE[self.hash] if self.within == "track" else max(ONE_SIDE[self.hash], self.radius_bits)


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
        threshold: Distance of the descriptors of dlib's face-recognition network, averaged over the faces of two
            groups, up to which the groups show one person. Two photos of one person are some 0.2 to 0.4 apart, those
            of two people seldom less than 0.45; a lower threshold finds more people than there are.
    """

    by: Literal["faces", "given"] = "faces"
    threshold: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.45


@dataclass(frozen=True)
class Split:
    """Shares of validation and test, by faces; the rest is for training.

    Attributes:
        by: `subject`: nobody, no source and no group of near-duplicates stands on two sides; `source`: subjects may.
        val: Share of the faces for validation; with folds, of those that are not in the test fold.
        test: Share for the test; 1 makes a set to test on only. With folds it is not used.
        seed: Decides among equally good assignments.
        folds: Cut the faces into so many parts of about one size, for cross-validation; each row's part stands in the
            column `fold`.
        fold: Which part is the test, from 0; `eyeline-curate split OUT --fold 1` takes another.
        published: `keep`: rows for which the source says train, val or test go there, whatever they share with others;
            `ignore`: the set is split anew.
        leaks: `drop`: a near-duplicate of a published validation or test row that is not published there itself is
            dropped; `keep` leaves it in training, only to reproduce what was published on such a set: it fails the
            check of `status`, as it should.
    """

    by: Literal["subject", "source"] = "subject"
    val: Share = 0.1
    test: Share = 0.1
    seed: NonNegative = 0
    folds: Annotated[int, msgspec.Meta(ge=2)] | None = None
    fold: NonNegative = 0
    published: Literal["keep", "ignore"] = "keep"
    leaks: Literal["drop", "keep"] = "drop"

    def __post_init__(self) -> None:
        if self.fold >= (self.folds or 1):
            below = f"below folds = {self.folds}" if self.folds else "0 where there are no folds"
            raise ValueError(f"fold must be {below} (got {self.fold})")
        if self.folds is None and self.val + self.test > 1:
            raise ValueError(f"val and test must sum to 1 at most (got {self.val} + {self.test})")


@dataclass(frozen=True)
class Balance:
    """How the training part is balanced; validation and test keep their natural mix.

    Attributes:
        cap: The most faces of a class: a number, the `median` or the `smallest` of the classes' counts, or no cap.
        oversample: Show faces of smaller classes several times an epoch: `equal` or true, as often as the largest
            class; `sqrt`, by the square roots of the classes' counts (Mahajan et al. 2018); `effective`, by the
            effective number of faces (Cui et al. 2019).
        beta: Of the effective number: towards 0 the natural mix, towards 1 `equal`.
        max_repeat: How often an epoch shows a face at the most; none is 10 by action units and no bound by label.
        keep: Which faces of a class above the cap stay: `diverse`, those of as many people, sources and tracks as
            possible, and of these the most different ones; `random`.
        by: What the classes are: `label`, or `au`, the action units; none is labels where training faces have them.
        seed: Decides which faces stay and which are shown once more, where nothing else does.
    """

    cap: Positive | Literal["median", "smallest"] | None = None
    oversample: bool | Literal["equal", "sqrt", "effective"] = False
    beta: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.999
    max_repeat: Positive | None = None
    keep: Literal["diverse", "random"] = "diverse"
    by: Literal["label", "au"] | None = None
    seed: NonNegative = 0
