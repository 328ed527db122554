"""Frames of a video or picture: exact time, luma for searching, RGB for cropping only when it is asked for."""

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from align import ImageError, printable

from .config import Sample
from .video_parts import VideoPart

_LUMA_FIRST = ("yuv", "yuvj", "nv12", "nv21", "gray")
"""Prefixes of the pixel formats whose first plane is the luma, at 8 bits."""


STREAM_PATIENCE_S = 10.0
"""How long a stream may say nothing before it counts as broken off."""


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        index: Place in decoding order, from 0; a still picture is frame 0.
        pts: Presentation time in units of `time_base`; None for a still picture.
        time_base: Seconds a unit, exact.
        luma: uint8 [H, W], upright.
        rgb: Gives uint8 [H, W, 3], upright; converts when it is first called.
        since_first_s: Seconds since the first frame; a container's own time may start anywhere.
    """

    index: int
    pts: int | None
    time_base: Fraction | None
    luma: NDArray[np.uint8]
    rgb: Callable[[], NDArray[np.uint8]]
    since_first_s: float | None = None

    @property
    def time_s(self) -> float | None:
        """Seconds from the container's time 0."""
        if self.pts is None or self.time_base is None:
            return None
        return float(self.pts * self.time_base)


class Sampler:
    """Tell which frames are wanted: 1 in `every`, or so many a second, at the first frame at or after each step."""

    def __init__(self, sample: Sample, before_s: float | None = None) -> None:
        self._sample = sample
        self._step = None if before_s is None else self._step_of(before_s)

    def wants(self, index: int, since_first_s: float | None) -> bool:
        """Whether the next frame is wanted; a frame without a time is where seconds are counted."""
        if self._sample.per_second is None:
            return index % self._sample.every == 0
        if since_first_s is None:
            return True
        before, self._step = self._step, self._step_of(since_first_s)
        return before is None or self._step > before

    def _step_of(self, since_first_s: float) -> int:
        return math.floor(since_first_s * (self._sample.per_second or 1.0) + 1e-6)  # 0.3 s * 10 is a little under 3


