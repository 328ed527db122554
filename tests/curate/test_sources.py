from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from align import UsageError
from curate.config import Dataset, RowLabel, Source
from curate.sources import list_units, open_item
from curate.sources.labels import read_annotations


def _items(source: Source, root: Path) -> list:
    return [item for unit in list_units(Dataset(source), root, root / "out") for item in unit.items]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("happy/s1_b.png", "happy/s1_a.png", "sad/s2_a.jpg", "sad/.hidden.png", "notes.txt"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("x")
        else:
            Image.new("RGB", (8, 6), (200, 10, 10)).save(path)
    return tmp_path / "set"


def test_a_folder_of_classes_gives_sorted_items_with_label_and_subject(folder: Path) -> None:
    source = Source("images", ".", label_from="^(.+?)/", label_names={"sad": "sadness"}, subject_from=r"(s\d+)_")
    items = _items(source, folder)
    assert [item.source for item in items] == ["happy/s1_a.png", "happy/s1_b.png", "sad/s2_a.jpg"]
    assert [item.labels.whole["label"] for item in items] == ["happy", "happy", "sadness"]
    assert [item.labels.whole["subject"] for item in items] == ["s1", "s1", "s2"]
    assert len({item.source_id for item in items}) == 3


def test_the_same_path_gives_the_same_id_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    first = _items(Source("images", "happy"), moved)
    moved.rename(folder)
    assert [item.source_id for item in first] == [item.source_id for item in _items(Source("images", "happy"), folder)]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("none.mp4", "expected a file, a folder or a glob (found none)"),
        ("*.mp4", "expected videos that match (found none)"),
        ("empty", "expected a folder with videos (found none)"),
    ],
)
def test_a_path_that_matches_nothing_is_refused(folder: Path, path: str, sentence: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        _items(Source("videos", path), folder)
    assert sentence in str(caught.value)
    assert str(folder / path) in str(caught.value)


def test_a_folder_of_pictures_leaves_videos_alone_and_keeps_broken_links(folder: Path) -> None:
    (folder / "clip.mpg").write_bytes(b"video")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    items = _items(Source("images", "."), folder)
    assert [item.source for item in items if "/" not in item.source] == ["gone.png"]
    with open_item(next(item for item in items if item.source == "gone.png"), 1) as reader:
        assert list(reader) == []
    assert "no such file" in reader.error


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the package 'no_such_package' to ship it"):
        _items(Source("videos", "a.mp4", package="no_such_package"), tmp_path)


@pytest.mark.parametrize("kind", ["videos", "images", "arrays"])
def test_every_kind_keeps_the_contract_of_a_reader(kind: str, clips: Path, folder: Path, tmp_path: Path) -> None:
    """Luma and RGB of one size, frames counted and in order; an item that is broken says so and does not raise."""
    if kind == "arrays":
        np.save(tmp_path / "a.npy", np.random.default_rng(0).random((3, 8, 9)))
    root, path = {
        "videos": (clips, "carphone_pristine.mp4"),
        "images": (folder, "happy"),
        "arrays": (tmp_path, "a.npy"),
    }[kind]
    items = _items(Source(kind, path), root)
    for item in items:
        with open_item(item, 40) as reader:
            frames = []
            for frame in reader:
                rgb = frame.rgb()
                assert rgb.dtype == frame.luma.dtype == np.uint8
                assert rgb.shape == (*frame.luma.shape, 3)
                frames.append(frame.index)
        assert frames == list(range(0, reader.decoded, 40))
        assert reader.error is None
    if kind != "arrays":
        broken = tmp_path / ("broken" + items[0].path.suffix)
        broken.write_bytes(b"broken")
        (item,) = _items(Source(kind, broken.name), tmp_path)
        with open_item(item, 1) as reader:
            assert list(reader) == []
        assert broken.name in reader.error


def test_arrays_give_a_picture_a_row_with_its_label(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 4 * 5 * 6).reshape(4, 5, 6)
    np.save(tmp_path / "a.npy", values)
    source = Source("arrays", "a.npy", rows=(RowLabel(0, 1, "yes"), RowLabel(2, 2, "no")))
    items = _items(source, tmp_path)
    assert [item.source for item in items] == [f"a.npy[{row}]" for row in range(4)]
    assert [item.labels.whole.get("label") for item in items] == ["yes", "yes", "no", None]
    with open_item(items[3], 1) as reader:
        picture = next(iter(reader)).rgb()
    assert np.array_equal(picture[:, :, 0], np.rint(values[3] * 255).astype(np.uint8))
    assert np.array_equal(picture[:, :, 0], picture[:, :, 2])


@pytest.mark.parametrize("array", [np.zeros((3, 4)), np.zeros((3, 4, 5, 6)), np.zeros((3, 4, 5), np.int32)])
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UsageError, match=r"expected uint8 or floats of \[N, H, W\]"):
        _items(Source("arrays", "a.npy"), tmp_path)


def test_a_pickled_array_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match=r"expected a \.npy array"):
        _items(Source("arrays", "a.npy"), tmp_path)


def test_values_out_of_range_in_an_array_are_recorded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((1, 4, 4), np.nan))
    (item,) = _items(Source("arrays", "a.npy"), tmp_path)
    with open_item(item, 1) as reader:
        assert list(reader) == []
    assert "finite values from 0 to 1" in reader.error


def test_annotations_by_source_frame_and_interval(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "source,frame,start_s,end_s,label,valence,au_12\n"
        "a.mp4,,,,neutral,,\n"
        "a.mp4,,1.0,2.0,happy,0.5,1\n"
        "a.mp4,7,,,NA,-0.25,\n"
    )
    labels = read_annotations(path, ["a.mp4", "b.mp4"])
    assert set(labels) == {"a.mp4"}
    assert labels["a.mp4"].at(0, 0.0) == {"label": "neutral"}
    assert labels["a.mp4"].at(30, 1.0) == {"label": "happy", "valence": 0.5, "au_12": 1}
    assert labels["a.mp4"].at(60, 2.0) == {"label": "neutral"}
    assert labels["a.mp4"].at(7, 1.5) == {"label": "NA", "valence": -0.25, "au_12": 1}  # NA is a word like any other


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\na.mp4,x\n", "expected a column source"),
        ("source,comment\na.mp4,x\n", "one of label, subject, valence, arousal"),
        ("source,valence\na.mp4,high\n", "line 2: valence must be a number (got 'high')"),
        ("source,start_s,label\na.mp4,1,x\n", "start_s and end_s together"),
        ("source,frame,label\na.mp4,7.5,x\n", "line 2: frame must be an integer >= 0 (got"),
        ("source,frame,label\na.mp4,inf,x\n", "line 2: frame must be a number"),
        ("source,start_s,end_s,label\na.mp4,2,1,x\n", "line 2: start_s must be 0 or more and before end_s"),
        ("source,label\nother.mp4,x\n", "expected sources like those that the path matches (found 'other.mp4' first)"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_annotations(tmp_path / "labels.csv", ["a.mp4"])
    assert sentence in str(caught.value)
    assert "labels.csv" in str(caught.value)


def test_annotations_of_an_array_are_by_row_and_comments_are_ignored(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 9)))
    (tmp_path / "labels.csv").write_text("source,frame,label,comment\na.npy,0,x,first one\na.npy,2,y,\n")
    items = _items(Source("arrays", "a.npy", annotations="labels.csv"), tmp_path)
    assert [item.labels.at(0, None).get("label") for item in items] == ["x", None, "y"]


def test_missing_annotations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?i)no such file"):
        read_annotations(tmp_path / "labels.csv", ["a.mp4"])
