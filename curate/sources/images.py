"""Image files of every format that Pillow opens; some dozens are one work unit."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from align import UsageError, image_suffixes, load_image, printable

from ..config import Sample, Source
from ..frames import StillReader
from .files import make_items, read_list
from .items import Item, Unit, batch_units, list_files, source_root

IMAGES_PER_UNIT = 64
_LISTS = frozenset({".txt", ".lst"})


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each `IMAGES_PER_UNIT` images."""
    files = list_files(source, root, image_suffixes(), out)
    if len(files) == 1 and files[0].suffix.lower() in _LISTS:
        files = _listed(files[0], source_root(source, root))
    yield from batch_units(number, make_items(source, root, files), IMAGES_PER_UNIT)


def _listed(path: Path, base: Path) -> list[Path]:
    files = read_list(path, base)
    if not files:
        raise UsageError(f"{printable(path)}: expected paths of pictures, one a line (found none); mend the list")
    if not any(file.is_file() for file in files):
        raise UsageError(
            f"{printable(path)}: expected paths below {base} (none of the {len(files):,} is there, {files[0].name!r} "
            f"first); check the list and --root"
        )
    return files


def open_item(item: Item, sample: Sample) -> StillReader:  # noqa: ARG001  one signature for every kind of source
    """Open an image as frame 0."""
    return StillReader(partial(load_image, item.path))
