"""Videos in any container that FFmpeg opens; one video is one work unit."""

from collections.abc import Iterator
from pathlib import Path

from ..config import Source
from ..frames import VideoReader
from .items import Item, Unit, list_files, make_items, stamp

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".gif"})
"""What is taken from a folder; a glob or a file may have any name."""


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each video."""
    files = list_files(source, root, SUFFIXES, out)
    for item in make_items(source, root, files):
        yield Unit(f"{number:02d}-{item.source_id}", (item,), stamp([item.path]))


def open_item(item: Item, every: int) -> VideoReader:
    """Open a video for 1 frame in `every`."""
    return VideoReader(item.path, every)
