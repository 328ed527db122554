"""The form `fiftyone`: FiftyOne's own dataset on disk, written without FiftyOne and without its database.

FiftyOne writes a layout with the numbers of its database and of its version today; the one here, without them, is
what it wrote before 0.8, and it still reads it as `fiftyone.types.FiftyOneDataset`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faces import Faces
from .spec import Export
from .staging import Placer

if TYPE_CHECKING:
    from .export import Progress

_FIELDS = "fiftyone.core.fields."
_KINDS = {
    "label": f"{_FIELDS}EmbeddedDocumentField(fiftyone.core.labels.Classification)",
    "frame": f"{_FIELDS}IntField",
    "repeat": f"{_FIELDS}IntField",
    "time_s": f"{_FIELDS}FloatField",
    "face_id": f"{_FIELDS}StringField",
    "subject": f"{_FIELDS}StringField",
    "source": f"{_FIELDS}StringField",
}
_STEP = 500


def write(faces: Faces, folder: Path, asked: Export, progress: "Progress") -> Mapping[str, Any]:
    """Write `data/`, `metadata.json` and `samples.json`; the split is a tag, `duplicates` names what was dropped."""
    (folder / "data").mkdir()
    placer = Placer(asked.link)
    fields = {name: _KINDS.get(name, f"{_FIELDS}FloatField") for name in faces.columns if name != "split"}
    metadata = {
        "name": str(faces.record.get("dataset")),
        "media_type": "image",
        "sample_fields": fields | {"duplicates": f"{_FIELDS}ListField({_FIELDS}StringField)"},
        "info": {"classes": list(faces.classes), "title": faces.record.get("title", "")},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    with (folder / "samples.json").open("w", encoding="utf-8") as file:
        before = '{"samples": ['
        for done, (crop, sample) in enumerate(_samples(faces), start=1):
            placer.place(crop, folder / sample["filepath"])
            file.write(f"{before}\n{json.dumps(sample)}")
            before = ","
            if done % _STEP == 0 or done == len(faces.rows):
                progress(done, len(faces.rows))
        file.write("\n]}\n")
    return {"linked": placer.linked, "copied": placer.copied}


def _samples(faces: Faces) -> Iterator[tuple[Path, dict[str, Any]]]:
    rows = faces.rows
    for told, crop, name, copies in zip(faces.told(), rows["crop"], rows["name"], rows["duplicates"], strict=True):
        side, label = told.pop("split"), told.pop("label")
        classified = None if label is None else {"_cls": "Classification", "label": label}
        where = f"data/{name}{crop.suffix.lower()}"
        yield crop, {"filepath": where, "tags": [side], "label": classified, **told, "duplicates": copies}
