"""Tables that name pictures, with boxes of faces; and csv files that hold the pictures themselves."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from align import Box, UsageError
from curate.config import Dataset, Rename, Sample, Source
from curate.sources import Item, list_units, open_item
from tests.curate.source_kinds import items_of, picture, write_parquet


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in "abc":
        picture(tmp_path / "pictures" / f"{name}.png")
    return tmp_path


def _error(item: Item) -> str:
    with open_item(item, Sample()) as reader:
        assert list(reader) == []
    return reader.error


def test_a_table_without_a_header_is_read_by_places_and_its_paths_renamed(root: Path) -> None:
    (root / "list.txt").write_text("a.jpg 1\nb.jpg 2\n")
    source = Source(
        "tables",
        "list.txt",
        header=False,
        columns={"path": 1, "label": 2},
        files=Rename(r"^(.+)\.jpg$", r"pictures/\1.png"),
        label_names={"1": "happy"},
        subject_from=r"pictures/(\w)",
    )
    items = items_of(source, root)
    assert [item.source for item in items] == ["pictures/a.png", "pictures/b.png"]
    assert [dict(item.labels.whole) for item in items] == [
        {"label": "happy", "subject": "a"},
        {"label": "2", "subject": "b"},
    ]


def test_a_parquet_table_gives_the_same_items_as_a_csv(root: Path) -> None:
    write_parquet(root / "t.parquet", path=["pictures/b.png", "pictures/a.png"], label=["x", None], valence=[0.5, None])
    (root / "t.csv").write_text("path,label,valence\npictures/b.png,x,0.5\npictures/a.png,,\n")
    assert items_of(Source("tables", "t.parquet"), root) == items_of(Source("tables", "t.csv"), root)


def test_what_the_table_says_wins_over_annotations_and_these_over_the_path(root: Path) -> None:
    (root / "t.csv").write_text("path,label\npictures/a.png,own\npictures/b.png,\npictures/c.png,\n")
    (root / "labels.csv").write_text("source,label,subject\npictures/a.png,theirs,s\npictures/b.png,theirs,\n")
    source = Source("tables", "t.csv", annotations="labels.csv", label_from=r"^(\w+)/", subject="all")
    assert [dict(item.labels.whole) for item in items_of(source, root)] == [
        {"label": "own", "subject": "s"},
        {"label": "theirs", "subject": "all"},
        {"label": "pictures", "subject": "all"},
    ]


def test_rows_of_one_picture_become_numbered_faces_with_their_boxes(root: Path) -> None:
    (root / "t.csv").write_text(
        "path,box_left,box_top,box_right,box_bottom,label\n"
        "pictures/a.png,1,2,5,8,x\n"
        "pictures/b.png,0,0,4,4,y\n"
        "pictures/a.png,4,2.5,8,6,z\n"
    )
    items = items_of(Source("tables", "t.csv"), root)
    assert [(item.source, item.box) for item in items] == [
        ("pictures/a.png[0]", Box(1, 2, 4, 6)),
        ("pictures/b.png", Box(0, 0, 4, 4)),
        ("pictures/a.png[1]", Box(4, 2.5, 4, 3.5)),
    ]
    assert len({item.source_id for item in items}) == 3
    assert {item.path.name for item in items} == {"a.png", "b.png"}


def test_corner_and_size_give_a_box_a_code_none_and_an_empty_one_is_recorded(root: Path) -> None:
    (root / "t.csv").write_text(
        "path,face_x,face_y,face_width,face_height\n"
        "pictures/a.png,3,2,5,4\n"
        "pictures/b.png,NULL,NULL,NULL,NULL\n"
        "pictures/c.png,3,2,0,4\n"
    )
    columns = {"box_x": "face_x", "box_y": "face_y", "box_w": "face_width", "box_h": "face_height"}
    a, b, c = items_of(Source("tables", "t.csv", columns=columns, missing=("NULL",)), root)
    assert (a.box, b.box, c.box) == (Box(3, 2, 5, 4), None, None)
    assert _error(c) == (
        "pictures/c.png: expected a face box with a width and height above 0 (found 0 x 4); mend its row"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "path,label\n../../etc/passwd,x\n",
            "line 2: expected a path below the source's root (got '../../etc/passwd')",
        ),
        ("path,label\npictures/a.png,x\n/etc/passwd,x\n", "line 3: expected a path below the source's root"),
        ("path,label\nC:\\a.png,x\n", "line 2: expected a path below the source's root"),
        ("path,label\npictures/../../a.png,x\n", "line 2: expected a path below the source's root"),
        ("path,label\npictures/a.png,x\n,y\n", "line 3: expected a path (found an empty cell)"),
        ("path,label\npictures/a.png,x\npictures/a.png,y\n", "one line for 'pictures/a.png' (found lines 2 and 3)"),
        ("name,label\na,x\n", "expected rows with a column path (found label); name it in columns"),
        ("path,label\n", "expected rows with a column path (found no rows)"),
        ("path,label\nx.png,x\ny.png,x\n", "expected pictures below"),
        ("path,box_x,box_y\npictures/a.png,1,2\n", "expected the columns box_x, box_y, box_w, box_h together"),
        ("path,box_left,box_top\npictures/a.png,1,2\n", "(found no box_right, box_bottom)"),
        ("path,box_x\npictures/a.png,left\n", "line 2: box_x must be a number"),
    ],
)
def test_tables_that_do_not_fit_are_refused(root: Path, text: str, sentence: str) -> None:
    (root / "t.csv").write_text(text)
    with pytest.raises(UsageError) as caught:
        items_of(Source("tables", "t.csv"), root)
    assert sentence in str(caught.value)
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def _pixels(root: Path, *lines: str, header: str = "emotion,pixels,Usage", **keys) -> list[Item]:
    (root / "faces.csv").write_bytes(("\ufeff" + header + "\r\n" + "\r\n".join(lines) + "\r\n").encode())
    return items_of(Source("pixels", "faces.csv", columns={"label": "emotion"}, **keys), root)


def test_pixels_are_read_from_their_own_line(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 48, 48))
    lines = [f"{n},{' '.join(map(str, picture.ravel()))},Training" for n, picture in enumerate(values)]
    lines[1] = lines[1].replace(",", ',"', 1)[::-1].replace(",", ',"', 1)[::-1]
    items = _pixels(tmp_path, lines[0], "", *lines[1:], label_names={"2": "happy"})
    assert [item.source for item in items] == [f"faces.csv[{row}]" for row in range(3)]
    assert [item.labels.whole["label"] for item in items] == ["0", "1", "happy"]
    for item, wanted in reversed(list(zip(items, values, strict=True))):
        with open_item(item, Sample()) as reader:
            (frame,) = reader
        assert np.array_equal(frame.rgb(), np.repeat(wanted[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0,1 2 3,Training", "expected the pixels of a square picture (found 3 numbers)"),
        ("0,,Training", "expected the pixels of a square picture (found 0 numbers)"),
        ("0,1 2 x 4,Training", "expected whole numbers from 0 to 255 (could not convert string to float: 'x')"),
        ("0,1 2 256 4,Training", "expected whole numbers from 0 to 255 (found 256)"),
        ("0,1 2 -1 4,Training", "expected whole numbers from 0 to 255 (found -1)"),
        ("0,1 2 nan 4,Training", "expected whole numbers from 0 to 255 (found nan)"),
        ("0,1 2 3.5 4,Training", "expected whole numbers from 0 to 255 (found 3.5)"),
        ("0,1 2 3 4", "line 3: expected 3 cells (found 2)"),
        ("0,1 2 3 4,Training,more", "line 3: expected 3 cells (found 4)"),
    ],
)
def test_a_broken_line_of_pixels_is_recorded_and_the_others_are_read(tmp_path: Path, line: str, sentence: str) -> None:
    good, bad, last = _pixels(tmp_path, "0,1 2 3 4,Training", line, "1,5 6 7 8,Training")
    assert sentence in _error(bad)
    assert _error(bad).startswith("faces.csv[1]: ")
    for item in (good, last):
        with open_item(item, Sample()) as reader:
            assert [frame.luma.shape for frame in reader] == [(2, 2)]
    assert last.labels.whole["label"] == "1"


@pytest.mark.parametrize(
    ("header", "lines", "sentence"),
    [
        ("emotion,pixel,Usage", ["0,1,Training"], "a header with the column 'pixels' (found 'emotion, pixel, Usage')"),
        ("feeling,pixels,Usage", ["0,1,Training"], "expected a column 'emotion' (found feeling, Usage)"),
        ("emotion,pixels,Usage", [], "expected lines with pixels under the header (found none)"),
        ("emotion,pixels,split", ["0,1,train", "1,2,extra"], "line 3: split must be train, val or test"),
    ],
)
def test_a_csv_without_pixels_is_refused(tmp_path: Path, header: str, lines: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        _pixels(tmp_path, *lines, header=header)
    assert sentence in str(caught.value)


def test_a_thousand_lines_are_a_unit_and_listing_holds_no_pixels(tmp_path: Path) -> None:
    """What is kept of a line is its place: the peak stays far under the file's 12 MB."""
    line = f"3,{' '.join(['200'] * 2304)},Training\n"
    (tmp_path / "faces.csv").write_text("emotion,pixels,Usage\n" + line * 1300)
    dataset = Dataset(Source("pixels", "faces.csv", columns={"label": "emotion"}))
    tracemalloc.start()
    units = list(list_units(dataset, tmp_path, tmp_path / "out"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(unit.items) for unit in units] == [1000, 300]
    assert peak < 4e6


def test_a_table_beside_the_pixels_wins_over_their_own_labels(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("Usage,happiness,NF\nTraining,3,1\nPublicTest,0,9\n")
    (tmp_path / "faces.csv").write_text("emotion,pixels,Usage\n0,1 2 3 4,Training\n1,1 2 3 4,PublicTest\n")
    source = Source(
        "pixels",
        "faces.csv",
        labels_file="new.csv",
        votes=("happiness", "NF"),
        columns={"split": "Usage", "pixels": "pixels"},
        label_names={"NF": ""},
        split_names={"Training": "train", "PublicTest": "val"},
    )
    assert [dict(item.labels.whole) for item in items_of(source, tmp_path)] == [
        {"label": "happiness", "published_split": "train"},
        {"published_split": "val"},
    ]
