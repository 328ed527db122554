"""What the report says of sources, people, tracks, parts, folds, labels, measures and time."""

import json

import numpy as np
import pyarrow as pa
import pytest

from curate.manifest import FIELDS, schema, to_pandas
from curate.report.duplicates import group_sheets, leak_sheet
from curate.report.groups import decoded_by_source, fold_rows, published_rows, source_table
from curate.report.hashes import duplicate_bits
from curate.report.histograms import histogram, measure_histograms
from curate.report.labels import action_unit_rows, affect_plane
from curate.report.people import people_sheets, people_tables, spread_over_parts, tracks_of
from curate.report.ridges import class_ridges, ridges
from curate.report.sheets import dropped_sheets
from curate.report.text import flatten, many, seconds, value
from curate.report.thumbnails import Crops
from curate.report.timings import timing
from tests.curate.report_sets import HOSTILE, face, flip, make_set, record_of, report


def frame(rows):
    return to_pandas(pa.Table.from_pylist(rows, schema=schema({k for r in rows for k in r} - {*FIELDS})))


def unit(source, decoded, rows):
    frames = {"decoded": decoded, "sampled_out": decoded - rows, "near_identical": 0, "with_rows": rows}
    return {"unit_id": source, "source": source, "rows": rows, "frames": frames, "error": None}


def test_the_sources_listed_the_others_and_all_add_up(rows):
    record = record_of(rows, units=[unit(f"clip_{n}.mp4", 50 + n, 10) for n in range(6)])
    record["frames"]["decoded"] = sum(50 + n for n in range(6))
    table = source_table(frame(rows), 2, record)
    *listed, rest, whole = table.rows
    assert [row.kind for row in table.rows] == ["one", "one", "rest", "all"]
    assert [row.decoded for row in listed] == [50, 51]
    assert whole.rows == len(rows)
    for count in ("decoded", "rows", "faces", "kept"):
        assert sum(getattr(row, count) for row in (*listed, rest)) == getattr(whole, count)
    assert whole.faces == 56
    assert table.total == 6


def test_pictures_of_one_row_are_summed_where_there_are_longer_sources():
    rows = [face(n, source="clip.mp4") for n in range(5)] + [face(10 + n, source=f"{n}.png") for n in range(7)]
    assert [row.name for row in source_table(frame(rows), 40, {}).rows] == ["clip.mp4", "7 more sources", "all sources"]
    assert len(source_table(frame(rows[5:]), 40, {}).rows) == 8


def test_sources_without_a_kept_face_are_named():
    rows = [face(0, source="good.mp4"), face(1, source="bad.mp4", drop_reason="dark")]
    table = source_table(frame(rows), 40, {})
    assert (table.barren, table.barren_count) == (["bad.mp4"], 1)


def test_a_unit_of_many_pictures_does_not_count_for_its_first():
    """A unit of 64 pictures bears the name of the first one."""
    pictures = [face(n, source=f"{n}.png", pts=None) for n in range(64)]
    clip = [face(100 + n, source="clip.mp4") for n in range(3)]
    other = [face(200 + n, source="other.mp4") for n in range(3)]
    units = [unit("0.png", 64, 64), unit("clip.mp4", 9, 2), unit("clip.mp4", 8, 1), unit("other.mp4", 9, 7)]
    decoded = decoded_by_source(frame(pictures + clip + other), units)
    assert decoded == {"clip.mp4": 17} | {f"{n}.png": 1 for n in range(64)}


