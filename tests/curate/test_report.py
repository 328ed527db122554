import base64
import functools
import io
import itertools
import json
import os
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from align import EyelineError, UsageError
from curate import read_manifest
from curate.manifest import FIELDS, schema, to_pandas, write_curation, write_manifest
from curate.report import write_report
from curate.report.page import percent, plain
from curate.report.sheets import diameter_bits, evenly, hamming, hash_matrix
from curate.report.thumbnails import shrink

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


@pytest.fixture
def rows():
    """Give 60 rows: kept, dropped for five reasons, on three sides."""
    made = [face(n, split="train" if n < 40 else "val" if n < 50 else "test") for n in range(60)]
    for n in (3, 13, 23):
        made[n] |= {"drop_reason": "blurred", "sharpness": 4.0, "repeat": None}
    for n in (5, 6):
        bits = 31 if n == 5 else 9
        made[n] |= {"drop_reason": "duplicate", "duplicate_of": "f000004", "hash": flip(made[4]["hash"], bits)}
    made[11] |= {"drop_reason": "over_cap", "repeat": 0, "label": "happy"}
    for n in (21, 22, 44, 54):
        nothing = dict.fromkeys(("crop", "score", "hash", "label", "sharpness", "roll_deg", "split", "repeat"))
        made[n] |= nothing | {"drop_reason": "no_face"}
    made[31] |= {"label": "sad", "repeat": 4}
    return made


def report(out):
    return Page(write_report(out))


def test_it_writes_one_page_below_the_set(tmp_path, rows):
    path = write_report(make_set(tmp_path, rows))
    assert path == tmp_path / "report" / "index.html"
    assert [entry.name for entry in path.parent.iterdir()] == ["index.html"]


def test_every_check_of_a_sound_set_passes(tmp_path, rows):
    page = report(make_set(tmp_path, rows))
    assert not page.failed()
    assert "checks passed" in page.text
    for kind, groups in (("source", 6), ("subject", 6)):
        assert f"No {kind} stands on two sides (of {groups})" in page.text
    assert "No duplicate group stands on two sides" in page.text


def test_the_counts_are_the_manifests(tmp_path, rows):
    page = report(make_set(tmp_path, rows))
    manifest = read_manifest(tmp_path)
    for reason, number in manifest["drop_reason"].value_counts().items():
        assert page.row(f"− {reason}")[0][1] == str(number)  # noqa: RUF001 - the page's own minus sign
    kept = manifest[manifest["drop_reason"].isna()]
    assert page.row("= kept")[0][1] == str(len(kept))
    assert page.row("rows")[0][1] == "60"
    by_side = [f"{len(kept[kept['split'] == side])}" for side in ("train", "val", "test")]
    assert [page.row(side)[0][4] for side in ("train", "val", "test")] == by_side
    for label in ("sad", "happy"):
        of_class, chosen = manifest[manifest["label"] == label], kept[kept["label"] == label]
        sides = [str(int((chosen["split"] == side).sum())) for side in ("train", "val", "test")]
        first, second = page.row(label)
        assert first[1:6] == [str(len(of_class)), str(len(chosen)), *sides]
        train = chosen[chosen["split"] == "train"]
        before = len(train) + int((of_class["drop_reason"] == "over_cap").sum())
        assert second[1:4] == [str(before), str(len(train)), str(int(train["repeat"].sum()))]
    source = page.row("clip_0.mp4")[0]
    assert source[2:4] == ["10", "7"]
    assert source[5] == "2 duplicate, 1 blurred"


def test_the_frames_are_the_records(tmp_path, rows):
    page = report(make_set(tmp_path, rows))
    steps = [page.row(name)[0][1] for name in ("decoded", "− sampled out", "− near-identical", "= with rows")]  # noqa: RUF001
    assert steps == ["307", "240", "7", "60"]
    assert "307 decoded = 240 sampled out + 7 near-identical + 60 with rows" in page.text


