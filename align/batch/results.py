"""The rows and crops in OUT: what earlier runs left there, what this one adds, and their way to the disk.

A crop is first written to `OUT/.parts/`; every few seconds the finished rows are written there as one part, and then
the crops they name are moved to OUT. So OUT never holds a crop that no row names, and what a killed run had finished
is known: the next run moves what was left to move, keeps what is finished and does the rest.
"""

import errno
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import EyelineError, UsageError
from ..files import printable
from ..image import shown
from ..inputs import Picture
from ..lock import locked
from .picture import Row, staged_name
from .workers import wait_for_workers

TABLE = "faces.parquet"
PARTS = ".parts"
FLUSH_PICTURES, FLUSH_S = 200, 3.0
"""Finished rows are written to a part after so many pictures or seconds, whichever comes first."""

_FLOATS = [
    "box_x",
    "box_y",
    "box_w",
    "box_h",
    "score",
    "scale",
    "roll_deg",
    "yaw_deg",
    "interocular_px",
    "sharpness",
    "brightness",
    "contrast",
]
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("face", pa.int32()),
        ("crop", pa.string()),
        *((name, pa.float32()) for name in _FLOATS),
        ("turn_deg", pa.int32()),
        ("detector", pa.string()),
        ("eyes", pa.list_(pa.float32(), 4)),
        ("landmarks", pa.list_(pa.float32())),
        ("landmark_scheme", pa.string()),
        ("matrix", pa.list_(pa.float32(), 6)),
        ("drop_reason", pa.string()),
        ("error", pa.string()),
        ("fingerprint", pa.string()),
    ]
)
"""The columns of faces.parquet: a row a face, and one for each picture without a face or that cannot be read."""

_CROP = re.compile(r"[^/\\]+-[0-9a-f]{8,16}-\d{2,}\.png")  # the names we give; nothing else is ever removed
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Earlier:
    """What earlier runs left in OUT.

    Attributes:
        sources: The table, then the parts in the order in which they were written.
        crops: Every crop that they name, by a name that we could have given.
        next_part: A number that no part has.
    """

    sources: list[pa.Table]
    crops: frozenset[str]
    next_part: int

    @classmethod
    def read(cls, out: Path, parts: Path, pictures: Sequence[Picture]) -> Self:
        """Read them, and bring a killed run's last part to its end.

        Raises:
            UsageError: There is a table that is none of ours, or of none of these pictures.
        """
        sources = [_read_table(out / TABLE)] if (out / TABLE).exists() else []
        numbers = sorted(int(path.stem) for path in parts.glob("*.parquet") if path.stem.isdecimal())
        for number in numbers:
            if (part := _read_part(parts / f"{number:08d}.parquet")) is not None:
                _move_crops(part, out, parts)
                sources.append(part)
        _clear(parts)  # what is left of a killed run: no row names it
        known = {path for source in sources for path in source["path"].to_pylist()}
        if known and known.isdisjoint(printable(picture.path) for picture in pictures):
            raise UsageError(
                f"{shown(out)}: expected a new folder or that of an earlier run on these pictures (found a run on "
                f"others, {shown(min(known))} among them); choose another --out"
            )
        names = {name for source in sources for name in source["crop"].to_pylist() if name and _CROP.fullmatch(name)}
        return cls(sources, frozenset(names), numbers[-1] + 1 if numbers else 0)

    def finished(self, out: Path, wanted: set[str]) -> pa.Table:
        """Take the rows of `wanted` fingerprints whose crops are all there and were not written by another recipe.

        Pictures that failed are tried again: what was wrong may have been mended.
        """
        there = {path.name for path in out.iterdir()}
        whole = pa.concat_tables([SCHEMA.empty_table(), *self.sources])
        origin = [number for number, source in enumerate(self.sources) for _ in range(len(source))]
        prints, crops = whole["fingerprint"].to_pylist(), whole["crop"].to_pylist()
        last = dict(zip(prints, origin, strict=True))
        owner = dict(zip(crops, prints, strict=True))
        bad = {print_ for print_, error in zip(prints, whole["error"].to_pylist(), strict=True) if error}
        for print_, crop in zip(prints, crops, strict=True):
            if crop is not None and (owner[crop] != print_ or crop not in there):
                bad.add(print_)
        good = wanted - bad
        rows = [row for row, print_ in enumerate(prints) if print_ in good and last[print_] == origin[row]]
        return whole.take(pa.array(rows, pa.int64()))


