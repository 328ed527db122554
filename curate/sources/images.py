"""Image files of every format that Pillow opens; some dozens are one work unit."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from align import image_suffixes, load_image

from ..config import Source
from ..frames import StillReader
from .items import Item, Unit, in_batches, list_files, make_items, stamp

IMAGES_PER_UNIT = 64


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each `IMAGES_PER_UNIT` images."""
    items = make_items(source, root, list_files(source, root, image_suffixes(), out))
    for batch, some in enumerate(in_batches(items, IMAGES_PER_UNIT)):
        yield Unit(f"{number:02d}-{batch:06d}", some, stamp([item.path for item in some]))


def open_item(item: Item, every: int) -> StillReader:  # noqa: ARG001  one signature for every kind of source
    """Open an image as frame 0."""
    return StillReader(partial(load_image, item.path))
