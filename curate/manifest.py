"""The schema of a curated set, its Parquet parts, and their assembly; imports neither torch, OpenCV nor PyAV.

A set is a folder: `crops/`, `parts/<unit_id>.parquet` (one a work unit, renamed into place when whole),
`manifest.parquet` (every row of every part with the later stages' decisions), `curation.json` and `report/`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from align import EyelineError, UsageError, replacing, write_atomic

SCHEMA_VERSION = 3
MANIFEST = "manifest.parquet"
CURATION = "curation.json"
_META_KEY = b"eyeline"
_COMPRESSION = "zstd"

FIELDS: Mapping[str, pa.DataType] = {
    "face_id": pa.string(),
    "dataset": pa.string(),
    "source": pa.string(),
    "source_id": pa.string(),
    "frame": pa.int64(),
    "pts": pa.int64(),
    "time_base": pa.string(),
    "time_s": pa.float64(),
    "scene_cut": pa.bool_(),
    "crop": pa.string(),
    "box_x": pa.float32(),
    "box_y": pa.float32(),
    "box_w": pa.float32(),
    "box_h": pa.float32(),
    "score": pa.float32(),
    "detector": pa.string(),
    "scale": pa.float32(),
    "turn_deg": pa.int32(),
    "eyes": pa.list_(pa.float32(), 4),
    "landmarks": pa.list_(pa.float32()),
    "landmark_scheme": pa.string(),
    "roll_deg": pa.float32(),
    "yaw_deg": pa.float32(),
    "interocular_px": pa.float32(),
    "sharpness": pa.float32(),
    "brightness": pa.float32(),
    "contrast": pa.float32(),
    "matrix": pa.list_(pa.float32(), 6),
    "hash": pa.binary(32),
    "mirrored_hash": pa.binary(32),
    "hash_kind": pa.string(),
    "track": pa.string(),
    "subject": pa.string(),
    "subject_confidence": pa.float32(),
    "label": pa.string(),
    "valence": pa.float32(),
    "arousal": pa.float32(),
    "duplicate_of": pa.string(),
    "drop_reason": pa.string(),
    "published_split": pa.string(),
    "split": pa.string(),
    "fold": pa.int32(),
    "repeat": pa.int32(),
}
"""Every column but the action units, `au_*`, which a set has where its labels have them."""


def schema(action_units: Iterable[str] = ()) -> pa.Schema:
    """Give the manifest's schema, with a float32 column for each of `action_units`, sorted, after `arousal`."""
    fields: list[tuple[str, pa.DataType]] = []
    for name, kind in FIELDS.items():
        fields.append((name, kind))
        if name == "arousal":
            fields.extend((au, pa.float32()) for au in sorted(set(action_units)))
    return pa.schema(fields)


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> None:
    """Write the rows of one finished work unit, and what became of its frames, whole or not at all.

    Args:
        path: `OUT/parts/<unit_id>.parquet`.
        rows: One mapping a row; a missing key is null.
        meta: Kept in the file's own metadata as JSON: the unit's fingerprint, frame counts and errors.
    """
    action_units = {key for row in rows for key in row if key.startswith("au_")}
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema(action_units))
    encoded = json.dumps(meta, sort_keys=True).encode()
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata({_META_KEY: encoded}), temporary, compression=_COMPRESSION)


def read_part_meta(path: Path) -> dict[str, Any] | None:
    """Read what `write_part` kept beside the rows; None where the file is absent or is not a whole part."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    encoded = metadata.get(_META_KEY)
    return json.loads(encoded) if encoded else None


def read_crop_names(part: Path) -> list[str]:
    """Read the crops that the rows of a part name."""
    return [name for name in pq.read_table(part, columns=["crop"]).column("crop").to_pylist() if name is not None]


def assemble(out: Path, unit_ids: Iterable[str]) -> pd.DataFrame:
    """Put the parts of `unit_ids` together in that order."""
    tables = [pq.read_table(out / "parts" / f"{unit}.parquet") for unit in unit_ids]
    action_units = {name for table in tables for name in table.schema.names if name.startswith("au_")}
    wanted = schema(action_units)
    whole = pa.concat_tables([wanted.empty_table(), *tables], promote_options="default").select(wanted.names)
    return to_pandas(whole)


_NULLABLE = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Turn a manifest's table into a frame; integers stay exact where some are missing, and `isna()` tells missing."""
    rows: pd.DataFrame = table.to_pandas(types_mapper=_NULLABLE.get)
    return rows


def write_manifest(out: Path, rows: pd.DataFrame) -> None:
    """Write `rows` as `OUT/manifest.parquet`, whole or not at all; the same rows give the same bytes."""
    wanted = schema(name for name in rows.columns if name.startswith("au_"))
    table = pa.Table.from_pandas(rows[wanted.names], schema=wanted, preserve_index=False)
    table = table.replace_schema_metadata({_META_KEY: json.dumps({"schema": SCHEMA_VERSION}).encode()})
    with replacing(out / MANIFEST) as temporary:
        pq.write_table(table, temporary, compression=_COMPRESSION)


def read_manifest(out: str | Path) -> pd.DataFrame:
    """Read every row of a curated set.

    Args:
        out: The folder that `eyeline-curate run --out` wrote.

    Returns:
        One row a face, or a frame or image without one, with the columns of `FIELDS` and any `au_*`.

    Raises:
        UsageError: There is no manifest, or it is of another schema version.
    """
    path = Path(out) / MANIFEST
    meta = read_part_meta(path)
    if meta is None:
        raise UsageError(
            f"{path}: expected a set's manifest (not found or not whole); make it with: eyeline-curate run"
        )
    if meta.get("schema") != SCHEMA_VERSION:
        raise UsageError(
            f"{path}: expected schema version {SCHEMA_VERSION} (found {meta.get('schema')}); curate the set again"
        )
    return to_pandas(pq.read_table(path))


def write_curation(out: Path, record: Mapping[str, Any]) -> None:
    """Write `OUT/curation.json`: the resolved configuration, versions, model sha256s, counts and timings."""
    write_atomic(out / CURATION, json.dumps(record, indent=2, sort_keys=True) + "\n")


def read_curation(out: str | Path) -> dict[str, Any]:
    """Read `OUT/curation.json`.

    Raises:
        UsageError: The folder holds none.
        EyelineError: The file is not JSON.
    """
    path = Path(out) / CURATION
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"{path}: expected a curated set (not found); make it with: eyeline-curate run") from None
    except ValueError as error:
        raise EyelineError(f"{path}: expected JSON (found {error}); curate the set again") from None
    return record
