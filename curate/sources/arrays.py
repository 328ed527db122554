"""Pictures in a .npy or .npz array: uint8, or floating point from 0 to 1, [N, H, W] or [N, H, W, 3]."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import ImageError, UsageError, printable

from ..config import Sample, Source
from ..frames import StillReader
from .cleaning import clean
from .items import Item, Unit, batch_units, list_files
from .labels import Labels, row_labels
from .npz import array_names, open_array
from .reading import Reading, resolve_columns
from .rows import row_items
from .vocabulary import read_rows

PICTURES_PER_UNIT = 1000

_PICTURES = "pictures"


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each `PICTURES_PER_UNIT` pictures."""
    items = (
        item
        for path in list_files(source, root, frozenset({".npy", ".npz"}), out)
        for item in _items(source, root, path)
    )
    yield from batch_units(number, items, PICTURES_PER_UNIT)


def open_item(item: Item, sample: Sample) -> StillReader:  # noqa: ARG001  one signature for every kind of source
    """Open one picture as frame 0.

    Pictures of a .npy file, and of a .npz file that is not compressed, are read one by one; an array of a compressed
    one is held in memory as a whole.
    """

    def load() -> NDArray[np.uint8]:
        picture = np.asarray(_open(item.path, item.member)[item.row])
        if picture.dtype != np.uint8:
            if not np.isfinite(picture).all() or picture.min() < 0 or picture.max() > 1:
                raise ImageError(f"{item.source}: expected finite values from 0 to 1 in an array of {picture.dtype}")
            picture = np.rint(picture * 255).astype(np.uint8)
        return np.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else picture

    return StillReader(load)


def _items(source: Source, root: Path, path: Path) -> Iterator[Item]:
    member = _pictures_of(source, path) if path.suffix.lower() == ".npz" else None
    count = len(_open(path, member))
    own: Sequence[Labels] = read_rows(source, root, count, path.name)
    if member is not None and not own:
        own = _labels_of(source, path, member, count)
    for item in row_items(source, root, path, own or [Labels()] * count):
        yield replace(item, member=member) if member is not None else item


def _pictures_of(source: Source, path: Path) -> str:
    """Choose the array of a .npz file that holds the pictures."""
    wanted = source.columns.get(_PICTURES, _PICTURES)
    names = array_names(path)
    if wanted in names:
        return str(wanted)
    fitting = [name for name in names if open_array(path, name).ndim in (3, 4)]
    if _PICTURES in source.columns or len(fitting) != 1:
        raise UsageError(
            f"{printable(path)}: expected an array {wanted!r} of pictures (found {', '.join(names) or 'none'}); "
            f"name it with columns = {{ pictures = ... }}"
        )
    return fitting[0]


def _labels_of(source: Source, path: Path, pictures: str, count: int) -> list[Labels]:
    """Read the label arrays of a .npz file."""
    reading = Reading.of_source(source)
    names = [name for name in array_names(path) if name != pictures]
    cells: dict[str, NDArray[np.generic]] = {}
    for ours, place in resolve_columns(names, reading, path).items():
        array = open_array(path, names[place])
        if array.shape not in ((count,), (count, 1)) or array.dtype.kind not in "biufU":
            raise UsageError(
                f"{printable(path)}: expected {count:,} numbers or words in the array {names[place]!r}, one for each "
                f"picture (found {array.dtype} {list(array.shape)}); mend it or columns"
            )
        cells[ours] = np.asarray(array).reshape(count)
    raw = pd.DataFrame(cells, index=pd.RangeIndex(count))
    return row_labels(clean(raw, reading, path, counted="row"))


@lru_cache(maxsize=4)
def _open(path: Path, member: str | None = None) -> NDArray[np.generic]:
    """Open the pictures of a file, mapped into memory where that is possible."""
    if member is not None:
        array = open_array(path, member)
    else:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"{path}: expected a .npy array ({' '.join(str(error).split())})") from None
    is_known = array.dtype == np.uint8 or np.issubdtype(array.dtype, np.floating)
    if not array.size:
        raise UsageError(f"{path}: expected pictures (found an array of {list(array.shape)}, which holds none)")
    if not is_known or not (array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3)):
        raise UsageError(
            f"{path}: expected uint8 or floats of [N, H, W] or [N, H, W, 3] (found {array.dtype} {list(array.shape)})"
        )
    return array
