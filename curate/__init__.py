"""Videos and images in, a split, balanced and exported set of aligned faces out.

The names below are loaded when they are first used, so that `import curate` stays light; the manifest is at hand.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .manifest import read_curation, read_manifest

if TYPE_CHECKING:
    from .config import NO_DETECTOR, Align, Sample, Tracking
    from .frames import Frame, StillReader, VideoReader
    from .leaks import Check, check_leaks, crossing, leak_check
    from .look import Cut, Looker
    from .report.environment import page_environment
    from .report.histograms import nice_ticks
    from .report.sheets import Tile
    from .report.thumbnails import Crops
    from .scenes import SceneWatch, thumbnail
    from .sources.videos import VIDEO_SUFFIXES
    from .tracks import Tracker

_LAZY = {
    "NO_DETECTOR": "config",
    "Align": "config",
    "Sample": "config",
    "Tracking": "config",
    "Frame": "frames",
    "StillReader": "frames",
    "VideoReader": "frames",
    "Cut": "look",
    "Looker": "look",
    "SceneWatch": "scenes",
    "thumbnail": "scenes",
    "VIDEO_SUFFIXES": "sources.videos",
    "Tracker": "tracks",
    "Check": "leaks",
    "check_leaks": "leaks",
    "crossing": "leaks",
    "leak_check": "leaks",
    "page_environment": "report.environment",
    "nice_ticks": "report.histograms",
    "Tile": "report.sheets",
    "Crops": "report.thumbnails",
}

__all__ = [
    "NO_DETECTOR",
    "VIDEO_SUFFIXES",
    "Align",
    "Check",
    "Crops",
    "Cut",
    "Frame",
    "Looker",
    "Sample",
    "SceneWatch",
    "StillReader",
    "Tile",
    "Tracker",
    "Tracking",
    "VideoReader",
    "check_leaks",
    "crossing",
    "leak_check",
    "nice_ticks",
    "page_environment",
    "read_curation",
    "read_manifest",
    "thumbnail",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
