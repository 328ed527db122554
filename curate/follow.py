"""The faces of one frame after another: followed by their points while they hold, searched for where they do not.

A detector asked about a whole frame costs ten times what the landmarks of one face do. So a face that was found is
followed into the next frames. After `Align.follow_s` seconds, or as soon as what the points show no longer looks like
the face that the detector saw, the detector is asked about its surroundings; where it finds nothing there, at a change
of scene, and at each tenth check, about the whole frame.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from align import (
    AlignmentRefusedError,
    Box,
    Eyes,
    Face,
    Search,
    canonical_crop,
    choose_faces,
    find_faces,
    follow,
    open_detector,
    open_landmarker,
)

from .config import Align
from .frames import Frame

PATCH_PX = 28
"""Width of the aligned face that is compared with the detected one: features count, noise does not."""

MIN_LIKENESS = 0.8
"""Correlation of the two patches, at the least. A talking, blinking face stays above; a hand before it does not."""

MAX_GROWTH = 1.15
"""How much a face may grow or shrink from one frame to the next that is looked at."""

MAX_SHIFT = 0.3
"""How far its middle may move, in box widths."""

REGION = 1.8
"""Side of the region in which a face is looked for that was there in the last frame, in box widths."""

LOST_REGION = 2.6
"""The same for a face that was not: it comes back from behind a hand at another place, and half of it shows first."""

LOST_S = 0.2
"""Seconds after which a frame is searched as a whole again, where the last such search found nothing."""

_ROUNDING_S = 1e-6

UNSEEN_CHECKS = 3
"""A face that still looks as it did, but that the detector does not see, is believed for so many checks."""

WHOLE_EVERY = 10
"""Of so many checks one searches the whole frame; the others ask the detector about the face's surroundings alone."""


@dataclass(frozen=True)
class Sighting:
    """A face in a frame.

    Attributes:
        face: Without a score where it was followed.
        canonical: The aligned face as quality is measured on it, uint8 [112, 112]; None where it cannot be aligned.
    """

    face: Face
    canonical: NDArray[np.uint8] | None


