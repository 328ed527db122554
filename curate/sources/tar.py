"""Shards as WebDataset writes them: a tar with a picture and its label files under one name, read in place.

Nothing is unpacked: a member is read by its place in the archive, and its name is never the name of a file on disk.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import ImageError, UsageError, image_suffixes, load_image, printable

from ..config import Sample, Source
from ..frames import StillReader
from .cleaning import clean
from .files import file_item
from .images import IMAGES_PER_UNIT
from .items import Item, Unit, batch_units, list_files, source_root
from .labels import Labels, row_values
from .reading import Reading, resolve_columns
from .vocabulary import describe

MAX_PICTURE = 512 * 2**20
MAX_LABEL = 2**20
"""Bytes; larger members are refused, so that an archive cannot fill the memory."""

SUFFIXES = frozenset({".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst"})
_LABEL_SUFFIXES = ("cls", "txt", "json")


@dataclass(frozen=True)
class _Member:
    name: str
    offset: int
    size: int
    problem: str | None = None

    @property
    def key(self) -> str:
        """What a picture and its labels share: the path up to the first dot of its last part."""
        folder, slash, last = self.name.rpartition("/")
        return f"{folder}{slash}{last.split('.')[0]}"

    @property
    def extension(self) -> str:
        """What follows that dot, in lower case."""
        return self.name.rpartition("/")[2].partition(".")[2].lower()


def list_units(source: Source, number: int, root: Path, out: Path) -> Iterator[Unit]:
    """Yield a unit for each `IMAGES_PER_UNIT` pictures, archive by archive."""
    files = list_files(source, root, SUFFIXES, out)
    items = (item for path in files for item in _items(source, root, path))
    yield from batch_units(number, items, IMAGES_PER_UNIT)


def open_item(item: Item, sample: Sample) -> StillReader:  # noqa: ARG001  one signature for every kind of source
    """Open one member as frame 0."""

    def load() -> NDArray[np.uint8]:
        if item.problem is not None or item.span is None:
            raise ImageError(f"{item.source}: {item.problem}")
        with item.path.open("rb") as file:
            data = _read(file, item.span)
        try:
            return load_image(data)
        except ImageError as error:
            raise ImageError(f"{item.source}: {str(error).removeprefix('bytes: ')}") from None

    return StillReader(load)


def _read(file: BinaryIO, span: tuple[int, int]) -> bytes:
    file.seek(span[0])
    return file.read(span[1])


def _items(source: Source, root: Path, path: Path) -> list[Item]:
    base = source_root(source, root)
    members = list(_members(path))
    groups: dict[str, dict[str, _Member]] = {}
    for member in members:
        if member.problem is None:
            groups.setdefault(member.key, {})[member.extension] = member
    shown = [member for member in members if member.problem is not None or _is_picture(member)]
    if not shown:
        raise UsageError(f"{printable(path)}: expected pictures in the archive (found none); check the path")
    relative = path.relative_to(base).as_posix()
    names = [f"{relative}/{member.name}" if member.name else relative for member in shown]
    own = _labels(source, path, [groups.get(member.key, {}) for member in shown])
    known = describe(source, root, [printable(name) for name in names], own)
    items = []
    for member, name, labels in zip(shown, names, known, strict=True):
        item = file_item(source, path, name, labels or Labels())
        items.append(replace(item, span=(member.offset, member.size), problem=member.problem))
    return items


def _is_picture(member: _Member) -> bool:
    return f".{member.extension.rpartition('.')[2]}" in _picture_suffixes()


@lru_cache(maxsize=1)
def _picture_suffixes() -> frozenset[str]:
    return image_suffixes()


def _members(path: Path) -> Iterator[_Member]:
    """Yield the files of an archive; what is no plain file below it is named with its problem."""
    end = path.stat().st_size
    seen: set[str] = set()
    try:
        with tarfile.open(path, "r:") as archive:
            for number, info in enumerate(archive):
                if info.isdir():
                    continue
                problem = _problem(info, end) or (
                    "expected each name once (found it again)" if info.name in seen else None
                )
                seen.add(info.name)
                name = info.name if problem is None else f"{info.name}[{number}]"
                yield _Member(name, info.offset_data, info.size, problem)
    except tarfile.ReadError as error:
        if not seen:
            raise UsageError(
                f"{printable(path)}: expected a tar that is not compressed ({' '.join(str(error).split())}); members "
                f"of a compressed one cannot be read in place: unpack the compression first, as gunzip does"
            ) from None
        yield _Member("", 0, 0, f"expected a whole archive (found it broken off after {len(seen):,} members: {error})")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        yield _Member("", 0, 0, f"expected a whole archive ({' '.join(str(error).split())})")


def _problem(info: tarfile.TarInfo, end: int) -> str | None:
    name = PurePosixPath(info.name)
    if name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:[\\/]|\\\\", info.name):
        return "expected a name inside the archive (found one that leaves it); it is not read"
    if not info.isreg() or info.issparse():
        kind = "a link" if info.issym() or info.islnk() else "a sparse file" if info.issparse() else "a device"
        return f"expected a plain file (found {kind}); it is not read"
    if info.offset_data + info.size > end:
        return "expected a whole member (found the archive cut short)"
    if info.size > MAX_PICTURE:
        return f"expected at most {MAX_PICTURE:,} bytes (found {info.size:,}); it is not read"
    return None


def _labels(source: Source, path: Path, groups: list[dict[str, _Member]]) -> list[Labels]:
    """Read the label members of each picture: .cls and .txt hold a label, .json any of our columns."""
    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for group in groups:
            row: dict[str, Any] = {}
            for extension in _LABEL_SUFFIXES:
                if extension in group:
                    row |= _cells(file, group[extension], path)
            rows.append(row)
    reading = Reading.of_source(source)
    theirs = sorted({name for row in rows for name in row})
    if "label" in theirs and "label" not in reading.columns:
        theirs.remove("label")
        theirs.insert(0, "label")
    if not theirs:
        return [Labels()] * len(groups)
    places = resolve_columns(theirs, reading, path)
    cells = {ours: [row.get(theirs[place]) for row in rows] for ours, place in places.items()}
    raw = pd.DataFrame({ours: pd.Series(column, dtype=object) for ours, column in cells.items()})
    table = clean(raw, reading, path, counted="picture")
    return [Labels(values) for values in row_values(table)] if len(table.columns) else [Labels()] * len(groups)


def _cells(file: BinaryIO, member: _Member, path: Path) -> dict[str, Any]:
    where = f"{printable(path)}/{printable(member.name)}"
    if member.size > MAX_LABEL:
        raise UsageError(f"{where}: expected a label of at most {MAX_LABEL:,} bytes (found {member.size:,})")
    try:
        text = _read(file, (member.offset, member.size)).decode("utf-8-sig").strip()
        if member.extension != "json":
            return {"label": text} if text else {}
        found = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where}: expected {member.extension} in UTF-8 ({error}); mend it") from None
    if not isinstance(found, dict):
        return {"label": found} if isinstance(found, str | int | float) and not isinstance(found, bool) else {}
    return {name: value for name, value in found.items() if isinstance(value, str | int | float)}
