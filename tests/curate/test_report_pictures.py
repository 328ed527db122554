import io
import itertools
import json
import os
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from curate.manifest import schema, to_pandas, write_curation, write_manifest
from curate.report.hashes import diameter_bits, hamming, hash_matrix
from curate.report.sheets import evenly
from curate.report.text import percent, plain
from curate.report.thumbnails import shrink
from tests.curate.report_sets import face, make_set, picture, record_of, report


def test_missing_and_broken_crops_are_counted_and_shown_as_such(tmp_path, rows):
    make_set(tmp_path, rows)
    (tmp_path / rows[40]["crop"]).unlink()
    (tmp_path / rows[41]["crop"]).write_bytes(b"not a picture")
    page = report(tmp_path)
    assert any("1 of 56 crop files are missing" in item and rows[40]["crop"] in item for item in page.failed())
    assert "2 of the crops to be shown on this page could not be read" in page.text
    assert {name for tile in page.tiles if "no picture" in tile for name in tile.split() if "clip" in name} == {
        "clip_4.mp4"
    }


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


def test_label_conflicts_show_both_faces(tmp_path, rows):
    record = record_of(rows)
    record["dedup"]["conflicts"] = [["f000030", "f000032", 12], ["f000032", "gone", 7]]
    page = report(make_set(tmp_path, rows, record))
    assert "2 of 2 shown" in page.text[page.text.index("at most one of the two is right") :]
    pairs = [tile.split() for tile in page.tiles if "12 bits apart" in tile]
    assert [words[0] for words in pairs] == ["sad", "happy"]


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
    assert page.row("1,960 more sources")[0][2] == "19,600"
    assert not page.failed()


def test_many_classes_share_the_room(tmp_path):
    rows = [face(n, label=f"class {n:03d}", split="train") for n in range(300)]
    page = report(make_set(tmp_path, rows, record_of(rows, labels=[])))
    assert "and 234 more classes" in page.text
    assert "and 200 more classes" in page.text


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