@pytest.mark.parametrize("key", ["decoded", "sampled_out", "near_identical", "with_rows"])
def test_frames_that_do_not_reconcile_are_shown_as_a_failure(tmp_path, rows, key):
    record = record_of(rows, units=[])
    record["frames"] = record["frames"] | {key: record["frames"][key] + 2}
    page = report(make_set(tmp_path, rows, record))
    fate = "2 unaccounted for" if key == "decoded" else "2 counted twice"
    assert any("Frames do not reconcile" in item and fate in item for item in page.failed())
    assert "1 check failed" in page.text


def test_units_that_do_not_add_up_are_shown_as_a_failure(tmp_path, rows):
    record = record_of(rows)
    record["units"][0] = record["units"][0] | {"rows": 59, "frames": record["frames"] | {"decoded": 1}}
    failed = "\n".join(report(make_set(tmp_path, rows, record)).failed())
    assert "the work units wrote 59, the manifest holds 60" in failed
    assert "The frames of 1 work units do not reconcile" in failed
    assert "The work units decoded 1 frames" in failed


@pytest.mark.parametrize(
    ("column", "told"),
    [("source", "1 source stands"), ("subject", "1 subject stands"), ("duplicate group", "1 duplicate group stands")],
)
def test_a_planted_leak_is_listed(tmp_path, rows, column, told):
    if column == "source":
        rows[45] |= {"source": "clip_0.mp4", "source_id": "clip_0.mp4", "subject": None}
    elif column == "subject":
        rows[45] |= {"subject": "person 0", "source": "own.mp4", "source_id": "own.mp4"}
    else:
        rows[45] |= {"duplicate_of": "f000004"}
    failed = report(make_set(tmp_path, rows)).failed()
    assert len(failed) == 1
    assert f"Leak: {told} on two sides" in failed[0]
    named = {"source": "clip_0.mp4: 10 in train, 1 in val", "subject": "person 0: 10 in train, 1 in val"}
    assert named.get(column, "f000004: 3 in train, 1 in val") in failed[0]


def test_a_leak_is_seen_under_a_source_id_though_the_names_differ(tmp_path, rows):
    rows[45] |= {"source": "another name.mp4", "source_id": "clip_0.mp4", "subject": None}
    assert any("Leak: 1 source stands" in item for item in report(make_set(tmp_path, rows)).failed())


def test_hostile_text_shows_as_text(tmp_path, rows):
    for n, name in enumerate(HOSTILE):
        rows[n] |= {"source": name, "source_id": f"s{n}", "label": name, "subject": name}
        rows[n + 7] |= {"face_id": f"{name}{n}", "drop_reason": "dark", "repeat": None}
    record = record_of(rows, title=HOSTILE[0], labels=HOSTILE, dataset=HOSTILE[1])
    record["config"] = {name: {name: [name, {name: name}]} for name in HOSTILE}
    record["units"] = [record["units"][0] | {"source": n, "unit_id": n, "error": n} for n in HOSTILE]
    record["versions"] = record["models"] = record["timings"] = {name: name for name in HOSTILE}
    record["split"] = record["split"] | {"notes": HOSTILE, "by": HOSTILE[0]}
    record["dedup"] = {"hash_kind": HOSTILE[0], "radius": HOSTILE[1], "conflicts": [[HOSTILE[0], HOSTILE[1], 3]]}
    page = report(make_set(tmp_path, rows, record))
    assert "script" not in page.tags
    assert len(page.pictures()) == page.tags.count("img")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[4]):
        assert name in page.text
    assert "two\\nlines\\tand \\u202egpj.mp4" in page.text
    assert "\u202e" not in page.source
    assert "49" not in page.row("{{ 7")[0][0]


def test_a_file_name_that_is_no_unicode_does_not_stop_the_page(tmp_path, rows):
    record = record_of(rows)
    record["units"][0] = record["units"][0] | {"source": "\udcff.mp4", "error": "\udcff.mp4: cannot be read"}
    assert "\\udcff.mp4: cannot be read" in report(make_set(tmp_path, rows, record)).text


