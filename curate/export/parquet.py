"""The form `hf`: Parquet files that Hugging Face's `datasets` reads from disk, with pictures and class names inside.

Parquet rather than the folder of `save_to_disk`: it is what the Hub serves, it is read without a network by
`load_dataset(DIR)`, and it is written without the library, whose own format is bound to its version.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from .faces import Faces, Record, read_crop
from .shards import crop_bytes, cut, showings
from .spec import Export

if TYPE_CHECKING:
    from .export import Progress

NAMES = {"train": "train", "val": "validation", "test": "test"}
"""Our sides as that library calls them."""

_GROUP = 256  # faces that are in memory, and read, at a time
_KINDS = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "float32": pa.float32()}
_KIND_OF = {
    **dict.fromkeys(("face_id", "subject", "source"), "string"),
    **dict.fromkeys(("frame", "repeat"), "int64"),
    "time_s": "float64",
}


def write(faces: Faces, folder: Path, asked: Export, progress: "Progress") -> Mapping[str, Any]:
    """Write `data/<side>-<number>-of-<count>.parquet` and a README.md that says which file is which side."""
    (folder / "data").mkdir()
    schema = _schema(faces)
    shards: dict[str, int] = {}
    done = 0
    for side in faces.sides:
        part = showings(faces.of_side(side), asked.shards, repeat=asked.repeat)
        runs = list(cut(crop_bytes(part), asked.shards))
        for number, run in enumerate(runs):
            name = f"{NAMES[side]}-{number:05d}-of-{len(runs):05d}.parquet"
            with pq.ParquetWriter(folder / "data" / name, schema, compression="zstd") as writer:
                for begin in range(run.start, run.stop, _GROUP):
                    some = slice(begin, min(begin + _GROUP, run.stop))
                    writer.write_table(_table(part.with_rows(part.rows.iloc[some]), schema))
                    done += len(set(part.rows["face_id"].iloc[some]))
                    progress(min(done, len(faces.rows)), len(faces.rows))
        shards[side] = len(runs)
    (folder / "README.md").write_text(_card(faces), encoding="utf-8")
    return {"shards": shards}


def _schema(faces: Faces) -> pa.Schema:
    """Give the columns, with their meaning as that library keeps it in a file's metadata."""
    fields: list[pa.Field] = [pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    for name in faces.columns:
        if name == "label" and faces.classes:
            fields.append(pa.field(name, pa.int64()))
            features[name] = {"names": list(faces.classes), "_type": "ClassLabel"}
        elif name not in ("label", "split"):
            kind = _KIND_OF.get(name, "float32")
            fields.append(pa.field(name, _KINDS[kind]))
            features[name] = {"dtype": kind, "_type": "Value"}
    encoded = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    return pa.schema(fields, metadata={"huggingface": encoded})


def _table(faces: Faces, schema: pa.Schema) -> pa.Table:
    number = {label: place for place, label in enumerate(faces.classes)}
    filled: list[Record] = []
    for crop, name, values in zip(faces.rows["crop"], faces.rows["name"], faces.told(), strict=True):
        row: Record = {column: values.get(column) for column in schema.names}
        row["image"] = {"bytes": read_crop(crop), "path": f"{name}{crop.suffix.lower()}"}
        if "label" in row:
            row["label"] = None if row["label"] is None else number[row["label"]]
        filled.append(row)
    return pa.Table.from_pylist(filled, schema=schema)


def _card(faces: Faces) -> str:
    """Write the card: which files are which side, as that library reads it, and where the set is from."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for side in faces.sides:
        lines += [f"  - split: {NAMES[side]}", f"    path: data/{NAMES[side]}-*"]
    config = faces.record.get("config") or {}
    said = [faces.record.get("title"), config.get("licence"), config.get("homepage")]
    text = ["Aligned faces, curated by eyeline.", *(" ".join(str(line).split()) for line in said if line)]
    return "\n".join([*lines, "---", "", "\n\n".join(text), ""])
