"""The sound of a video, for one that is written anew."""

from collections.abc import Iterator
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

_COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
"""Sound that an mp4 file holds as it is; other sound is encoded anew."""


_RATE = 48000
"""Samples a second of sound that is encoded anew; AAC does not know every rate."""


class Sound:
    """The sound of the original, packet by packet.

    Args:
        source: The original file.
        container: What is written.

    Attributes:
        error: Why it ended too early; None where it did not.
    """

    def __init__(self, source: Path, container: OutputContainer) -> None:
        self.error: str | None = None
        self._source = source
        self._input = av.open(f"file:{source}")
        self._stream = self._input.streams.audio[0]
        self._is_copied = self._stream.codec_context.name in _COPIED
        if self._is_copied:
            self._target = container.add_stream_from_template(self._stream)
        else:
            self._target = container.add_stream("aac", rate=_RATE)
            self._target.codec_context.layout = "mono" if self._stream.channels == 1 else "stereo"
        self._packets: Iterator[Packet[AudioStream]] | None = None
        self._next: Packet[AudioStream] | None = None

    def until(self, end_s: float, offset_s: float) -> "Iterator[Packet[AudioStream]]":
        """Yield the packets before a time.

        Args:
            end_s: Of the new video.
            offset_s: The time in the original at which the new video begins.
        """
        if self._packets is None:
            self._packets = self._moved(offset_s)
            self._next = next(self._packets, None)
        while self._next is not None and _time_s(self._next) < end_s:
            yield self._next
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the original."""
        self._input.close()

    def _moved(self, offset_s: float) -> "Iterator[Packet[AudioStream]]":
        """Yield the packets in the time of the new video; what comes before it is left out."""
        try:
            yield from (self._copied if self._is_copied else self._encoded)(self._target, offset_s)
        except (av.FFmpegError, ValueError) as error:
            self.error = f"{self._source}: the sound breaks off ({getattr(error, 'strerror', None) or error})"

    def _copied(self, target: AudioStream, offset_s: float) -> "Iterator[Packet[AudioStream]]":
        for packet in self._input.demux(self._stream):
            if packet.pts is None or packet.dts is None or packet.time_base is None:
                continue
            shift = round(offset_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.dts >= 0:
                packet.stream = target
                yield packet

    def _encoded(self, target: AudioStream, offset_s: float) -> "Iterator[Packet[AudioStream]]":
        for frame in self._input.decode(self._stream):
            if frame.pts is None or frame.time_base is None:
                continue
            frame.pts -= round(offset_s / frame.time_base)
            if frame.pts >= 0:
                yield from target.encode(frame)
        yield from target.encode(None)


def _time_s(packet: "Packet[AudioStream]") -> float:
    return float(packet.dts * packet.time_base) if packet.dts is not None and packet.time_base else 0.0