def test_the_page_needs_nothing_outside_itself(tmp_path, rows):
    page = report(make_set(tmp_path, rows))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "image", "use"} & {*page.tags}
    for tag, name, value in page.attributes:
        assert "//" not in value or value.startswith("data:image/webp;base64,"), (tag, name, value)
        if name == "href":
            assert value.startswith("#")
            assert ("section", "id", value[1:]) in page.attributes
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert ("meta", "http-equiv", "Content-Security-Policy") in page.attributes
    assert page.pictures()
    for uri in page.pictures():
        head, data = uri.split(",")
        assert head == "data:image/webp;base64"
        shown = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        difference = np.asarray(shown, np.float64) - np.asarray(picture(0), np.float64)
        assert np.abs(difference).mean() < 16  # grain is lost; the same picture turned around differs by 40 and more
    alts = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert len(alts) == len(page.pictures())
    assert all(alts)


def test_the_same_set_gives_the_same_bytes(tmp_path, rows):
    first = write_report(make_set(tmp_path / "a", rows)).read_bytes()
    assert write_report(tmp_path / "a").read_bytes() == first
    assert write_report(make_set(tmp_path / "b", rows)).read_bytes() == first


def test_an_empty_set_has_a_page(tmp_path):
    page = report(make_set(tmp_path, []))
    assert page.row("= kept")[0][1] == "0"
    assert not page.pictures()
    assert not page.failed()
    assert "No face was kept" in page.text


def test_a_record_with_nothing_but_its_name_has_a_page(tmp_path, rows):
    record = {"schema": 1, "dataset": "demo", "title": "Bare"}
    bare = [row | dict.fromkeys(("split", "repeat", "subject", "label")) for row in rows]
    page = report(make_set(tmp_path, bare, record))
    assert "Frames were not counted" in page.text
    assert "The set is not split" in page.text
    assert not page.failed()


def test_missing_and_broken_crops_are_counted_and_shown_as_such(tmp_path, rows):
    make_set(tmp_path, rows)
    (tmp_path / rows[40]["crop"]).unlink()
    (tmp_path / rows[41]["crop"]).write_bytes(b"not a picture")
    page = report(tmp_path)
    assert any("1 of 56 crop files are missing" in item and rows[40]["crop"] in item for item in page.failed())
    assert "2 of the crops to be shown on this page could not be read" in page.text
    assert sum("no picture" in tile for tile in page.tiles) == 2


def test_a_crop_outside_the_set_is_not_read(tmp_path, rows):
    picture(1).save(tmp_path / "secret.png")
    make_set(tmp_path / "set", rows)
    (tmp_path / "set" / "crops" / "link.png").symlink_to(tmp_path / "secret.png")
    for n, name in ((0, "../secret.png"), (1, str(tmp_path / "secret.png")), (2, "crops/link.png")):
        rows[n] |= {"crop": name}
    manifest = to_pandas(pa.Table.from_pylist(rows, schema=schema()))
    write_manifest(tmp_path / "set", manifest)
    page = report(tmp_path / "set")
    assert "3 of the crops to be shown on this page could not be read" in page.text
    assert any("2 of 56 crop files are missing" in item for item in page.failed())


def test_duplicates_stand_beside_their_representative_with_the_distance(tmp_path, rows):
    page = report(make_set(tmp_path, rows))
    tiles = page.tiles
    for bits in (9, 31):
        places = [n for n, tile in enumerate(tiles) if tile.strip().startswith(f"{bits} bits apart")]
        assert tiles[places[0] + 1].strip().startswith("representative")
    assert "3 faces, diameter 31 bits" in page.text
    badges = [" ".join(tile.split()[:3]) for tile in tiles if tile.split()[1:3] == ["bits", "apart"]]
    assert badges == ["9 bits apart", "31 bits apart"] * 2


def test_a_duplicate_of_nothing_or_of_a_duplicate_is_a_failure(tmp_path, rows):
    rows[6] |= {"duplicate_of": "f000005"}
    rows[15] |= {"drop_reason": "duplicate", "duplicate_of": "gone"}
    page = report(make_set(tmp_path, rows))
    assert any("2 duplicates name no representative" in item for item in page.failed())
    assert sum("not in the manifest" in tile for tile in page.tiles) == 2  # in its pair and in its group


