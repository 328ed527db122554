"""How a row ends: kept, or dropped for one of a closed set of reasons; and the counts that must reconcile."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from align import EyelineError


class DropReason(StrEnum):
    """Why a face, frame or image is not in the set. The values stand in the manifest's `drop_reason`."""

    NO_FACE = "no_face"  # nothing was detected
    CORRUPT = "corrupt"  # the picture or the rest of the video cannot be decoded
    PROFILE = "profile"  # the head is turned too far aside: no eye line to align by
    NO_EYES = "no_eyes"  # the landmarker gave none
    IMPLAUSIBLE = "implausible"  # eyes and nose stand as in no face: a false detection
    BLANK = "blank"  # one flat colour
    TOO_SMALL = "too_small"  # eyes closer than gates.min_interocular
    BLURRED = "blurred"  # sharpness under gates.min_sharpness
    DARK = "dark"
    BRIGHT = "bright"
    REDUNDANT = "redundant"  # its track or scene had more faces than sample.novel or sample.per_scene
    DUPLICATE = "duplicate"  # within the radius of the representative in `duplicate_of`
    UNLABELLED = "unlabelled"  # no label, where the set has labels
    LEAK = "leak"  # a training row whose near-duplicate stands in the published validation or test part
    OVER_CAP = "over_cap"  # the class had more than balance.cap in the training part


@dataclass(frozen=True)
class FrameCounts:
    """What became of the frames of one work unit, or of all; an image counts as one frame."""

    decoded: int = 0
    sampled_out: int = 0
    near_identical: int = 0
    with_rows: int = 0

    def __add__(self, other: "FrameCounts") -> "FrameCounts":
        return FrameCounts(
            self.decoded + other.decoded,
            self.sampled_out + other.sampled_out,
            self.near_identical + other.near_identical,
            self.with_rows + other.with_rows,
        )

    @property
    def reconciles(self) -> bool:
        """Whether every decoded frame is accounted for once."""
        return self.decoded == self.sampled_out + self.near_identical + self.with_rows


def count_rows(rows: pd.DataFrame) -> dict[str, int]:
    """Count kept rows and rows by drop reason.

    Args:
        rows: A manifest.

    Returns:
        `{"kept": ..., "no_face": ..., ...}`, reasons that occur only, in the order of `DropReason`.

    Raises:
        EyelineError: A reason outside the closed set, so that the counts would not reconcile.
    """
    by_reason = rows["drop_reason"].value_counts()
    unknown = set(by_reason.index) - {str(reason) for reason in DropReason}
    if unknown:
        raise EyelineError(f"manifest: drop_reason must be one of {[*map(str, DropReason)]} (found {sorted(unknown)})")
    counts: Mapping[str, int] = {str(r): int(by_reason[str(r)]) for r in DropReason if str(r) in by_reason.index}
    return {"kept": int(rows["drop_reason"].isna().sum()), **counts}
