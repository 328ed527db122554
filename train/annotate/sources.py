"""Opens an input as a stream of frames; all kinds have the readers' protocol of `curate`."""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Protocol, Self

import av
import cv2

from align import EyelineError, load_image
from curate import Frame, Sample, StillReader, VideoReader

from .inputs import Input

CAMERA_TIME_BASE = Fraction(1, 1000)


class Reader(Protocol):
    """Frames of one input, front to back.

    Attributes:
        error: One sentence on what broke; None where nothing did.
    """

    error: str | None

    def __enter__(self) -> Self:
        """Open it."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close it."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        ...


class CameraReader:
    """The pictures of a camera as they come, timed by the clock; without end.

    Args:
        device: Number of the camera; or what else OpenCV opens.

    Attributes:
        error: One sentence on what broke.
    """

    def __init__(self, device: int | str) -> None:
        self.error: str | None = None
        self._device = device

    def __enter__(self) -> Self:
        """Open the camera.

        Raises:
            EyelineError: There is none of that number.
        """
        node = Path(f"/dev/video{self._device}")
        is_absent = sys.platform == "linux" and isinstance(self._device, int) and not node.exists()
        self._capture = cv2.VideoCapture() if is_absent else cv2.VideoCapture(self._device)
        if not self._capture.isOpened():
            where = f"no {node}" if is_absent else "it does not open; another program may hold it"
            raise EyelineError(f"camera:{self._device}: expected a camera ({where}); plug one in, or name another")
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        started, index = time.monotonic(), 0
        while True:
            came, picture = self._capture.read()
            if not came:
                self.error = f"camera:{self._device}: no picture came after {index}; the camera is gone"
                return
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            since_s = time.monotonic() - started
            pts = round(since_s / CAMERA_TIME_BASE)
            luma = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            yield Frame(index, pts, CAMERA_TIME_BASE, luma, partial(_same, rgb), since_s)
            index += 1


def _same(picture: "cv2.typing.MatLike") -> "cv2.typing.MatLike":
    return picture


def open_reader(item: Input) -> Reader:
    """Make the reader of an input; entering it opens it."""
    if item.kind == "camera":
        return CameraReader(int(str(item.address)))
    if item.kind == "photo":
        return StillReader(partial(load_image, Path(str(item.address))))
    address = str(item.address)
    return VideoReader(Path(address) if item.kind == "video" else address, Sample())


@dataclass(frozen=True)
class Shape:
    """What a video's container says of its pictures, for writing one like it.

    Attributes:
        rate: Frames a second, on average.
        aspect: Width of a pixel by its height, as stored.
        width: Of a picture as stored, before it is turned upright.
        height: Likewise.
        has_sound: Whether it has an audio stream.
    """

    rate: Fraction = Fraction(25)
    aspect: Fraction = Fraction(1)
    width: int = 0
    height: int = 0
    has_sound: bool = False

    def aspect_of(self, height: int, width: int) -> Fraction:
        """Give the aspect of the pixels of an upright picture: the other way round where it was turned sideways."""
        is_turned = (height, width) == (self.width, self.height) and height != width
        return 1 / self.aspect if is_turned else self.aspect


def probe(item: Input) -> Shape:
    """Ask a video file what it is; anything else, and a file that does not open, gives the defaults."""
    if item.kind != "video":
        return Shape()
    try:
        with av.open(f"file:{item.address}") as container:
            streams = container.streams.video
            if not streams:
                return Shape()
            rate = streams[0].average_rate or Fraction(25)
            aspect = streams[0].sample_aspect_ratio or Fraction(1)
            return Shape(rate, aspect, streams[0].width, streams[0].height, bool(container.streams.audio))
    except (av.FFmpegError, OSError, ValueError):
        return Shape()  # the reader says what is wrong


def has_display() -> bool:
    """Tell whether windows can be opened here."""
    return sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
