"""What to read: each kind of source is one adapter that lists its work units and opens their items."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from ..config import Dataset
from ..frames import Reader
from .items import Item, Unit

__all__ = ["Item", "Unit", "list_units", "open_item"]

_ADAPTERS = {"videos": "videos", "images": "images", "arrays": "arrays"}


def list_units(dataset: Dataset, root: Path, out: Path) -> Iterator[Unit]:
    """Yield the work units of every source of a dataset, in the order of their files' names.

    Args:
        dataset: Its sources say what to read.
        root: The folder that the sources' paths are relative to, where they name no package.
        out: The set's folder, which may lie inside `root`; what it holds is no source.

    Raises:
        UsageError: A path that matches nothing, a package that is not installed, annotations that do not fit.
    """
    for number, source in enumerate(dataset.sources):
        yield from import_module(f".{_ADAPTERS[source.kind]}", __package__).list_units(source, number, root, out)


def open_item(item: Item, every: int) -> Reader:
    """Open one item for reading 1 frame in `every`; an item that cannot be read says so in the reader's `error`."""
    reader: Reader = import_module(f".{_ADAPTERS[item.kind]}", __package__).open_item(item, every)
    return reader
