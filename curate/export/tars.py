"""The form `webdataset`: tar shards with a crop, a .json and, where it is labelled, a .cls under one name."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faces import Faces, read_crop
from .shards import crop_bytes, cut, showings
from .spec import Export

if TYPE_CHECKING:
    from .export import Progress

INDEX = "index.json"
_PADDING = 3 * 1024  # of a tar: a header and a filled block for each of three members


def write(faces: Faces, folder: Path, asked: Export, progress: "Progress") -> Mapping[str, Any]:
    """Write `<side>-<number>.tar` and `index.json`, which names the shards and the classes; the same bytes again."""
    index: dict[str, Any] = {"classes": list(faces.classes), "splits": {}}
    done = 0
    for side in faces.sides:
        part = showings(faces.of_side(side), asked.shards, repeat=asked.repeat)
        names = []
        for number, run in enumerate(cut(crop_bytes(part) + _PADDING, asked.shards)):
            names.append(f"{side}-{number:06d}.tar")
            _write_tar(folder / names[-1], _members(part.with_rows(part.rows.iloc[run])))
            done += len(set(part.rows["face_id"].iloc[run]))
            progress(min(done, len(faces.rows)), len(faces.rows))
        index["splits"][side] = {"shards": names, "samples": len(part.rows)}
    (folder / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return {"shards": {side: len(said["shards"]) for side, said in index["splits"].items()}}


def _members(faces: Faces) -> Iterator[tuple[str, bytes]]:
    """Yield the members of one shard: name and content."""
    number = {label: place for place, label in enumerate(faces.classes)}
    for crop, name, values in zip(faces.rows["crop"], faces.rows["name"], faces.told(), strict=True):
        if values["label"] is not None:
            yield f"{name}.cls", str(number[values["label"]]).encode()
        yield f"{name}.json", json.dumps(values, ensure_ascii=False).encode()
        yield f"{name}{crop.suffix.lower()}", read_crop(crop)


def _write_tar(path: Path, members: Iterator[tuple[str, bytes]]) -> None:
    """Write a tar whose bytes depend on nothing but its members."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)  # its owner, group and time are 0
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