def test_two_rows_of_one_face_id_are_a_failure(tmp_path, rows):
    rows[1] |= {"face_id": "f000000"}
    assert any("1 face_ids stand in more than one row" in item for item in report(make_set(tmp_path, rows)).failed())


def test_a_kept_face_without_a_side_is_a_failure(tmp_path, rows):
    rows[1] |= {"split": None}
    assert any("1 kept faces have no side" in item for item in report(make_set(tmp_path, rows)).failed())


def test_label_conflicts_show_both_faces(tmp_path, rows):
    record = record_of(rows)
    record["dedup"]["conflicts"] = [["f000030", "f000031", 12], ["f000032", "gone", 7]]
    page = report(make_set(tmp_path, rows, record))
    assert "2 of 2 shown" in page.text[page.text.index("at most one of the two is right") :]
    pairs = [tile for tile in page.tiles if tile.strip().startswith("12 bits apart")]
    assert [("sad" in tile, "happy" in tile) for tile in pairs] == [(True, False), (True, False)]


def test_balancing_that_differs_from_the_manifest_is_a_warning(tmp_path, rows):
    record = record_of(rows)
    record["balance"]["classes"] = [{"label": "sad", "before": 1, "after_cap": 1, "shown": 1}]
    page = report(make_set(tmp_path, rows, record))
    assert any("disagree on balancing" in item and "sad" in item for item in page.items)


def test_failed_inputs_are_listed(tmp_path, rows):
    record = record_of(rows)
    record["units"][0] = record["units"][0] | {"error": "clip_0.mp4: cannot be decoded after frame 9"}
    page = report(make_set(tmp_path, rows, record))
    assert ["clip_0.mp4", "u0", "60", "clip_0.mp4: cannot be decoded after frame 9"] in page.rows
    assert any("1 of 1 work units failed" in item for item in page.items)


def test_action_units_and_valence_have_their_place(tmp_path, rows):
    for n, row in enumerate(rows):
        row |= {"au_12": float(n % 2), "valence": n / 60}
    page = report(make_set(tmp_path, rows))
    kept = [n for n, row in enumerate(rows) if row.get("drop_reason") is None]
    assert page.row("au_12")[0][1:3] == [str(len(kept)), str(sum(n % 2 for n in kept))]
    assert "Valence" in page.text


def test_constant_and_missing_measures_are_drawn_or_left_out(tmp_path, rows):
    kept = sum(row.get("drop_reason") is None for row in rows)
    for row in rows:
        row |= {"sharpness": 5.0, "brightness": 9.0, "contrast": None, "roll_deg": float("inf")}
        row |= {"interocular_px": float("nan")}
    page = report(make_set(tmp_path, rows))
    assert any("Sharpness" in tile and f"60 faces, {kept} kept; median 5, range 5 to 5" in tile for tile in page.tiles)
    assert any("Brightness" in tile and "median 9, range 9 to 9" in tile for tile in page.tiles)
    assert not any(title in tile for tile in page.tiles for title in ("Contrast", "Roll", "Distance"))
    assert "NaN" not in page.source
    assert "nan" not in " ".join(value for tag, _, value in page.attributes if tag in ("rect", "line", "text"))


