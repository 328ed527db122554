"""The page of a cascade and its pictures."""

import json
import math
import warnings

import numpy as np
import pytest
from matplotlib.font_manager import findfont, get_font

from curate.manifest import read_curation, read_manifest, write_curation, write_manifest
from tests.curate.report_sets import HOSTILE, Page
from train.cascade import Labels, make_report, render, write_matrices
from train.cascade.drawings import draw_matrix
from train.evaluate import write_report

from .cascade_cases import (
    IS_FACE,
    LABELS,
    LIKELIEST,
    by_hand,
    relabelled,
    said_of,
    systems,
    ten_rows,
    worked_by_hand,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return ten_rows(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def report(root):
    return worked_by_hand(root)


def page_of(report, folder):
    write_report(report, render, folder)
    return Page(folder / "report.html")


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    return page_of(report, folder), folder


def test_the_page_shows_the_record(page, report):
    shown, folder = page
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(report.record))
    assert shown.sections() == {
        "summary", "matrices", "errors", "filter", "classes", "examples", "leaks", "making",
    }  # fmt: skip
    cells = shown.row("Accuracy over all rows")[0]
    assert [cell[:5] for cell in cells[1:]] == ["0.400", "0.600", "0.900"]
    assert [cell[:5] for cell in shown.row("Gain over")[0][1:]] == ["\u2013", "0.200", "0.500"]
    (row,) = [row for row in shown.row("With the filter") if "60.0 %" in row[1]]
    assert [cell.split()[0] for cell in row[1:5]] == ["6", "1", "1", "2"]
    assert shown.row("--face")[0][1:3] == ["0.500", "6"]
    assert len(shown.row("not_face")[0]) == 2 + 3 * 3
    labels = [value for tag, name, value in shown.attributes if (tag, name) == ("svg", "aria-label")]
    assert [label.split(": ")[-1] for label in labels] == ["4 of 10 right", "6 of 10 right", "9 of 10 right"]
    assert "joy, answered not_face: 1 of 3" in shown.text
    assert any("not_face" in tile and "face: 60.0 %" in tile and "emotion: joy (80 %)" in tile for tile in shown.tiles)


def test_the_page_needs_nothing_from_outside(page):
    shown, _ = page
    assert "script" not in shown.tags
    addresses = [value for _, name, value in shown.attributes if name in ("src", "href")]
    assert all(value.startswith(("data:image/webp;base64,", "#")) for value in addresses)
    links = {value[1:] for tag, name, value in shown.attributes if (tag, name) == ("a", "href")}
    assert links <= shown.sections()
    assert "url(" not in shown.source


def test_a_matrix_is_drawn_as_it_is_counted(report):
    drawn = draw_matrix(report.record["systems"][1], LABELS.names)
    assert [cell.count for cell in drawn.cells[4:8]] == ["1", "1", "0", "1"]
    assert [cell.share for cell in drawn.cells[4:8]] == ["33 %", "33 %", "", "33 %"]
    assert [cell.is_hit for cell in drawn.cells[4:8]] == [False, True, False, False]
    assert drawn.cells[15].shade == pytest.approx(0.85 * 0.75, abs=1e-3)
    assert drawn.corner[0] + max(cell.x for cell in drawn.cells) + 42 <= drawn.size[0]
    assert drawn.corner[1] + max(cell.y for cell in drawn.cells) + 42 <= drawn.size[1]
    names = [f"class {i}" for i in range(25)]
    many = draw_matrix({"title": "", "rows": 0, "confusion": np.eye(25, dtype=int).tolist()}, names)
    assert {cell.count for cell in many.cells} == {""}


@pytest.mark.parametrize("name", ["joy", "W" * 40, "喜び" * 9, "очень длинная эмоция", "a\nb", "\u202e" * 3])
def test_no_name_leaves_its_drawing(name):
    """Where the letters of DejaVu Sans, wider than those of most fonts, would end; those of East Asia are square."""
    drawn = draw_matrix({"title": "", "rows": 0, "confusion": np.zeros((3, 3), int).tolist()}, [name, "b", "not_face"])
    for shown, at in drawn.names:
        assert shown.isprintable()
        wide = width_of(shown)
        slanted = (wide + 12) / math.sqrt(2)
        assert wide + 6 <= drawn.corner[0]
        assert slanted <= drawn.corner[0] + at + 4
        assert drawn.corner[1] + 3 * 42 + 4 + slanted <= drawn.size[1]
    assert drawn.names[0][0].rstrip("…") in name.replace("\n", " ").replace("\u202e", " ")
    assert drawn.names[0][0].endswith("…") == (len(name) > 16)


def width_of(name):
    font = get_font(findfont("DejaVu Sans"))
    font.set_size(12, 72)
    font.set_text("".join(letter for letter in name if ord(letter) < 0x3000))
    return font.get_width_height()[0] / 64 + 12 * sum(ord(letter) >= 0x3000 for letter in name)


def test_letters_that_the_pictures_font_lacks_are_no_noise(root, tmp_path):
    labels = Labels(("sad", "joy", "喜び"), "face", ("not_face",))
    found = relabelled(root, tmp_path / "set", ["sad", "sad", *["joy"] * 3, "喜び", *["not_face"] * 4])
    report = make_report(by_hand(found, said_of(IS_FACE, LIKELIEST), labels=labels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_matrices(report.record, tmp_path)
    assert page_of(report, tmp_path).row("喜び")


def test_rows_that_do_not_count_are_said(root, tmp_path):
    found = relabelled(root, tmp_path, ["sad", "sad", "joy", "joy", None, "calm", "not_face", "bored", "bored", "face"])
    said = said_of(IS_FACE, LIKELIEST).take(np.array([0, 1, 2, 3, 5, 6, 9]))
    page = page_of(make_report(by_hand(found, said)), tmp_path / "out")
    assert "Left out, since no network knows the label: 2 bored, 1 without a label" in page.text
    assert "1 row labelled face: faces of no known emotion" in page.text


def test_pictures_of_the_matrices_are_written(report, tmp_path):
    files = write_matrices(report.record, tmp_path)
    assert sorted(files) == [f"confusion-{key}.png" for key in ("alone", "filter", "improved")]
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in files)


def test_hostile_names_show_as_text_and_lost_crops_are_said(root, tmp_path):
    rows = read_manifest(root)
    rows["source"] = [HOSTILE[i % len(HOSTILE)] for i in range(len(rows))]
    evil = "<img src=x onerror=alert(1)>"
    rows["label"] = rows["label"].replace({"sad": evil, "not_face": "<b>no</b>"})
    write_manifest(tmp_path, rows)
    write_curation(tmp_path, read_curation(root))
    labels = Labels((evil, "joy", "calm"), "face", ("<b>no</b>",))
    report = make_report(by_hand(tmp_path, said_of(IS_FACE, LIKELIEST), labels=labels))
    page = page_of(report, tmp_path / "out")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not page.pictures()  # there are no crops below this set
    assert "2 crops to be shown here could not be read" in page.text
    assert page.row(evil)
    assert "script" not in page.tags


def test_an_emotion_without_a_row_is_said(root, tmp_path):
    found = relabelled(root, tmp_path, ["sad", "sad", *["joy"] * 4, *["not_face"] * 4])
    report = make_report(by_hand(found, said_of(IS_FACE, LIKELIEST)))
    assert systems(report)["filter"]["absent_classes"] == ["calm"]
    assert "No row is calm: it has no recall" in page_of(report, tmp_path / "out").text
