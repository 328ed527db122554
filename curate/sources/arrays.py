"""Pictures in a .npy array: uint8, or floating point from 0 to 1, [N, H, W] or [N, H, W, 3]."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from align import ImageError, UsageError

from ..config import Source
from ..frames import StillReader
from .items import Item, Unit, in_batches, list_files, make_items, source_id, stamp

PICTURES_PER_UNIT = 1000


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each `PICTURES_PER_UNIT` pictures."""
    files = list_files(source, root, frozenset({".npy"}), out)
    rows = [
        _row_item(source, item, row) for item in make_items(source, root, files) for row in range(_count(item.path))
    ]
    for batch, some in enumerate(in_batches(rows, PICTURES_PER_UNIT)):
        yield Unit(f"{number:02d}-{batch:06d}", some, stamp(sorted({item.path for item in some})))


def open_item(item: Item, every: int) -> StillReader:  # noqa: ARG001  one signature for every kind of source
    """Open one picture as frame 0."""

    def load() -> NDArray[np.uint8]:
        picture = np.asarray(_open(item.path)[item.row])
        if picture.dtype != np.uint8:
            if not np.isfinite(picture).all() or picture.min() < 0 or picture.max() > 1:
                raise ImageError(f"{item.source}: expected finite values from 0 to 1 in an array of {picture.dtype}")
            picture = np.rint(picture * 255).astype(np.uint8)
        return np.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else picture

    return StillReader(load)


def _row_item(source: Source, item: Item, row: int) -> Item:
    name = f"{item.source}[{row}]"
    given = {mark.label for mark in source.rows if mark.first <= row <= mark.last}
    if len(given) > 1:
        raise UsageError(f"{item.path}: expected one label for row {row} (found {sorted(given)}); mend rows")
    known = item.labels
    mine = replace(known, whole={**known.whole, **known.frames.get(row, {})}, frames={})
    labels = mine.with_defaults(label=next(iter(given), None))
    return replace(item, source=name, source_id=source_id(source.package or "", name), labels=labels, row=row)


def _count(path: Path) -> int:
    return len(_open(path))


@lru_cache(maxsize=4)
def _open(path: Path) -> NDArray[np.generic]:
    try:
        array: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
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