def test_people_stand_in_the_order_of_their_confidence_and_add_up():
    rows = [face(n, subject=f"p{n // 4}", subject_confidence=[0.9, 0.2, 0.5][n // 4], track=None) for n in range(12)]
    rows[5] |= {"subject_confidence": 0.1, "drop_reason": "dark"}
    rows += [face(20 + n, subject="given") for n in range(3)]
    found, given = people_tables(frame(rows), 2)
    assert [(row.name, round(row.confidence, 2)) for row in found.people] == [("p1", 0.1), ("p2", 0.5)]
    assert (found.total, found.more, found.more_rows, found.more_kept) == (3, 1, 4, 4)
    assert [(row.name, row.rows, row.kept, row.confidence) for row in given.people] == [("given", 3, 3, None)]
    assert found.people[0].kept == 3


def test_those_who_were_put_together_are_shown_first_and_from_every_track(tmp_path):
    rows = [face(n, subject="alone", subject_confidence=0.01, track="t", source="a.mp4") for n in range(9)]
    merged = {"subject": "merged", "subject_confidence": 0.6, "source": "b.mp4"}
    rows += [face(40 + n, track=f"t{n // 10}", **merged) for n in range(30)]
    table = frame(rows)
    found, given = people_sheets(table, Crops(make_set(tmp_path, rows)))
    assert [sheet.title for sheet in found] == ["merged", "alone"]
    assert not given
    assert found[0].note == "confidence 0.60; 30 kept faces from 1 source and 3 tracks"
    assert (found[0].shown, found[0].total) == (6, 30)
    merged = table[table["subject"] == "merged"]
    assert spread_over_parts(merged, 6)["track"].tolist() == ["t0", "t0", "t1", "t1", "t2", "t2"]
    assert spread_over_parts(merged, 2)["track"].tolist() == ["t0", "t2"]


def test_tracks_are_counted_and_the_longest_are_shown(tmp_path):
    rows = [face(n, track=f"t{min(n // 5, 2)}", source="a.mp4", scene_cut=n == 5) for n in range(20)]
    rows += [face(30, track="t0", source="b.mp4"), face(31, track=None, source="c.png")]
    tracks = tracks_of(frame(rows), Crops(make_set(tmp_path, rows)))
    assert tracks.summary == "4 tracks in 2 videos with 21 faces; in one: median 5, most 10; 1 change of scene."
    assert [sheet.total for sheet in tracks.sheets] == [10, 5, 5, 1]
    assert tracks_of(frame([face(0)]), Crops(tmp_path)) is None


def test_what_became_of_a_published_part_adds_up():
    ends = [
        ("train", None),
        ("train", "over_cap"),
        ("val", None),
        (None, "leak"),
        (None, "dark"),
        (None, None),
        ("train", "dark"),
    ]
    rows = [face(n, published_split="train", split=s, drop_reason=why) for n, (s, why) in enumerate(ends)]
    (row,) = published_rows(frame(rows))
    assert (row.name, row.rows, row.same, row.moved, row.leaks, row.dropped) == ("train", 7, 2, 2, 1, 2)
    assert row.same + row.moved + row.leaks + row.dropped == row.rows
    assert published_rows(frame([face(0)])) == []


def test_folds_are_counted_by_class():
    rows = [face(n, fold=n % 3, label="sad" if n % 2 else "happy") for n in range(12)]
    rows[0] |= {"drop_reason": "dark"}
    folds, classes = fold_rows(frame(rows), {"folds": 4, "fold": 2}, ["happy", "sad"])
    assert classes == ["happy", "sad"]
    assert [row.kept for row in folds] == [3, 4, 4, 0]
    assert [row.is_test for row in folds] == [False, False, True, False]
    assert folds[0].by_class == {"happy": 1, "sad": 2}


def test_action_units_are_counted_before_and_after_balancing():
    rows = [face(n, au_12=float(n < 2), au_2=None, split="train" if n < 6 else "val") for n in range(8)]
    rows[0] |= {"repeat": 3}
    rows[5] |= {"repeat": 0, "drop_reason": "over_cap"}
    rows[7] |= {"au_12": None}
    (row,) = action_unit_rows(frame(rows), ["train", "val"])  # none is labelled with au_2
    assert row.name == "au_12"
    assert (row.kept.active, row.kept.labelled) == (2, 6)
    assert (row.before.active, row.before.labelled) == (2, 6)
    assert (row.shown.active, row.shown.labelled) == (4, 7)
    assert (row.sides["val"].active, row.sides["val"].labelled) == (0, 1)


def test_action_units_stand_in_the_order_of_their_numbers():
    rows = [face(0, au_12=1.0, au_2=1.0, au_1=0.0)]
    assert [row.name for row in action_unit_rows(frame(rows), [])] == ["au_1", "au_2", "au_12"]


def test_the_plane_of_valence_and_arousal_counts_every_kept_face():
    places = [(0.5, 0.5), (0.5, -0.5), (-0.5, 0.5), (-0.5, 0.5), (2.0, 0.0), (0.5, None)]
    rows = [face(n, valence=v, arousal=a) for n, (v, a) in enumerate(places)] + [
        face(9, valence=0.0, arousal=0.0, drop_reason="dark")
    ]
    plane = affect_plane(frame(rows))
    assert plane.summary.startswith("4 kept faces: 1 pleasant and excited, 1 pleasant and calm, 2 unpleasant and ex")
    assert plane.summary.endswith("; 1 more lie outside of -1 to 1")
    top = [cell for cell in plane.cells if cell.shade == 1]
    assert [(cell.x, cell.y) for cell in top] == [(55.0, 44.0)]  # to the left, in the upper half
    assert affect_plane(frame([face(0)])) is None


def test_a_darker_class_is_told_by_its_median():
    rows = [face(n, label="sad" if n % 2 else "happy", brightness=60.0 + n if n % 2 else 150.0 + n) for n in range(40)]
    rows.append(face(50, label="sad", brightness=255.0, drop_reason="bright"))
    figures, left_out = class_ridges(frame(rows), ["happy", "sad", None])
    drawn = next(figure for figure in figures if figure.title == "Brightness")
    assert drawn.summary == "Medians from 80 (sad) to 169 (happy); of all 124."
    happy, sad = drawn.rows
    assert sad.median_x < drawn.overall_x < happy.median_x
    assert (happy.y, sad.y) == (4.0, 42.0)
    assert left_out == 0
    assert class_ridges(frame(rows), ["sad", None]) == ([], 0)


def test_a_measure_that_is_all_one_value_is_not_drawn_by_class():
    same = {"a": np.full(3, 2.0), "b": np.full(2, 2.0)}
    assert ridges("x", same) is None
    assert ridges("x", {"a": np.arange(3.0), "b": np.full(2, np.nan)}) is None


def test_a_gate_on_yaw_stands_on_both_sides():
    rows = [face(n, yaw_deg=float(n)) for n in range(9)]
    drawn = next(f for f in measure_histograms(frame(rows), {"max_yaw_deg": 35}) if f.title.startswith("Yaw"))
    assert [mark.text for mark in drawn.gates] == ["gate -35", "gate 35"]


def test_only_values_far_out_share_the_last_bar():
    near = histogram("x", np.linspace(0, 1, 1000))
    assert "last bar" not in near.summary
    assert "6 above 0.997 in the last bar" in histogram("x", np.r_[np.linspace(0, 1, 1000), 50, 60]).summary


def test_the_dropped_of_a_gate_are_ordered_by_its_measure(tmp_path):
    rows = [face(n, drop_reason="blurred", sharpness=float(v)) for n, v in enumerate((3, 9, 1, 7))]
    rows += [face(10 + n, drop_reason="profile", yaw_deg=float(v)) for n, v in enumerate((-70, 40, -50))]
    blurred, profile = sorted(
        dropped_sheets(frame(rows), Crops(make_set(tmp_path, rows))), key=lambda sheet: sheet.title
    )
    assert [item[0].lines[1] for item in blurred.tiles] == [f"sharpness {v}" for v in (9, 7, 3, 1)]
    assert [item[0].lines[1] for item in profile.tiles] == ["yaw 40°", "yaw -50°", "yaw -70°"]


def test_a_leak_stands_beside_the_nearest_face_held_out(tmp_path):
    rows = [face(n, published_split="test", split="test") for n in range(5)]
    rows.append(face(5, published_split="train", split=None, drop_reason="leak", hash=flip(rows[3]["hash"], 7)))
    crops = Crops(make_set(tmp_path, rows))
    sheet = leak_sheet(frame(rows), crops, mirrored=False)
    ((leak, held),) = sheet.tiles
    assert (leak.badge, held.badge, held.alt) == (
        "7 bits apart",
        "in val or test",
        "kept: face f000003, sad, from clip_0.mp4",
    )
    assert leak_sheet(frame(rows[:5]), crops, mirrored=False) is None


def test_a_mirrored_copy_is_as_far_as_its_mirror_image():
    rows = [face(0), face(1, duplicate_of="f000000")]
    rows[1] |= {"mirrored_hash": flip(rows[0]["hash"], 5), "hash": flip(rows[0]["hash"], 99)}
    table = frame(rows)
    assert duplicate_bits(table, table.iloc[1:], mirrored=True).tolist() == [5]
    assert duplicate_bits(table, table.iloc[1:]).tolist() == [99]


def test_the_widest_groups_of_the_record_come_first(tmp_path):
    rows = [face(n) for n in range(9)]
    for n, best in ((1, 0), (2, 0), (3, 0), (6, 5), (8, 7)):
        rows[n] |= {"duplicate_of": f"f{best:06d}", "drop_reason": "duplicate"}
    crops = Crops(make_set(tmp_path, rows))
    widest = {"widest_groups": [["f000007", 2, 30], ["f000000", 4, 20], ["gone", 2, 9]]}
    sheets, count = group_sheets(frame(rows), widest, crops)
    assert [(s.title, s.note) for s in sheets] == [
        ("f000007", "2 faces, diameter 30 bits"),
        ("f000000", "4 faces, diameter 20 bits"),
    ]
    assert count == 3
    assert [s.title for s in group_sheets(frame(rows), {}, crops)[0]] == ["f000000", "f000005", "f000007"]


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (300, "ingest took in 300 frames, 30 a second."),
        (100, "ingest took in 100 frames, 10 a second. Earlier runs had decoded the other 200 frames."),
        (0, "nothing new to decode. Earlier runs had decoded the other 300"),
    ],
)
def test_the_time_is_summed_and_speed_is_that_of_this_run(frames, told):
    record = {
        "frames": {"decoded": 300},
        "timings": {
            "ingest_s": 10.0,
            "split_s": 70.0,
            "report_s": 99.0,
            "ingest_frames": frames,
            "ingest_stages_s": {"find": 8.0, "decode": 2.0},
        },
    }
    found = timing(record)
    assert [(bar.name, bar.spent) for bar in found.stages] == [("ingest", "10.0 s"), ("split", "70.0 s")]
    assert [(bar.name, bar.share) for bar in found.ingest] == [("decode", 0.25), ("find", 1.0)]
    assert found.summary.startswith("80.0 s in all by the clock")
    assert told in found.summary
    assert timing({}).summary == ""


def test_words_and_units():
    assert [seconds(s) for s in (0.5, 99.94, 100, 3725)] == ["0.50 s", "99.9 s", "1 min 40 s", "1 h 02 min"]
    assert (many(1, "face"), many(2000, "face"), many(2, "person", "people")) == ("1 face", "2,000 faces", "2 people")
    assert [value(item) for item in (None, (), {}, ("a", 1), True)] == ["not set", "none", "none", "a, 1", "true"]
    tree = {"b": [{"x": 1}, {"x": {"y": 2}}], "a": [1, 2]}
    assert flatten(tree) == [("a", [1, 2]), ("b[0].x", 1), ("b[1].x.y", 2)]


def rich(rows):
    """Give rows of which every section of the page has something to show."""
    for n, row in enumerate(rows):
        row |= {"track": f"t{n // 5}", "yaw_deg": float(n - 30), "box_w": 50.0 + n, "valence": n / 60, "arousal": 0.1}
        row |= {"au_1": float(n % 2), "fold": n // 10 % 3, "published_split": row["split"]}
        row["subject_confidence"] = 0.5 if n < 30 else None
    rows[15] |= {"drop_reason": "leak", "split": None, "repeat": None}
    return rows


SECTIONS = {"checks", "funnel", "classes", "splits", "kept", "dropped", "duplicates", "conflicts", "quality"}
SECTIONS |= {"sources", "people", "tracks", "inputs", "time", "making"}


def test_every_section_is_there_and_every_table_is_within_its_frame(tmp_path, rows):
    record = record_of(rich(rows))
    record["units"][0] = record["units"][0] | {"error": "broken"}
    record["dedup"]["conflicts"] = [["f000030", "f000032", 12]]
    record["split"] |= {"folds": 3, "fold": 1}
    page = report(make_set(tmp_path, rows, record))
    assert page.sections() == SECTIONS
    links = {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")}
    assert links == SECTIONS
    assert "nan" not in page.text.lower()
    assert page.row("au_1")
    assert page.row("1, test")
    assert "Balanced by class: cap median; oversampling: equal." in page.text


def test_balance_by_action_unit_is_said_below_the_units(tmp_path, rows):
    record = record_of(rich(rows), balance={"by": "au", "cap": 3, "keep": "diverse", "oversample": "sqrt"})
    text = report(make_set(tmp_path, rows, record)).text
    told = "Balanced by action unit: cap 3, kept by choice of diverse faces; oversampling: sqrt."
    assert text.index("au_1") < text.index(told)
    assert "Balanced by class" not in text


@pytest.mark.parametrize("name", [HOSTILE[0], HOSTILE[1], HOSTILE[4]])
def test_hostile_text_in_every_column_and_every_entry_of_the_record_shows_as_text(tmp_path, rows, name):
    ids = {row["face_id"]: f"{name}{row['face_id']}" for row in rich(rows)}
    for n, row in enumerate(rows):
        row["face_id"], row["duplicate_of"] = ids[row["face_id"]], ids.get(row.get("duplicate_of"))
        for column, kind in FIELDS.items():
            if kind == pa.string() and column not in ("face_id", "duplicate_of", "drop_reason", "crop"):
                row[column] = f"{name}{n % 5}"
    record = json.loads(json.dumps(record_of(rows)), object_hook=lambda table: hostile(table, name))
    record["frames"] = record_of(rows)["frames"]
    record["dedup"] |= {"conflicts": [[f"{name}f000001", f"{name}f000002", 3]], "widest_groups": [[name, 2, 3]]}
    record["dedup"] |= {"within": name, "hash_kind": name}
    record["identify"] = {"threshold": name, "faces_described": 3}
    record["balance"] |= {"cap": name, "notes": [name]}
    record["split"] |= {"folds": 3, "fold": 1}
    record["timings"] |= {"ingest_stages_s": {name: 2.0}, f"{name}_s": 1.0}
    record["labels"] = [name]
    page = report(make_set(tmp_path, rows, record))
    assert page.sections() == SECTIONS
    assert not {"script", "iframe", "object", "link", "form", "base"} & {*page.tags}
    assert len(page.pictures()) == page.tags.count("img")
    assert not [key for _, key, _ in page.attributes if key.startswith("on")]
    assert not [
        text for tag, key, text in page.attributes if key in ("src", "href") and not text.startswith(("#", "data:"))
    ]
    assert page.text.count(name) > 100
    assert "49" not in page.row(name)[0][0]


def hostile(table, name):
    """Put `name` into every text and beside every table of a record."""
    told = {key: f"{name}{text}" if isinstance(text, str) else text for key, text in table.items()}
    told = {key: [name] if key == "notes" else entry for key, entry in told.items()}
    if "rows" in told:
        return told | {"error": name}
    return told | ({name: name} if "min_interocular" in told or "eyeline" in told or not told else {})
