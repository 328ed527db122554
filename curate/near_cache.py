"""What the search for near-duplicates found, kept in the set's folder, so that a set that grows is not searched again.

The file is known by its hashes, kind and radius, not by faces: it stays of use where faces come, go or are renamed. It
is never needed: one that is missing, broken, or of another kind is searched for anew and replaced.
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from align import replacing

from .config.settings import Dedup
from .hashing import Words, hash_kind
from .neighbours import Neighbours, TooManyPairsError, search

NEAR_PAIRS = "near_pairs.parquet"

MOST_PAIRS = 1 << 23
"""The most pairs that are kept, 6 bytes each; a set with more is so dense that `dedup.group` does without a list."""

_META_KEY = b"eyeline"
_FORMAT = 1


@dataclass(frozen=True)
class Kind:
    """Which search a file holds.

    Attributes:
        hash_kind: As in the manifest, such as `phash256/1`.
        radius: In bits.
        mirrored: Whether mirror images count.
    """

    hash_kind: str
    radius: int
    mirrored: bool = False


def search_of(spec: Dedup) -> Kind:
    """Give the search of a set that its file holds: within what a split links, which is what a copy is or more."""
    return Kind(hash_kind(spec.algorithm, spec.bits), max(spec.set_radius_bits, spec.radius_bits), spec.mirrored)


def find_neighbours(out: Path, kind: Kind, h: Words, mirrored: Words | None = None) -> Neighbours | None:
    """Find the near pairs of a set's hashes, comparing only what is new since the last time, and keep them.

    Args:
        out: The set's folder; where it does not exist, nothing is kept.
        kind: Of the search; `kind.mirrored` tells whether `mirrored` is given.
        h: uint64 [N, 1] or [N, 4], of the whole set.
        mirrored: Likewise, of the mirror images.

    Returns:
        The same as `neighbours.search`; None where there are more than `MOST_PAIRS`.
    """
    path = out / NEAR_PAIRS
    known = read_neighbours(path, kind)
    try:
        near = search(h, kind.radius, mirrored, known, MOST_PAIRS)
    except TooManyPairsError:
        path.unlink(missing_ok=True)
        return None
    if out.is_dir() and (known is None or not np.array_equal(known.hashes, near.hashes)):
        write_neighbours(path, kind, near)
    return near


def read_neighbours(path: Path, kind: Kind) -> Neighbours | None:
    """Read what `write_neighbours` wrote; None where there is no whole file of this kind."""
    try:
        table = pq.read_table(path)
        meta = json.loads((table.schema.metadata or {}).get(_META_KEY, b"{}"))
        if {key: meta.get(key) for key in _meta(kind)} != _meta(kind):
            return None
        near = _from_table(table, kind)
    except (OSError, ValueError, KeyError, pa.ArrowException):  # whatever else the file is, it is not ours
        return None
    return near if meta.get("digest") == _digest(near) else None


def write_neighbours(path: Path, kind: Kind, near: Neighbours) -> None:
    """Write near pairs, whole or not at all; the same pairs give the same bytes.

    A row is a hash, in order; `near` are the later rows within the radius, `distance` how far they are.
    """
    width = 8 * near.hashes.shape[1]
    hashes = pa.py_buffer(near.hashes.astype(">u8").tobytes())
    ends = pa.array(np.searchsorted(near.low, np.arange(len(near.hashes) + 1)).astype(np.int32))
    table = pa.table(
        {
            "hash": pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(near.hashes), [None, hashes]),
            "near": pa.ListArray.from_arrays(ends, pa.array(near.high.astype(np.int32))),
            "distance": pa.ListArray.from_arrays(ends, pa.array(near.distance.astype(np.uint16))),
        }
    )
    meta = json.dumps(_meta(kind) | {"digest": _digest(near)}, sort_keys=True).encode()
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata({_META_KEY: meta}), temporary, compression="zstd")


def _from_table(table: pa.Table, kind: Kind) -> Neighbours:
    table = table.combine_chunks()
    stored = table.column("hash").to_pylist()
    width = table.schema.field("hash").type.byte_width
    counts = _flat(table, "near", lengths=True)
    return Neighbours(
        np.frombuffer(b"".join(stored), ">u8").reshape(len(stored), width // 8).astype(np.uint64),
        2 if kind.mirrored else 1,
        kind.radius,
        np.repeat(np.arange(len(stored)), counts),
        _flat(table, "near"),
        _flat(table, "distance"),
    )


def _flat(table: pa.Table, name: str, *, lengths: bool = False) -> NDArray[np.int64]:
    """Give the values of a list column one after the other, or how many each row has."""
    lists = table.column(name).combine_chunks()
    values = lists.value_lengths() if lengths else lists.flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False), np.int64)


def _meta(kind: Kind) -> dict[str, Any]:
    return {"format": _FORMAT, "hash_kind": kind.hash_kind, "radius": kind.radius, "mirrored": kind.mirrored}


def _digest(near: Neighbours) -> str:
    """Tell content that was written by us from any other."""
    digest = blake2b(digest_size=16)
    for part in (near.hashes, near.low, near.high, near.distance):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
