"""Sets made for the tests of the report, and a reader of its page."""

import functools
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from curate.manifest import FIELDS, schema, to_pandas, write_curation, write_manifest
from curate.report import write_report

VOID = {"meta", "img", "br", "wbr", "rect", "line", "link", "input", "hr"}
HOSTILE = [
    "<script>alert(1)</script>.mp4",
    "\"><img src=x onerror=alert(1)>'.mp4",
    "two\nlines\tand \u202egpj.mp4",
    "Gesichter/größe-顔-🙂.mp4",
    "{{ 7 * 7 }}{% raw %}.mp4",
    "https://example.org/track.js",
]


class Page(HTMLParser):
    """The elements, attributes, table rows and text of a page; every element that opens must close."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.stack, self.tags, self.attributes, self.rows, self.tiles, self.items = [], [], [], [], [], []
        self.text = ""
        self.feed(self.source)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend((tag, name, value or "") for name, value in attrs)
        if tag not in VOID:
            self.stack.append(tag)
        for opened, held in (("tr", self.rows), ("figure", self.tiles), ("li", self.items)):
            if tag == opened:
                held.append([] if tag == "tr" else "")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data):
        if "style" in self.stack:
            return
        self.text += data
        if "td" in self.stack or "th" in self.stack:
            self.rows[-1][-1] += data
        elif "figure" in self.stack:
            self.tiles[-1] += data + " "
        elif "li" in self.stack:
            self.items[-1] += data

    def row(self, name):
        """Give the cells of the rows that start with `name`."""
        return [[cell.strip() for cell in row] for row in self.rows if row and row[0].strip().startswith(name)]

    def sections(self):
        return {value for tag, name, value in self.attributes if (tag, name) == ("section", "id")}

    def failed(self):
        return sorted({item for item in self.items if item.startswith("✗ Failed")})

    def pictures(self):
        return [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]


@functools.cache
def small_png():
    target = io.BytesIO()
    picture(0).save(target, "PNG")
    return target.getvalue()


def picture(seed, side=64):
    generator = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, side)[None, :, None] * generator.uniform(0.3, 1, 3)
    return Image.fromarray((ramp + generator.integers(0, 55, (side, side, 3))).astype(np.uint8))


def face(number, **values):
    """Make a kept face in train; sources hold ten faces each."""
    source = values.pop("source", f"clip_{number // 10}.mp4")
    generator = np.random.default_rng(number)
    row = {
        "face_id": f"f{number:06d}",
        "dataset": "demo",
        "source": source,
        "source_id": source,
        "frame": number % 10,
        "pts": number,
        "time_base": "1/25",
        "time_s": (number % 10) / 25,
        "crop": f"crops/{number:06d}.png",
        "score": 0.5 + number % 5 / 10,
        "detector": "hog",
        "roll_deg": float(generator.normal(0, 8)),
        "interocular_px": float(generator.uniform(20, 90)),
        "sharpness": float(generator.gamma(3, 40)),
        "brightness": float(generator.normal(120, 25)),
        "contrast": float(generator.normal(50, 9)),
        "hash": generator.bytes(32),
        "hash_kind": "phash256/1",
        "label": "happy" if number % 3 else "sad",
        "subject": f"person {number // 10}",
        "split": "train",
        "repeat": 1,
    }
    return row | values


def record_of(rows, **changes):
    frames = {"decoded": 5 * len(rows) + 7, "sampled_out": 4 * len(rows), "near_identical": 7, "with_rows": len(rows)}
    record = {
        "schema": 1,
        "dataset": "demo",
        "title": "Drivers in a car",
        "config": {"gates": {"min_interocular": 20, "min_sharpness": 15}, "homepage": "https://example.org/set"},
        "labels": ["sad", "happy"],
        "versions": {"eyeline": "0.1.0"},
        "models": {"shape_predictor_5_face_landmarks.dat": "c4b1e980"},
        "frames": frames,
        "units": [{"unit_id": "u0", "source": "clip_0.mp4", "frames": frames, "rows": len(rows), "error": None}],
        "dedup": {"hash_kind": "phash256/1", "radius": 31, "groups": 1, "largest_diameter": 9, "conflicts": []},
        "split": {"asked": {"val": 0.1, "test": 0.1}, "by": "subject", "notes": ["class 'sad' has 1 group"]},
        "balance": {"cap": "median", "oversample": True},
        "timings": {"ingest_s": 12.3},
    }
    return record | changes


def make_set(out, rows, record=None):
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(out, to_pandas(pa.Table.from_pylist(rows, schema=schema({k for r in rows for k in r} - {*FIELDS}))))
    write_curation(out, record if record is not None else record_of(rows))
    for row in rows:
        if row.get("crop"):
            path = out / row["crop"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(small_png())
    return out


def flip(hashed, bits):
    changed = np.unpackbits(np.frombuffer(hashed, np.uint8))
    changed[:bits] ^= 1
    return np.packbits(changed).tobytes()


def report(out):
    return Page(write_report(out))
