"""What a pack looks like on disk, and how a change of the set or damage of a file is noticed.

A pack is a folder: `images.npy`, uint8 [N, 3, S, S] in the order of the face ids; `index.parquet`, which crop each row
was decoded from; `pack.json`, written last, with a checksum of every block of rows; and `.checked`, when `images.npy`
was last found to have those checksums.
"""

import io
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from align import EyelineError, write_atomic

VERSION = 1
IMAGES, INDEX, META, CHECKED = "images.npy", "index.parquet", "pack.json", ".checked"
_BLOCK_BYTES = 16 * 2**20


class PackRow(NamedTuple):
    """One face of a set.

    Attributes:
        face_id: From the manifest.
        path: The crop, below the set's folder.
    """

    face_id: str
    path: Path


class Stamp(NamedTuple):
    """What tells one state of a file from the next without reading it."""

    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Meta:
    """What `pack.json` says.

    Attributes:
        version: Of this format.
        size_px: Height and width of the crops.
        faces: Number of rows.
        face_ids: Digest of the face ids.
        seen: When the manifest and each folder of crops was last written, in ns; a folder's time tells that a file in
            it came, went or was replaced.
        checksums: CRC-32 of each block of rows.
    """

    version: int
    size_px: int
    faces: int
    face_ids: str
    seen: dict[str, int]
    checksums: list[int]


def block_faces(size_px: int) -> int:
    """Give the number of rows that share a checksum: about 16 MiB of them."""
    return max(1, _BLOCK_BYTES // row_bytes(size_px))


def row_bytes(size_px: int) -> int:
    """Give the bytes of one decoded crop."""
    return 3 * size_px * size_px


def header(faces: int, size_px: int) -> bytes:
    """Write the header of `images.npy`."""
    buffer = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (faces, 3, size_px, size_px)}
    np.lib.format.write_array_header_1_0(buffer, shape)
    return buffer.getvalue()


def digest(lines: Iterable[str]) -> str:
    """Give one short name to a sequence of texts."""
    return blake2b("\n".join(lines).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def stamp_crop(path: Path) -> Stamp:
    """Look at a crop without reading it.

    Raises:
        EyelineError: It cannot be found, or not be looked at.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, for every crop of the set
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise EyelineError(f"{path}: expected a crop that the manifest lists ({why}); curate the set again") from None
    return Stamp(found.st_size, found.st_mtime_ns)


def last_written(root: Path, names: Iterable[str]) -> dict[str, int]:
    """Tell when each file or folder below `root` was last written, in ns; 0 for one that is not there."""
    seen = {}
    for name in names:
        try:
            seen[name] = (root / name).stat().st_mtime_ns
        except FileNotFoundError:
            seen[name] = 0
    return seen


def read_meta(folder: Path, size_px: int) -> Meta | None:
    """Read `pack.json`; None where there is none, or none of this version and size."""
    try:
        meta = Meta(**json.loads((folder / META).read_bytes()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    return meta if (meta.version, meta.size_px) == (VERSION, size_px) else None


def write_meta(folder: Path, meta: Meta) -> None:
    """Write `pack.json` whole."""
    write_atomic(folder / META, json.dumps(asdict(meta), sort_keys=True))


def read_index(folder: Path) -> dict[str, tuple[int, str, Stamp]] | None:
    """Read which row, crop and state of the crop belongs to each face id; None where it cannot be read."""
    try:
        table = pq.read_table(folder / INDEX)
        columns = [table[name].to_pylist() for name in ("face_id", "crop", "bytes", "mtime_ns")]
    except (FileNotFoundError, NotADirectoryError, KeyError, pa.ArrowException):
        return None
    rows = enumerate(zip(*columns, strict=True))
    return {face_id: (at, crop, Stamp(size, mtime_ns)) for at, (face_id, crop, size, mtime_ns) in rows}


def write_index(folder: Path, rows: Sequence[PackRow], crops: Sequence[str], stamps: Sequence[Stamp]) -> None:
    """Write the index; the same rows give the same bytes."""
    columns = {
        "face_id": [row.face_id for row in rows],
        "crop": list(crops),
        "bytes": [stamp.bytes for stamp in stamps],
        "mtime_ns": [stamp.mtime_ns for stamp in stamps],
    }
    types = {"face_id": pa.string(), "crop": pa.string(), "bytes": pa.int64(), "mtime_ns": pa.int64()}
    pq.write_table(pa.table(columns, schema=pa.schema(types.items())), folder / INDEX)


def whole_blocks(images: Path, meta: Meta) -> list[bool]:
    """Read `images.npy` through and tell which of its blocks have their checksums."""
    start, step = header(meta.faces, meta.size_px), block_faces(meta.size_px)
    with images.open("rb") as file:
        if file.read(len(start)) != start:
            return [False] * len(meta.checksums)
        faces = (min(step, meta.faces - block * step) for block in range(len(meta.checksums)))
        blocks = (file.read(count * row_bytes(meta.size_px)) for count in faces)
        return [zlib.crc32(block) == wanted for block, wanted in zip(blocks, meta.checksums, strict=True)]


def is_intact(folder: Path, meta: Meta) -> bool:
    """Tell whether `images.npy` is the file that `pack.json` speaks of.

    Its length and header are looked at each time. Its checksums are computed where the file was written since they
    were computed last, as after a copy: a second or so for a gigabyte.
    """
    images = folder / IMAGES
    start = header(meta.faces, meta.size_px)
    try:
        with images.open("rb") as file:
            found = os.fstat(file.fileno())
            if file.read(len(start)) != start or found.st_size != len(start) + meta.faces * row_bytes(meta.size_px):
                return False
    except FileNotFoundError:
        return False
    if _read_checked(folder) == _checked(folder, meta):
        return True
    if not all(whole_blocks(images, meta)):
        return False
    mark_checked(folder, meta)
    return True


def mark_checked(folder: Path, meta: Meta) -> None:
    """Note that `images.npy`, as it stands, has its checksums; in a read-only folder they are computed each time."""
    if os.access(folder, os.W_OK):
        write_atomic(folder / CHECKED, _checked(folder, meta))


def _checked(folder: Path, meta: Meta) -> str:
    found = (folder / IMAGES).stat()
    return f"{found.st_size} {found.st_mtime_ns} {digest(map(str, meta.checksums))}\n"


def _read_checked(folder: Path) -> str:
    path = folder / CHECKED
    return path.read_text() if path.is_file() else ""
