import base64
import io

import numpy as np
import pytest
from PIL import Image

from align import EyelineError, UsageError
from curate import read_manifest
from curate.outcome import DropReason
from curate.report import write_report
from curate.report.tallies import REASONS
from tests.curate.report_sets import HOSTILE, make_set, picture, record_of, report


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
    assert source[2:5] == ["10", "10", "7"]
    assert source[6] == "2 duplicate, 1 blurred"


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
    assert not {"kept", "dropped", "duplicates", "quality", "sources", "people", "tracks"} & page.sections()


def test_a_record_with_nothing_but_its_name_has_a_page(tmp_path, rows):
    record = {"schema": 1, "dataset": "demo", "title": "Bare"}
    bare = [row | dict.fromkeys(("split", "repeat", "subject", "label")) for row in rows]
    page = report(make_set(tmp_path, bare, record))
    assert "Frames were not counted" in page.text
    assert "The set is not split" in page.text
    assert not page.failed()


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


def test_no_set_and_an_unknown_reason_are_refused_in_a_sentence(tmp_path, rows):
    with pytest.raises(UsageError, match="make it with: eyeline-curate run"):
        write_report(tmp_path)
    rows[0] |= {"drop_reason": "boredom"}
    with pytest.raises(EyelineError, match="boredom"):
        write_report(make_set(tmp_path, rows))
    assert not (tmp_path / "report" / "index.html").exists()


def test_every_reason_for_dropping_a_row_is_explained() -> None:
    """A reason without a meaning would end the report of the first set that holds it."""
    assert set(REASONS) == set(DropReason)