def _read_table(path: Path) -> pa.Table:
    """Read a faces.parquet; of an older version only the names of the crops are taken."""
    try:
        table = _read(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(
            f"{shown(path)}: expected the table of an earlier run ({error}); remove it, or choose another --out"
        ) from None
    if table.schema.equals(SCHEMA):
        return table
    if not {"path", "face", "crop", "drop_reason"} <= set(table.schema.names):
        raise UsageError(f"{shown(path)}: expected the table of an earlier run (found another); choose another --out")
    return pa.Table.from_pylist(table.select(["path", "crop"]).to_pylist(), schema=SCHEMA)


def _read_part(path: Path) -> pa.Table | None:
    """Read a part; None where a power failure left half of it, or another version wrote it: it is done again."""
    try:
        table = _read(path)
    except pa.ArrowException:
        table = None
    if table is None or not table.schema.equals(SCHEMA):
        path.unlink()
        return None
    return table


@dataclass
class Store:
    """The rows of a job, and their way to the disk; a context manager that keeps what is finished, come what may.

    Attributes:
        tables: The rows that are safe.
        pictures: How many were added.
    """

    out: Path
    parts: Path
    next_part: int
    tables: list[pa.Table]
    pictures: int = 0
    _fresh: list[Row] = field(default_factory=list)
    _flushed: tuple[int, float] = field(default_factory=lambda: (0, time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def add(self, rows: list[Row]) -> None:
        """Add the rows of one finished picture; every few seconds all that are finished become a part."""
        self._fresh.extend(rows)
        self.pictures += 1
        pictures, moment = self._flushed
        if self.pictures - pictures >= FLUSH_PICTURES or time.monotonic() - moment >= FLUSH_S:
            self._flush()

    def _flush(self) -> None:
        """Write the fresh rows as a part, then move their crops to OUT."""
        if self._fresh:
            table = pa.Table.from_pylist(self._fresh, schema=SCHEMA)
            _write(table, self.parts / f"{self.next_part:08d}.parquet", self.parts)
            _move_crops(table, self.out, self.parts)
            self.tables.append(table)
            self.next_part += 1
            self._fresh.clear()
        self._flushed = self.pictures, time.monotonic()

    def ordered(self, prints: list[str]) -> pa.Table:
        """Give the rows in the order of the pictures' fingerprints."""
        place = {print_: number for number, print_ in enumerate(prints)}
        whole = pa.concat_tables([SCHEMA.empty_table(), *self.tables])
        found = [place[print_] for print_ in whole["fingerprint"].to_pylist()]
        rows = sorted(range(len(found)), key=found.__getitem__)
        return whole.take(pa.array(rows, pa.int64())).combine_chunks()


def _clear(parts: Path) -> None:
    """Remove the crops and half-written files of pictures that no row names."""
    for path in parts.iterdir():
        if path.suffix == ".png" or ".tmp" in path.name:
            path.unlink()


def _write(table: pa.Table, path: Path, parts: Path) -> None:
    temporary = parts / f"{path.name}.tmp"
    with temporary.open("wb") as file:  # given a path, Arrow refuses names that are not UTF-8
        pq.write_table(table, file, compression="zstd")
    temporary.replace(path)


def _read(path: Path) -> pa.Table:
    with path.open("rb") as file:  # given a path, Arrow makes columns of folders named `key=value`
        return pq.read_table(file)


def _move_crops(table: pa.Table, out: Path, parts: Path) -> None:
    """Move the crops of a part from where they were written to OUT; those that were moved before are left."""
    columns = (table[name].to_pylist() for name in ("crop", "fingerprint", "face"))
    for crop, fingerprint, number in zip(*columns, strict=True):
        if crop is not None and _CROP.fullmatch(crop):
            staged = parts / staged_name(fingerprint, number)
            if staged.exists():
                staged.replace(out / crop)


def finish(out: Path, parts: Path, table: pa.Table, earlier: frozenset[str]) -> int:
    """Remove the crops that no row names any more, write the table, remove the parts; give how many crops went."""
    removed = 0
    for name in sorted(earlier.difference(table["crop"].to_pylist())):
        if (out / name).is_file():
            (out / name).unlink()
            removed += 1
    with room(out):
        _write(table, out / TABLE, parts)
    for path in parts.glob("*.parquet"):
        path.unlink()
    _clear(parts)  # crops of pictures at which a worker died
    return removed


@contextmanager
def room(out: Path) -> Iterator[None]:
    """Turn a full disk into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise EyelineError(
            f"{shown(out)}: expected room for crops and rows ({os.strerror(error.errno)}); make room, then run the "
            "same command again to go on"
        ) from None


@contextmanager
def claimed(out: Path) -> Iterator[Path]:
    """Make OUT and the folder of its parts, and keep other runs out of them.

    Yields:
        The folder of the parts; it is removed at the end if nothing is left in it.

    Raises:
        UsageError: OUT cannot be written, or another run is at work in it.
    """
    parts = out / PARTS
    try:
        with room(out):
            parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{shown(out)}: expected a folder that can be written ({error.strerror}); choose another --out"
        ) from None
    try:
        with locked(out):
            parts.mkdir(exist_ok=True)  # a run that has just ended may have removed it
            wait_for_workers(parts)
            try:
                yield parts
            finally:
                if not any(parts.iterdir()):
                    parts.rmdir()
    except BlockingIOError:
        raise UsageError(f"{shown(out)}: expected a free folder (another run is at work in it); wait for it") from None