def test_twenty_thousand_rows_make_a_light_page_soon(tmp_path):
    rows = [face(n, label=f"class {n % 7}", split="train") for n in range(20_000)]
    reasons = itertools.cycle(["blurred", "dark", "bright", "profile", "too_small", "blank", "over_cap", "unlabelled"])
    for n, row in enumerate(rows):
        if n % 4 == 1:
            row["drop_reason"] = next(reasons)
        elif n % 4 == 2:
            row |= {"drop_reason": "duplicate", "duplicate_of": f"f{n // 400 * 400:06d}"}
    (tmp_path / "crops").mkdir()
    for n in range(50):
        picture(n, 224).save(tmp_path / f"crops/base_{n}.png")
    for n, row in enumerate(rows):
        os.link(tmp_path / f"crops/base_{n % 50}.png", tmp_path / row["crop"])
    write_manifest(tmp_path, to_pandas(pa.Table.from_pylist(rows, schema=schema())))
    record = record_of(rows, labels=[f"class {n}" for n in range(7)])
    conflicts = [[f"f{4 * n:06d}", f"f{4 * n + 4:06d}", n % 31] for n in range(3000)]
    write_curation(tmp_path, record | {"dedup": {"conflicts": conflicts}})
    start = time.perf_counter()
    page = report(tmp_path)
    assert time.perf_counter() - start < 60
    assert len(page.source) < 5_000_000
    assert "48 of 1,4" in page.text
    assert "24 of 5,000 shown" in page.text
    assert "24 of 3,000 shown" in page.text
    assert "and 1,960 more" in page.text
    assert not page.failed()


def test_many_classes_share_the_room(tmp_path):
    rows = [face(n, label=f"class {n:03d}", split="train") for n in range(300)]
    page = report(make_set(tmp_path, rows, record_of(rows, labels=[])))
    assert "and 228 more classes" in page.text
    assert "and 200 more classes" in page.text


def test_no_set_and_an_unknown_reason_are_refused_in_a_sentence(tmp_path, rows):
    with pytest.raises(UsageError, match="make it with: eyeline-curate run"):
        write_report(tmp_path)
    rows[0] |= {"drop_reason": "boredom"}
    with pytest.raises(EyelineError, match="boredom"):
        write_report(make_set(tmp_path, rows))
    assert not (tmp_path / "report" / "index.html").exists()


def test_a_photograph_stays_recognisable_and_light():
    data = pytest.importorskip("skimage.data")
    photo = Image.fromarray(data.astronaut()[0:224, 112:336])
    small = Image.open(io.BytesIO(shrink(photo))).convert("RGB")
    reference = np.asarray(photo.resize(small.size, Image.Resampling.LANCZOS), np.float64)
    assert small.size == (112, 112)
    assert np.abs(np.asarray(small, np.float64) - reference).mean() < 8
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8))
    assert len(shrink(noise)) < 3600


def test_samples_are_evenly_spaced_and_hold_both_ends():
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(1000, 5) == [0, 250, 500, 749, 999]
    for count, most in itertools.product((0, 1, 47, 48, 49, 97, 5000), (2, 9, 48)):
        picked = evenly(count, most)
        assert picked == sorted(set(picked))
        assert len(picked) == min(count, most)


def test_distances_are_those_of_the_bits():
    generator = np.random.default_rng(0)
    hashes = [generator.bytes(32) for _ in range(40)] + [None]
    packed, known = hash_matrix(pd.Series(hashes, dtype=object))
    assert known.tolist() == [True] * 40 + [False]
    bits = [np.unpackbits(np.frombuffer(value, np.uint8)) for value in hashes[:40]]
    expected = [[int((a != b).sum()) for b in bits] for a in bits]
    assert hamming(packed[:40, None], packed[None, :40]).tolist() == expected
    assert diameter_bits(packed[:40]) == (max(map(max, expected)), False)
    assert diameter_bits(packed[:0]) == (0, False)


def test_text_is_shown_whole_on_one_line_or_cut_in_the_middle():
    assert plain("a\nb\x00\x1b[31m") == "a\\nb\\x00\\x1b[31m"
    assert plain("naïve 顔 👩\u200d🚀") == "naïve 顔 👩\u200d🚀"
    assert plain("a" * 99 + "end.mp4", 20) == "a" * 10 + "…" + "aaaend.mp4"
    assert json.loads(f'"{plain(chr(0xDCFF))}"') == "\udcff"


def test_a_small_share_is_not_nothing():
    assert [percent(share) for share in (0, 0.0001, 0.5, 1, None)] == ["0.0 %", "<0.1 %", "50.0 %", "100.0 %", "\u2013"]