class VideoReader:
    """Decode a video, or a part of one, front to back, upright, and give the frames that are wanted, one at a time.

    A context manager and an iterator. All frames go through the decoder, which needs them; only the wanted ones
    are taken out of it. What breaks the decoding ends the iteration and stands in `error`; the frames before
    the break have been given.

    Args:
        path: A file; or, as text, the address of a stream that FFmpeg opens.
        sample: Which frames are wanted.
        part: Of a file, the part that is read; None is all of it.

    Attributes:
        decoded: Frames that came out of the decoder so far, of the part.
        first_index: Place of the part's first frame in the video.
        error: One sentence on what broke; None where the video was whole.
    """

    def __init__(self, path: Path | str, sample: Sample, part: VideoPart | None = None) -> None:
        self.decoded = 0
        self.first_index = part.first_index if part else 0
        self.error: str | None = None
        self._path = path
        self._name = _without_password(path) if isinstance(path, str) else printable(path)
        self._sample = sample
        self._part = part
        self._container: InputContainer | None = None

    def __enter__(self) -> Self:
        try:
            self._container = _open(self._path)
        except FileNotFoundError:
            self.error = f"{self._name}: expected a video (no such file)"
        except (av.FFmpegError, OSError, ValueError) as error:
            self.error = f"{self._name}: expected a video that FFmpeg can open ({_reason(error)})"
        return self

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        if self._container is None:
            return
        if not self._container.streams.video:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "no stream at all"
            self.error = f"{self._name}: expected a video stream (found {kinds})"
            return
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = _threads()
        first_s, before_s = self._times(stream)
        sampler = Sampler(self._sample, before_s)
        end_s, reformatter, broken = None, VideoReformatter(), None
        try:
            for frame in self._frames(self._container, stream):
                index = self.first_index + self.decoded
                self.decoded += 1
                if frame.time is not None:
                    first_s = frame.time if first_s is None else first_s
                    end_s = frame.time
                since_first_s = None if frame.time is None or first_s is None else frame.time - first_s
                if sampler.wants(index, since_first_s):
                    yield _to_frame(frame, index, since_first_s, reformatter)
        except (av.FFmpegError, OSError) as error:
            after = self.first_index + self.decoded
            broken = f"{self._name}: decoding broke off after {after} frames ({_reason(error)})"
            if self._part is not None or _goes_on(self._container, stream):
                self.error = broken
                return
            # where a file is cut within a packet, it depends on the number of threads whether that is an error
        if self._part is not None:
            self.error = self._missing_packets(self._part)
            return
        # some containers count their length from time 0, others from the first frame: either may be reached
        reached_s = max(end_s, end_s - first_s) if first_s is not None and end_s is not None else 0.0
        self.error = self._missing_frames(self._container, stream, reached_s) or broken

    def _times(self, stream: VideoStream) -> tuple[float | None, float | None]:
        """Give the time of the video's first frame, and of the frame before the part, as far as they are known."""
        if self._part is None or stream.time_base is None:
            return None, None
        start = self._part.video_start_pts
        before = self._part.before_pts
        return float(start * stream.time_base), None if before is None else float((before - start) * stream.time_base)

    def _frames(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Decode the part's frames: from its key frame on, without those that a later one shows before it."""
        part = self._part
        if part is None:
            yield from container.decode(stream)
            return
        places = [part.start_pts, part.video_start_pts] if part.before_pts is not None else [part.video_start_pts]
        for place in places:  # where an index is wrong, a seek overshoots: then from the beginning
            container.seek(place, stream=stream, backward=True)
            frames = (frame for frame in container.decode(stream) if (frame.pts or 0) >= part.start_pts)
            first = next(frames, None)
            if first is not None and (first.pts == part.start_pts or place == part.video_start_pts):
                yield from _until(part.end_pts, chain([first], frames))
                return

    def _missing_packets(self, part: VideoPart) -> str | None:
        if self.decoded + max(2, part.frames // 100) >= part.frames:
            return None
        where = f"from frame {part.first_index} on"
        return f"{self._name}: expected {part.frames} frames {where} (found {self.decoded}); the file is damaged"

    def _missing_frames(self, container: InputContainer, stream: VideoStream, reached_s: float) -> str | None:
        """Notice a video that ends before the time, and the frames, that its container declares.

        Both must be short: an edit list hides frames, and timestamps may be wrong.
        """
        if self.decoded == 0:
            return f"{self._name}: expected frames (found none); the file is cut short or damaged"
        declared_s = _declared_seconds(container, stream)
        if reached_s >= 0.99 * declared_s - 0.2:
            return None
        expected, found = f"{declared_s:.1f} s of video", f"{reached_s:.1f} s"
        if stream.frames:
            if self.decoded + max(2, stream.frames // 100) >= stream.frames:
                return None
            expected, found = f"{stream.frames} frames", f"{self.decoded}"
        return f"{self._name}: expected {expected} (found {found}); the file is cut short"


def _threads() -> int:
    """Give the number of threads to decode by, which workers are told as OpenMP's; 0 leaves it to FFmpeg."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(outermost) if outermost.isdecimal() else 0


def _goes_on(container: InputContainer, stream: VideoStream) -> bool:
    """Tell whether more of a stream follows what could not be decoded."""
    try:
        return any(packet.size for packet in islice(container.demux(stream), 1))
    except (av.FFmpegError, OSError):
        return False


def _open(path: Path | str) -> InputContainer:
    if isinstance(path, Path):
        return av.open(f"file:{path}", mode="r")
    # by TCP, for lost packets of UDP are lost pictures; and whoever says nothing for so long has gone away
    return av.open(path, mode="r", container_options={"rtsp_transport": "tcp"}, timeout=STREAM_PATIENCE_S)


def _without_password(address: str) -> str:
    """Give an address as it may be printed: without the user and the password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", address)


def _until(end_pts: int | None, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    return takewhile(lambda frame: end_pts is None or (frame.pts or 0) < end_pts, frames)


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Give the length that the container declares for its video, 0 where it declares none for it alone."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if len(container.streams) == 1 and container.duration is not None:
        return container.duration / av.time_base
    return 0.0


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def _to_frame(frame: VideoFrame, index: int, since_first_s: float | None, reformatter: VideoReformatter) -> Frame:
    turns = round(frame.rotation / 90)  # counterclockwise, as numpy turns

    @cache
    def rgb() -> NDArray[np.uint8]:
        # one reformatter for all frames, and one thread: starting either costs five times the conversion
        picture = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(picture, turns))

    luma = np.ascontiguousarray(np.rot90(_luma(frame), turns))
    return Frame(index, frame.pts, frame.time_base, luma, rgb, since_first_s)


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    components = frame.format.components
    if frame.format.name.startswith(_LUMA_FIRST) and components[0].bits == 8:
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: frame.height, : frame.width]
    return np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)


class StillReader:
    """Give one picture as frame 0; the counterpart of `VideoReader` for images and arrays.

    Attributes:
        decoded: 1 once the picture was read.
        first_index: 0.
        error: One sentence on why it cannot be read.
    """

    def __init__(self, load: Callable[[], NDArray[np.uint8]]) -> None:
        self.decoded = 0
        self.first_index = 0
        self.error: str | None = None
        self._load = load

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Frame]:
        try:
            image = self._load()
        except ImageError as error:
            self.error = str(error)
            return
        self.decoded = 1
        luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        yield Frame(0, None, None, luma, lambda: image)


Reader = VideoReader | StillReader
