"""What the model says about each face of each frame: asked in batches, followed along tracks, smoothed over time."""

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align import Box
from curate import Cut, Tracker, Tracking

from ..cascade import NOT_FACE
from .answerer import Answerer
from .face_filter import FaceFilter
from .look import Seen

CHUNK_BYTES = 64 * 1024**2
"""Pictures of a chunk; some five chunks are under way at a time."""

CHUNK_FRAMES = 256
"""Frames of a chunk, at the most, though they show no face."""


@dataclass(frozen=True)
class FaceAnswer:
    """A face of a frame and what the model says about it.

    Attributes:
        box: In pixels of the frame.
        values: float32 [outputs]; None where it could not be aligned, or a filter took it for no face.
        drop_reason: Which of both: why it could not be aligned, or `not_face`.
        track: Its number in the video; None in a photo.
    """

    box: Box
    values: NDArray[np.float32] | None
    drop_reason: str | None = None
    track: int | None = None


@dataclass(frozen=True)
class Answered:
    """A frame with its answers.

    Attributes:
        seen: The frame.
        faces: From left to right; None where it was not looked at.
    """

    seen: Seen
    faces: Sequence[FaceAnswer] | None


class Follower:
    """Put faces on tracks and smooth their answers over time; both end where the track ends.

    Args:
        smooth_s: Time constant in seconds: after it, a sudden change is shown by 63 %. 0 smooths nothing.
    """

    def __init__(self, smooth_s: float) -> None:
        self._tracker = Tracker(Tracking())
        self._smooth_s = smooth_s
        self._last: dict[int, tuple[float, NDArray[np.float32]]] = {}

    def follow(self, faces: Sequence[FaceAnswer], seen: Seen) -> list[FaceAnswer]:
        """Take the faces of the next frame that was looked at."""
        edges = np.array([face.box.xyxy for face in faces], np.float64).reshape(-1, 4)
        tracks = self._tracker.step(edges, new_scene=seen.new_scene)
        self._last = {track: last for track, last in self._last.items() if track in self._tracker.open}
        return [
            FaceAnswer(face.box, self._smoothed(face.values, track, seen.time_s), face.drop_reason, track)
            for face, track in zip(faces, tracks, strict=True)
        ]

    def _smoothed(
        self, values: NDArray[np.float32] | None, track: int, time_s: float | None
    ) -> NDArray[np.float32] | None:
        if values is None or time_s is None or not self._smooth_s:
            return values
        if track in self._last:
            then_s, before = self._last[track]
            share = -math.expm1(-max(time_s - then_s, 0.0) / self._smooth_s)
            values = np.asarray(before + share * (values - before), np.float32)
        self._last[track] = (time_s, values)
        return values


def answer(
    chunks: Iterable[list[Seen]], answerer: Answerer, follower: Follower | None, face_filter: FaceFilter | None = None
) -> Generator[list[Answered], None, None]:
    """Ask the model about the faces of frames, a chunk at a time.

    Args:
        chunks: Of the frames of one video in their order; or of photos.
        answerer: Is asked.
        follower: Of the video; None for photos.
        face_filter: Decides which of them it is asked about; None lets all pass.

    Yields:
        The frames of each chunk with their answers.
    """
    for chunk in chunks:
        crops = [crop for seen in chunk for crop in seen.crops]
        shown = [crop for seen in chunk for crop in seen.filter_crops]
        passed = [True] * len(crops) if face_filter is None else face_filter.passes(shown)
        answers = iter(answerer([crop for crop, passes in zip(crops, passed, strict=True) if passes]))
        values = iter([next(answers) if passes else None for passes in passed])
        answered = []
        for seen in chunk:
            faces = [_face(cut, values) for cut in seen.cuts or ()]
            if follower is not None and seen.cuts is not None:
                faces = follower.follow(faces, seen)
            answered.append(Answered(seen, None if seen.cuts is None else faces))
        yield answered


def _face(cut: Cut, values: Iterator[NDArray[np.float32] | None]) -> FaceAnswer:
    """Take the next values where there was something to answer; None there is what the filter rejected."""
    box = Box(*(cut.columns[name] for name in ("box_x", "box_y", "box_w", "box_h")))
    if cut.image is None:
        return FaceAnswer(box, None, cut.drop_reason)
    found = next(values)
    return FaceAnswer(box, found, NOT_FACE if found is None else cut.drop_reason)


def chunks(frames: Iterable[Seen], batch_size: int, *, at_once: bool = False) -> Generator[list[Seen], None, None]:
    """Put frames together until they have as many faces as the model is to see at once.

    Args:
        frames: In their order.
        batch_size: That many faces; frames of `CHUNK_BYTES`, or `CHUNK_FRAMES` of them, go on earlier.
        at_once: Every frame goes on by itself: for what is watched while it goes on.
    """
    chunk: list[Seen] = []
    waiting = size = 0
    for seen in frames:
        chunk.append(seen)
        waiting += len(seen.crops)
        size += sum(
            picture.nbytes for picture in (seen.picture, *seen.crops, *seen.filter_crops) if picture is not None
        )
        if at_once or waiting >= batch_size or size >= CHUNK_BYTES or len(chunk) == CHUNK_FRAMES:
            yield chunk
            chunk, waiting, size = [], 0, 0
    if chunk:
        yield chunk