class Watcher:
    """Find the faces of the frames of one video, in their order.

    Args:
        spec: How faces are found, and which of them are taken.
    """

    def __init__(self, spec: Align) -> None:
        self._spec = spec
        self._search = spec.search_spec()
        self._detector = open_detector(spec.detector)
        self._landmarker = open_landmarker(spec.landmarks)
        self._colour = self._detector.colour or self._landmarker.colour
        self._last: list[Face] = []
        self._detected_as: list[NDArray[np.float32]] = []
        self._checked_s = self._searched_s = -math.inf
        self._is_lost = False

    def find(self, frame: Frame, *, new_scene: bool = False) -> list[Sighting]:
        """Find the faces that are wanted of a frame.

        Args:
            frame: The next one that is looked at.
            new_scene: Nothing that was seen before counts.
        """
        now = frame.since_first_s
        if now is None or new_scene or self._spec.follow_s == 0:
            return self._searched(frame, now)
        if self._is_lost and self._last:  # a hand before it, a turn of the head: it will be back
            back = [found for face in self._last if (found := self._nearby(self._seen(frame), face))]
            if len(back) == len(self._last):
                return self._remember([sight(frame, face) for face in back], now)
        if self._is_lost:
            return [] if 0 <= now - self._searched_s < LOST_S - _ROUNDING_S else self._searched(frame, now)
        is_over = self._is_due(now, self._searched_s, WHOLE_EVERY)
        if self._last and not is_over and (sightings := self._followed(frame, now)):
            return sightings
        return self._searched(frame, now, only_larger=not is_over)

    def _searched(self, frame: Frame, now: float | None, *, only_larger: bool = False) -> list[Sighting]:
        """Search the whole frame; or, where a face was there in the last one, only for those as large and larger."""
        search = replace(self._search, expected_face=self._expected())
        if only_larger and search.expected_face:
            search = replace(search, min_face=max(search.min_face, search.expected_face))
        found = find_faces(self._seen(frame), self._detector, self._landmarker, search)
        chosen = choose_faces(found, self._spec.faces, *frame.luma.shape)
        self._searched_s = -math.inf if now is None else now
        return self._remember([sight(frame, face) for face in chosen], self._searched_s)

    def _expected(self) -> int | None:
        """Give the size of the smallest face that was there last; none where it is lost, and may be of any size."""
        if self._is_lost or not self._last:
            return None
        return max(1, round(math.sqrt(min(face.box.area for face in self._last))))

    def _is_due(self, now: float, last: float, checks: int) -> bool:
        """Whether so many checks are over; where all faces are wanted, each check searches the whole frame."""
        wait = self._spec.follow_s * (1 if self._spec.faces == "all" else checks)
        return not 0 <= now - last < wait - _ROUNDING_S

    def _seen(self, frame: Frame) -> NDArray[np.uint8]:
        return frame.rgb() if self._colour else frame.luma

    def _followed(self, frame: Frame, now: float) -> list[Sighting]:
        """Follow each face, or look for it where it was; [] where one of them is lost."""
        is_due = self._is_due(now, self._checked_s, 1)
        sightings = []
        for number, (before, then) in enumerate(zip(self._last, self._detected_as, strict=True)):
            sighting = self._holding(frame, before, then)
            if sighting is None or is_due:
                found = self._nearby(self._seen(frame), before)
                checked = None if found is None else sight(frame, found)
                if checked is not None and checked.canonical is not None:
                    sighting, self._detected_as[number], self._checked_s = checked, _patch(checked.canonical), now
                elif sighting is None or self._is_due(now, self._checked_s, UNSEEN_CHECKS):
                    return []
            sightings.append(sighting)
        self._last = [sighting.face for sighting in sightings]
        return sightings

    def _holding(self, frame: Frame, before: Face, detected_as: NDArray[np.float32]) -> Sighting | None:
        """Follow a face; None where it is not near where it was, of its size, or as it was when it was detected."""
        now = sight(frame, follow(self._seen(frame), before, self._landmarker))
        if now.canonical is None or not _moved_little(before.box, now.face.box):
            return None
        likeness = float((_patch(now.canonical) * detected_as).sum())
        return now if likeness >= MIN_LIKENESS else None

    def _nearby(self, seen: NDArray[np.uint8], before: Face) -> Face | None:
        """Ask the detector about the region around a face, brought to the size that it needs."""
        side = math.sqrt(before.box.area)
        left, top, region = _region(seen, before.box, (LOST_REGION if self._is_lost else REGION) * side)
        search = Search(until="one", min_face=max(1, round(side)), turns=self._spec.turns)
        found = [_shifted(face, left, top) for face in find_faces(region, self._detector, self._landmarker, search)]
        best = max(found, key=lambda face: face.box.iou(before.box), default=None)
        return best if best is not None and best.box.iou(before.box) > 0 else None

    def _remember(self, sightings: list[Sighting], now: float) -> list[Sighting]:
        """Keep what a detector saw, to follow it; a face that cannot be aligned cannot be followed either."""
        crops = [sighting.canonical for sighting in sightings if sighting.canonical is not None]
        self._is_lost = not sightings
        if sightings:
            self._last = [sighting.face for sighting in sightings] if len(crops) == len(sightings) else []
            self._detected_as = [_patch(crop) for crop in crops]
            self._checked_s = now
        return sightings


def sight(frame: Frame, face: Face) -> Sighting:
    """Cut out of a frame what quality is measured on."""
    try:
        return Sighting(face, canonical_crop(frame.rgb(), face))
    except AlignmentRefusedError:
        return Sighting(face, None)


def _patch(canonical: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give the aligned face, small, with mean 0 and length 1."""
    small = cv2.resize(canonical, (PATCH_PX, PATCH_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.sum() / small.size
    return np.asarray(small / max(math.sqrt(np.vdot(small, small)), 1e-6), np.float32)


def _moved_little(before: Box, after: Box) -> bool:
    shift = math.dist(before.center, after.center) / before.w
    return shift <= MAX_SHIFT and 1 / MAX_GROWTH <= after.w / before.w <= MAX_GROWTH


def _region(picture: NDArray[np.uint8], box: Box, side: float) -> tuple[int, int, NDArray[np.uint8]]:
    """Cut the square of a side around a box out of a picture, as far as it goes: left, top, and what it shows."""
    height, width = picture.shape[:2]
    x, y = box.center
    left, right = (int(np.clip(round(x + sign * side / 2), 0, width)) for sign in (-1, 1))
    top, bottom = (int(np.clip(round(y + sign * side / 2), 0, height)) for sign in (-1, 1))
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, np.ascontiguousarray(picture[top : max(bottom, top + 1), left : max(right, left + 1)])


def _shifted(face: Face, left: int, top: int) -> Face:
    """Bring a face that was found in a region back into the whole picture."""
    if face.eyes is None or face.landmarks is None:
        return face
    box = replace(face.box, x=face.box.x + left, y=face.box.y + top)
    shift = np.array([left, top])
    return replace(face, box=box, eyes=Eyes.from_array(face.eyes.xy + shift), landmarks=face.landmarks + shift)
