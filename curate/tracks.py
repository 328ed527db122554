"""Tracks: one face followed through a video, cut at changes of scene.

A face goes on the track of the face whose box overlaps its own most, in the last frames that were looked at. A track
ends at a change of scene, when its face was missed in more than `Tracking.gap` looked-at frames in a row, and where the
picture in the box jumps: in edited video another person may sit in the same place. Frames that were skipped because
they show the same do not count as missed.
"""

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
        follower = _Tracker(tracking, boxes, hashes)
        for number in _by_frame(frames[places]):
            some = places[number]
            follower.step(some[has_face[some]], new_scene=bool(cuts[some].any()))
        for place, track in follower.track_of.items():
            tracks[place] = f"{source_id}-{track:04d}"
    return tracks


class _Tracker:
    """The tracks of one video; rows are known by their places in the manifest."""

    def __init__(self, tracking: Tracking, boxes: NDArray[np.float64], hashes: NDArray[np.object_]) -> None:
        self.track_of: dict[int, int] = {}
        self._tracking = tracking
        self._boxes = boxes
        self._hashes = hashes
        self._open: dict[int, tuple[int, int]] = {}  # track -> the row that it was last seen in, and the step
        self._step = 0
        self._count = 0

    def step(self, faces: NDArray[np.intp], *, new_scene: bool) -> None:
        """Take the faces of the next frame that was looked at."""
        self._step += 1
        if new_scene:
            self._open = {}
        last_seen = self._step - 1 - self._tracking.gap
        self._open = {track: seen for track, seen in self._open.items() if seen[1] >= last_seen}
        pairs = [
            (overlap, track, int(face))
            for track, (row, _) in self._open.items()
            for face in faces
            if (overlap := _iou(self._boxes[row], self._boxes[face])) >= self._tracking.overlap
            and not _jumps(self._hashes[row], self._hashes[face])
        ]
        taken: dict[int, int] = {}
        for _, track, face in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
            if face not in taken and track not in taken.values():
                taken[face] = track
        for face in faces.tolist():
            if face not in taken:
                taken[face] = self._count
                self._count += 1
            self.track_of[face] = taken[face]
            self._open[taken[face]] = (face, self._step)


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
