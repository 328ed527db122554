"""Long videos in parts that several workers decode, cut at key frames so that no frame is lost or read twice."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

PART_FRAMES = 600
"""A part ends at the first key frame after so many frames; a video of fewer than twice as many is one part."""


@dataclass(frozen=True)
class VideoPart:
    """The frames of a video from one key frame until before another, in order of presentation.

    Attributes:
        start_pts: Presentation time of its first frame, in the stream's time base.
        end_pts: Of the first frame of the next part; None for the last one.
        first_index: Place of its first frame in the video.
        frames: How many packets it has.
        video_start_pts: Of the first frame of the video.
        before_pts: Of the frame before its first one; None for the first part.
    """

    start_pts: int
    end_pts: int | None
    first_index: int
    frames: int
    video_start_pts: int
    before_pts: int | None


def split_video(path: Path, part_frames: int = PART_FRAMES) -> tuple[VideoPart, ...]:
    """Cut a long video into parts; the cut depends on the file alone, so that any number of workers gives one result.

    The packets are read without decoding them. A video that is short, is damaged or keeps no exact times stays whole.

    Args:
        path: The file.
        part_frames: A part has so many frames, or more, up to the next key frame.

    Returns:
        Two parts or more, or none where the video is read as a whole.
    """
    try:
        with av.open(f"file:{path}", mode="r") as container:
            if not container.streams.video or _is_short(container, part_frames):
                return ()
            times, keys = [], []
            for packet in container.demux(container.streams.video[0]):
                if packet.size == 0:  # the end
                    continue
                if packet.pts is None:
                    return ()
                times.append(packet.pts)
                keys += [packet.pts] if packet.is_keyframe else []
    except (av.FFmpegError, OSError, ValueError):
        return ()  # whoever reads it says what is wrong
    return _parts(np.array(times, np.int64), np.array(keys, np.int64), part_frames)


def _is_short(container: av.container.InputContainer, part_frames: int) -> bool:
    """Whether the container says so itself; a file that does not say is looked through."""
    stream = container.streams.video[0]
    count = stream.frames
    if not count and stream.average_rate and container.duration:
        count = int(container.duration / av.time_base * stream.average_rate)
    return 0 < count < 2 * part_frames


def _parts(times: np.ndarray, keys: np.ndarray, part_frames: int) -> tuple[VideoPart, ...]:
    ordered, keys = np.sort(times), np.sort(keys)
    if len(ordered) < 2 * part_frames or (np.diff(ordered) <= 0).any() or keys[0] != ordered[0]:
        return ()
    starts = [0]
    for place in np.searchsorted(ordered, keys).tolist():
        if place - starts[-1] >= part_frames and len(ordered) - place >= part_frames // 2:
            starts.append(place)
    ends = [*starts[1:], len(ordered)]
    if len(starts) < 2:
        return ()
    return tuple(
        VideoPart(
            start_pts=int(ordered[start]),
            end_pts=int(ordered[end]) if end < len(ordered) else None,
            first_index=start,
            frames=end - start,
            video_start_pts=int(ordered[0]),
            before_pts=int(ordered[start - 1]) if start else None,
        )
        for start, end in zip(starts, ends, strict=True)
    )
