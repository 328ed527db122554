"""What a user may ask of an annotation."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from align import UsageError

from ..tta import Views

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Options:
    """How inputs are annotated.

    Attributes:
        out: Folder of what is written.
        every: The model looks at 1 frame in so many; the frames between show its last answer.
        smooth_s: Time constant in seconds of the exponential smoothing of a face's answers; 0 smooths nothing.
        threshold: Action units of this probability or more are shown.
        video: Whether the annotated pictures and videos are written, or the tables and timelines alone.
        show: Whether they are shown in a window while they are made.
        duration_s: Seconds after which the reading of a video, stream or camera ends; None reads to its end.
        font: A TrueType font for labels in other scripts; None is the one of matplotlib (Latin, Greek, Cyrillic).
        batch_size: Faces that the model sees at once.
        precision: Numbers that the model computes with.
        tta: Views of each face whose answers are averaged.
    """

    out: Path
    every: int = 1
    smooth_s: float = 0.0
    threshold: float = 0.5
    video: bool = True
    show: bool = False
    duration_s: float | None = None
    font: Path | None = None
    batch_size: int = 32
    precision: Precision = "float32"
    tta: Views = "none"

    def __post_init__(self) -> None:
        for name in ("every", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be an integer >= 1 (got {getattr(self, name)})")
        if not (self.smooth_s >= 0 and math.isfinite(self.smooth_s)):
            raise UsageError(f"--smooth_s must be a number of seconds >= 0 (got {self.smooth_s})")
        if self.duration_s is not None and not self.duration_s > 0:
            raise UsageError(f"--duration_s must be a number of seconds > 0 (got {self.duration_s})")
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold must be a probability from 0 to 1 (got {self.threshold})")
        if self.font is not None and not self.font.is_file():
            raise UsageError(f"--font must be a TrueType file (no such file: {self.font})")
        for name, kind in (("precision", Precision), ("tta", Views)):
            if getattr(self, name) not in get_args(kind):
                raise UsageError(f"--{name} must be one of {', '.join(get_args(kind))} (got {getattr(self, name)!r})")
