"""Descriptors of a set's faces, kept in `OUT/descriptors.parquet` so that a set that grows describes only what is new.

The frames are gone when people are named: the chip is cut from the written crop, and what the crop does not hold is
filled from its border. On the London and Canada photos that changes nothing that matters (see `benchmarks/identify`).
"""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from align import SCHEMES, EyelineError, cut_chip, load_image, model_sha256, open_embedder, replacing

DESCRIPTORS = "descriptors.parquet"

Descriptors = NDArray[np.float32]

_BATCH = 64
"""Crops that are in memory at once."""

_SAVE_EVERY = 20_000
"""Faces after which the file is written: what a killed run has described up to there is not lost."""

_PIXELS = ["crop", "hash", "sharpness", "brightness", "contrast", "matrix", "landmarks"]
"""What a crop that is cut anew, or otherwise, has other values in."""


def can_be_described(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Tell the rows that have a crop and landmarks to align a chip by."""
    known = rows["landmark_scheme"].isin(list(SCHEMES)) & rows["landmarks"].notna()
    return known & rows["crop"].notna() & rows["matrix"].notna()


def describe(rows: pd.DataFrame, out: Path) -> Descriptors:
    """Give the descriptor of each row, from the set's file where it holds it, else from the crop.

    Args:
        rows: N rows of the manifest, of which each `can_be_described`.
        out: The set's folder. Its file is written anew with these rows, sorted by face_id, whole or not at all.

    Returns:
        float32 [N, 128].

    Raises:
        ModelError: The network's file is missing or wrong.
        ImageError: A crop is missing or cannot be read.
    """
    embedder = open_embedder()
    sha256 = model_sha256(embedder.model_file)
    ordered = rows.sort_values("face_id")
    ids, prints = ordered["face_id"].to_numpy(object), _fingerprints(ordered)
    known = _read(out / DESCRIPTORS, sha256)
    place = [known.index.get((face, of), -1) for face, of in zip(ids, prints, strict=True)]
    places = np.array(place, np.int64)
    found = np.zeros((len(ordered), embedder.features), np.float32)
    found[places >= 0] = known.descriptors[places[places >= 0]]
    todo = np.flatnonzero(places < 0)
    for start in range(0, len(todo), _BATCH):
        if start and start % _SAVE_EVERY < _BATCH:
            done = np.setdiff1d(np.arange(len(ordered)), todo[start:])
            _write(out / DESCRIPTORS, sha256, (ids[done], prints[done], found[done]))
        part = todo[start : start + _BATCH]
        found[part] = embedder.embed(np.stack([_chip(row, out) for _, row in ordered.iloc[part].iterrows()]))
    if len(todo) or len(known.index) != len(ordered):
        _write(out / DESCRIPTORS, sha256, (ids, prints, found))
    return found[np.argsort(np.argsort(rows["face_id"].to_numpy(object), kind="stable"))]


def _chip(row: "pd.Series[Any]", out: Path) -> NDArray[np.uint8]:
    landmarks = np.asarray(row["landmarks"], np.float64).reshape(-1, 2)
    matrix = np.asarray(row["matrix"], np.float64).reshape(2, 3)
    return cut_chip(load_image(out / str(row["crop"])), landmarks, str(row["landmark_scheme"]), matrix)


def _fingerprints(rows: pd.DataFrame) -> NDArray[np.object_]:
    """Digest what the manifest knows of each crop's pixels and of where the face stands in them."""
    prints = []
    for values in rows[_PIXELS].itertuples(index=False):
        digest = blake2b(digest_size=16)
        for value in values:
            if isinstance(value, np.ndarray):
                digest.update(value.astype("<f4").tobytes())
            else:
                digest.update(value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape"))
            digest.update(b"\0")
        prints.append(digest.digest())
    return np.array([*prints, None], object)[:-1]


class _Known:
    """What a file of descriptors holds: a place for each (face_id, fingerprint)."""

    def __init__(self, index: dict[tuple[str, bytes], int], values: Descriptors) -> None:
        self.index = index
        self.descriptors = values


def _schema(sha256: str, features: int) -> pa.Schema:
    columns = [
        ("face_id", pa.string()),
        ("fingerprint", pa.binary(16)),
        ("descriptor", pa.list_(pa.float32(), features)),
    ]
    return pa.schema(columns, metadata={"eyeline": json.dumps({"model_sha256": sha256, "version": 1})})


def _read(path: Path, sha256: str) -> _Known:
    """Read the file; what another network or version wrote counts as nothing.

    Raises:
        EyelineError: It is no such file.
    """
    nothing = _Known({}, np.empty((0, 128), np.float32))
    if not path.is_file():
        return nothing
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise EyelineError(f"{path}: expected descriptors ({str(error).splitlines()[0]}); remove the file") from None
    wanted = _schema(sha256, 128)
    if not table.schema.equals(wanted) or table.schema.metadata != wanted.metadata:
        return nothing
    values = table.column("descriptor").combine_chunks().flatten().to_numpy().reshape(-1, 128)
    keys = zip(table.column("face_id").to_pylist(), table.column("fingerprint").to_pylist(), strict=True)
    return _Known({key: place for place, key in enumerate(keys)}, values)


def _write(path: Path, sha256: str, columns: tuple[NDArray[np.object_], NDArray[np.object_], Descriptors]) -> None:
    ids, prints, values = columns
    wanted = _schema(sha256, values.shape[1])
    flat = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    arrays = [pa.array(ids, pa.string()), pa.array(prints, pa.binary(16)), flat]
    with replacing(path) as temporary:
        pq.write_table(pa.table(arrays, schema=wanted), temporary, compression="zstd")
