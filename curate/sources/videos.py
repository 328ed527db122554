"""Videos in any container that FFmpeg opens; one video, or one part of a long one, is one work unit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..config import Sample, Source
from ..frames import VideoReader
from ..video_parts import split_video
from .files import make_items
from .items import Item, Unit, list_files, stamp

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".gif"}
)
"""What is taken from a folder; a glob or a file may have any name."""


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each video; the parts of a long one have their place in their name."""
    files = list_files(source, root, VIDEO_SUFFIXES, out)
    for item in make_items(source, root, files):
        unit_id, mark = f"{number:02d}-{item.source_id}", stamp([item.path])
        parts = split_video(item.path)
        for place, part in enumerate(parts):
            yield Unit(f"{unit_id}-{place:04d}", (replace(item, part=part),), mark)
        if not parts:
            yield Unit(unit_id, (item,), mark)


def open_item(item: Item, sample: Sample) -> VideoReader:
    """Open a video, or the part of one that the item is, for the frames that are wanted."""
    return VideoReader(item.path, sample, item.part)
