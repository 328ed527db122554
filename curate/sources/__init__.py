"""What to read: each kind of source is one adapter that lists its work units and opens their items."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from align import UsageError

from ..config import Dataset, Sample
from ..frames import Reader
from .items import Item, Unit
from .missing import NothingFoundError

__all__ = ["Item", "Unit", "list_units", "open_item"]

_ADAPTERS = ("videos", "images", "tables", "pixels", "arrays", "tar")


def list_units(dataset: Dataset, root: Path, out: Path) -> Iterator[Unit]:
    """Yield the work units of every source of a dataset, in the order of their files' names.

    Args:
        dataset: Its sources say what to read.
        root: The folder that the sources' paths are relative to, where they name no package.
        out: The set's folder, which may lie inside `root`; what it holds is no source.

    Raises:
        UsageError: A path that matches nothing, a package that is not installed, labels that do not fit.
    """
    for number, source in enumerate(dataset.sources):
        try:
            yield from _adapter(source.kind).list_units(source, number, root, out)
        except NothingFoundError as error:
            if not dataset.homepage or source.package is not None:
                raise
            raise UsageError(f"{error}; the set is not ours to give: ask for it at {dataset.homepage}") from None


def open_item(item: Item, sample: Sample) -> Reader:
    """Open one item for the frames that are wanted; one that cannot be read says so in the reader's `error`."""
    reader: Reader = _adapter(item.kind).open_item(item, sample)
    return reader


def _adapter(kind: str) -> Any:
    """Import an adapter on demand: `curate.sources` alone needs neither PyAV nor Pillow's formats."""
    if kind not in _ADAPTERS:
        raise ValueError(f"kind must be one of {', '.join(_ADAPTERS)} (got {kind!r})")
    return import_module(f".{kind}", __package__)
