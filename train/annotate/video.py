"""Writes annotated pictures as an H.264 video that plays as the original did: its times, its rate and its sound."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final, Self

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from align import EyelineError

from .look import Seen
from .sound import Sound
from .sources import Shape

CODEC: Final = "libx264"
_OPTIONS = {"preset": "veryfast", "crf": "20"}
_BT709 = 1
"""The number of BT.709 in H.264's tables of primaries, transfer and matrix; players take it for granted where a large
video says nothing."""


class VideoWriter:
    """Write the pictures of one input; a context manager.

    The first picture decides the size; odd sides get one more row or column, and later pictures of another size are
    resized. Times are those of the input, from its first frame.

    Args:
        path: The new file.
        shape: What the original says of itself.
        sound_of: The file whose sound is taken over; None writes a silent video.
    """

    def __init__(self, path: Path, shape: Shape, sound_of: Path | None) -> None:
        self.error: str | None = None
        self._path = path
        self._source = ""
        self._shape = shape
        self._sound_of = sound_of
        self._container: OutputContainer | None = None
        self._sound: Sound | None = None
        self._first: tuple[int, float] | None = None
        self._last_pts = -1
        self._time_base = 1 / shape.rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._container is not None:
                with _said(self._source):
                    self._finish(self._container)
        finally:
            if self._sound is not None:
                self.error = self._sound.error
                self._sound.close()
            if self._container is not None:
                with nullcontext() if kind is None else suppress(av.FFmpegError):  # the first fault is the one to tell
                    self._container.close()

    def write(self, picture: NDArray[np.uint8], seen: Seen) -> None:
        """Write the next picture, uint8 [H, W, 3], RGB, at the time of its frame.

        Raises:
            EyelineError: The encoder or the container does not take it.
        """
        with _said(seen.item.source):
            self._write(picture, seen)
        self._source = seen.item.source

    def _write(self, picture: NDArray[np.uint8], seen: Seen) -> None:
        container = self._container or self._open(picture, seen)
        if picture.shape[:2] != self._picture_shape:
            picture = cv2.resize(picture, self._picture_shape[::-1], interpolation=cv2.INTER_AREA)
        height, width = self._picture_shape
        if height % 2 or width % 2:
            picture = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
        )
        frame.pts, frame.time_base = self._pts(seen), self._time_base
        container.mux(self._stream.encode(frame))
        self._mux_sound(container, float(frame.pts * self._time_base))

    def _open(self, picture: NDArray[np.uint8], seen: Seen) -> OutputContainer:
        """Open the file for pictures like the first one."""
        self._picture_shape = height, width = picture.shape[:2]
        if seen.pts is not None and seen.time_base is not None:
            self._time_base = seen.time_base
            self._first = seen.pts, float(seen.pts * seen.time_base)
        container = av.open(str(self._path), "w", format="mp4", options={"movflags": "faststart"})
        self._container = container
        try:
            stream = container.add_stream(CODEC, rate=self._shape.rate, options=_OPTIONS)
        except av.codec.codec.UnknownCodecError:
            raise EyelineError(f"expected PyAV with {CODEC} (found none); reinstall it: pip install av") from None
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.sample_aspect_ratio = self._shape.aspect_of(height, width)
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        self._stream = stream
        if self._sound_of is not None:
            self._sound = Sound(self._sound_of, container)
        return container

    def _pts(self, seen: Seen) -> int:
        """Give a frame's time since the first one; times always grow."""
        if self._first is None or seen.pts is None:
            wanted = self._last_pts + max(1, round(1 / (self._shape.rate * self._time_base)))
        else:
            wanted = seen.pts - self._first[0]
        self._last_pts = max(wanted, self._last_pts + 1)
        return self._last_pts

    def _mux_sound(self, container: OutputContainer, end_s: float) -> None:
        if self._sound is not None:
            for packet in self._sound.until(end_s, self._first[1] if self._first else 0.0):
                container.mux(packet)

    def _finish(self, container: OutputContainer) -> None:
        self._mux_sound(container, float(self._last_pts * self._time_base + 1 / self._shape.rate))
        container.mux(self._stream.encode(None))


@contextmanager
def _said(source: str) -> Iterator[None]:
    """Turn what FFmpeg raises into a sentence."""
    try:
        yield
    except av.FFmpegError as error:
        reason = getattr(error, "strerror", None) or error
        raise EyelineError(f"{source}: expected frames that can be written as H.264 ({reason}); make room") from None
