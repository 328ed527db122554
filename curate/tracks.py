"""Tracks: one face followed through a video, cut at changes of scene.

A face goes on the track of the face whose box overlaps its own most, in the last frames that were looked at. A track
ends at a change of scene, when its face was missed in more than `Tracking.gap` looked-at frames in a row, and where the
picture in the box jumps: in edited video another person may sit in the same place. Frames that were skipped because
they show the same do not count as missed.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .config import Tracking

JUMP = 0.47
"""Share of the hash's bits. Small blurred faces of one man who moves differ by up to 0.46 from frame to frame; so this
tells few strangers apart, and most changes of person are told by the change of scene."""


def assign_tracks(rows: pd.DataFrame, tracking: Tracking) -> NDArray[np.object_]:
    """Name the track of each row of video that shows a face.

    Args:
        rows: The manifest's rows with `face_id`, `source_id`, `frame`, `pts`, `box_*`, `eyes`, `scene_cut` and `hash`.
        tracking: When two faces belong together.

    Returns:
        object [N]: `<source_id>-<number of the track in it>`; None for pictures, and where there is no face.
    """
    tracks = np.full(len(rows), None, object)
    in_video = np.flatnonzero(rows["pts"].notna().to_numpy())
    boxes = rows[["box_x", "box_y", "box_w", "box_h"]].to_numpy(np.float64, copy=True)
    boxes[:, 2:] += boxes[:, :2]
    has_face = rows["eyes"].notna().to_numpy()
    cuts = rows["scene_cut"].fillna(value=False).to_numpy(bool)
    frames = rows["frame"].to_numpy(np.int64)
    hashes = rows["hash"].to_numpy(object)
    ids = rows["face_id"].to_numpy(str)
    for source_id, members in rows.iloc[in_video].groupby("source_id", sort=True).indices.items():
        places = in_video[members]
        places = places[np.lexsort((ids[places], frames[places]))]
        tracker = Tracker(tracking)
        for number in _by_frame(frames[places]):
            some = places[number]
            shown = some[has_face[some]]
            found = tracker.step(boxes[shown], hashes[shown].tolist(), new_scene=bool(cuts[some].any()))
            tracks[shown] = [f"{source_id}-{track:04d}" for track in found]
    return tracks


class Tracker:
    """Follow the faces of one video from frame to frame; what is kept is bounded by the tracks that are open.

    Args:
        tracking: When two faces belong together.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._open: dict[int, tuple[NDArray[np.float64], bytes | None, int]] = {}  # box, hash, and the step, last seen
        self._step = 0
        self._count = 0

    @property
    def open(self) -> frozenset[int]:
        """The tracks that a face of the next frame may go on."""
        return frozenset(self._open)

    def step(
        self, boxes: NDArray[np.float64], hashes: Sequence[bytes | None] | None = None, *, new_scene: bool = False
    ) -> list[int]:
        """Take the faces of the next frame that was looked at.

        Args:
            boxes: float64 [N, 4], left, top, right and bottom edge of each.
            hashes: Perceptual hash of each, where it has one.
            new_scene: No track goes on.

        Returns:
            The number of each face's track, from 0.
        """
        self._step += 1
        looks = [None] * len(boxes) if hashes is None else hashes
        last_seen = self._step - 1 - self._tracking.gap
        self._open = {} if new_scene else {track: seen for track, seen in self._open.items() if seen[2] >= last_seen}
        pairs = [
            (overlap, track, face)
            for track, (box, look, _) in self._open.items()
            for face in range(len(boxes))
            if (overlap := _iou(box, boxes[face])) >= self._tracking.overlap and not _jumps(look, looks[face])
        ]
        taken: dict[int, int] = {}
        for _, track, face in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
            if face not in taken and track not in taken.values():
                taken[face] = track
        for face in range(len(boxes)):
            if face not in taken:
                taken[face] = self._count
                self._count += 1
            self._open[taken[face]] = (boxes[face], looks[face], self._step)
        return [taken[face] for face in range(len(boxes))]


def _by_frame(frames: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Give the places of the rows of each frame; they are sorted."""
    return np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames)) + 1)


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes of left, top, right and bottom edge."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def _jumps(before: bytes | None, after: bytes | None) -> bool:
    if before is None or after is None:
        return False
    bits = 256 if any(before[8:]) or any(after[8:]) else 64  # a hash of 64 bits is followed by zeros
    return (int.from_bytes(before) ^ int.from_bytes(after)).bit_count() > JUMP * bits
