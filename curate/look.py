"""One frame -> what is cut out of it: faces, whole pictures that are face crops already, and background."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from align import (
    AlignmentRefusedError,
    Box,
    Face,
    Quality,
    align_face,
    locate,
    measure,
    open_landmarker,
    warp,
)

from .config import GIVEN, NO_DETECTOR, Align, Background
from .follow import Sighting, Watcher, sight
from .frames import Frame
from .outcome import DropReason

BACKGROUND = "background"


@dataclass(frozen=True)
class Cut:
    """One thing that was cut out of a frame, or the reason why nothing was.

    Attributes:
        columns: Its geometry, as columns of the manifest.
        image: uint8 [H, W, 3]; None where nothing could be cut.
        quality: What was measured of it; None without an image.
        drop_reason: Why there is no image.
        label: Its own label, where it has one; else that of the frame counts.
    """

    columns: dict[str, Any] = field(default_factory=dict)
    image: NDArray[np.uint8] | None = None
    quality: Quality | None = None
    drop_reason: str | None = None
    label: str | None = None


class Looker:
    """Look at the frames of one item, in their order.

    Args:
        spec: How faces are found and cropped.
        source_id: Of the item; with the frame's place it decides where background is cut.
        box: Where the one face is, if the source says so.
        background: What is cut where there is no face.
    """

    def __init__(self, spec: Align, source_id: str, box: Box | None, background: Background | None) -> None:
        if background is not None:
            spec = replace(spec, follow_s=0.0)  # a frame without a face must be known to have none
        self._spec = spec
        self._crop = spec.crop_spec()
        self._source_id = source_id
        self._box = box
        self._background = background
        self._watcher = Watcher(spec) if spec.detector != NO_DETECTOR and box is None else None
        self.boxes: list[Box] = []
        """The faces of the last frame."""

    def look(self, frame: Frame, *, new_scene: bool) -> Iterator[Cut]:
        """Yield what is cut out of a frame; one cut without an image where it shows nothing."""
        if self._watcher is not None:
            sightings = self._watcher.find(frame, new_scene=new_scene)
        elif self._box is not None:
            sightings = [self._given(frame, self._box)]
        else:
            yield self._whole(frame)
            return
        self.boxes = [sighting.face.box for sighting in sightings]
        for sighting in sightings:
            yield self._face(frame, sighting)
        if not sightings and self._background is not None:
            yield from self._boxes(frame, self._background)
        elif not sightings:
            yield Cut(drop_reason=str(DropReason.NO_FACE))

    def _given(self, frame: Frame, box: Box) -> Sighting:
        """Find the points of the face in the box that the source gives."""
        landmarker = open_landmarker(self._spec.landmarks)
        seen = frame.rgb() if landmarker.colour else frame.luma
        return sight(frame, locate(seen, Face(box, math.nan, GIVEN), landmarker))

    def _face(self, frame: Frame, sighting: Sighting) -> Cut:
        columns = sighting.face.record()
        try:
            crop = align_face(frame.rgb(), sighting.face, self._crop)
        except AlignmentRefusedError as refusal:
            return Cut(columns, drop_reason=refusal.reason)
        columns |= {"matrix": crop.matrix.ravel().tolist()}
        canonical = sighting.canonical
        return Cut(columns, crop.image, measure(crop.image if canonical is None else canonical))

    def _whole(self, frame: Frame) -> Cut:
        """Take a picture that is a face crop already."""
        size = self._spec.size
        picture = frame.rgb()
        height, width = picture.shape[:2]
        scale = np.diag((size / width, size / height))
        matrix = np.hstack([scale, scale @ np.full((2, 1), 0.5) - 0.5])
        image = cv2.resize(
            picture, (size, size), interpolation=cv2.INTER_AREA if max(height, width) > size else cv2.INTER_CUBIC
        )
        return Cut(_geometry(Box(-0.5, -0.5, width, height), matrix, NO_DETECTOR), image, measure(image))

    def _boxes(self, frame: Frame, background: Background) -> Iterator[Cut]:
        """Cut random boxes; where they lie depends on the seed, the source and the frame alone."""
        seed = blake2b(f"{background.seed} {self._source_id} {frame.index}".encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(seed, "big"))
        picture = frame.rgb()
        size = self._spec.size
        for _ in range(background.boxes):
            box = _random_box(rng, *frame.luma.shape)
            scale = size / box.w
            shift = -scale * (np.array([box.x, box.y]) + 0.5) + 0.5 * scale - 0.5
            matrix = np.column_stack([np.eye(2) * scale, shift])
            image = warp(picture, matrix, (size, size), self._spec.border)
            yield Cut(_geometry(box, matrix, BACKGROUND), image, measure(image), label=background.label)


def _geometry(box: Box, matrix: NDArray[np.float64], detector: str) -> dict[str, Any]:
    return {**box.record(), "detector": detector, "matrix": matrix.ravel().tolist()}


def _random_box(rng: np.random.Generator, height: int, width: int) -> Box:
    """Draw a square inside the picture, its side from a fifth to the whole of the short side, by logarithm."""
    short = min(height, width)
    side = math.exp(rng.uniform(math.log(short / 5), math.log(short)))
    return Box(rng.uniform(0, width - side) - 0.5, rng.uniform(0, height - side) - 0.5, side, side)
