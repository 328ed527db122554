"""One contract for every kind of source, then what is peculiar to pictures, lists and arrays."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from align import UsageError
from curate.config import Dataset, RowLabel, Sample, Source
from curate.sources import list_units, open_item
from tests.curate.source_kinds import KINDS, Made, items_of, picture


@pytest.fixture(params=sorted(KINDS))
def made(request: pytest.FixtureRequest, tmp_path: Path, clips: Path) -> tuple[Made, Path]:
    root = tmp_path / "set"
    root.mkdir()
    return KINDS[request.param](root, clips), root


def _fingerprint(made: Made, root: Path) -> list[str]:
    """What the pipeline digests of each unit."""
    units = list_units(Dataset(made.source), root, root / "out")
    items = [([{**asdict(item), "path": None} for item in unit.items], unit.stamp) for unit in units]
    return [json.dumps(some, sort_keys=True, default=str) for some in items]


def test_every_kind_gives_sorted_items_with_distinct_ids_and_labels(made: tuple[Made, Path]) -> None:
    items = items_of(made[0].source, made[1])
    assert len(items) == 3
    assert [item.source for item in items] == sorted(item.source for item in items)
    assert len({item.source_id for item in items}) == 3
    assert all(len(item.source_id) == 12 for item in items)
    assert [item.labels.at(0, None)["label"] for item in items] == ["happy", "sad", "sad"]


def test_every_kind_gives_the_same_wherever_it_lies(made: tuple[Made, Path], tmp_path: Path) -> None:
    first = items_of(made[0].source, made[1])
    made[1].rename(tmp_path / "elsewhere")
    again = items_of(made[0].source, tmp_path / "elsewhere")
    assert [(item.source, item.source_id, item.labels) for item in first] == [
        (item.source, item.source_id, item.labels) for item in again
    ]


def test_every_kind_opens_upright_pictures_of_one_size_and_records_what_is_broken(made: tuple[Made, Path]) -> None:
    """After a journey to another process, too."""
    for item in pickle.loads(pickle.dumps(items_of(made[0].source, made[1]))):  # noqa: S301  our own
        frames = []
        with open_item(item, Sample(every=2)) as reader:
            for frame in reader:
                rgb = frame.rgb()
                assert rgb.dtype == frame.luma.dtype == np.uint8
                assert rgb.shape == (*frame.luma.shape, 3)
                frames.append(frame.index)
        assert frames == list(range(0, reader.decoded, 2))
        if item.source == made[0].broken:
            assert frames == []
            assert Path(made[0].broken).name in reader.error
            assert "\n" not in reader.error
        else:
            assert frames
            assert reader.error is None


def test_every_kind_notices_a_changed_file_and_changed_labels(made: tuple[Made, Path]) -> None:
    what, root = made
    first = _fingerprint(what, root)
    assert first == _fingerprint(what, root)
    renamed = replace(what, source=replace(what.source, label_names={"happy": "joyful"}))
    changed = [before != after for before, after in zip(first, _fingerprint(renamed, root), strict=True)]
    assert changed[0]
    assert sum(changed) == 1
    what.changed.write_bytes(what.changed.read_bytes() + b"\n")
    assert _fingerprint(what, root)[0] != first[0]


def test_every_kind_turns_labels_into_the_vocabulary(made: tuple[Made, Path]) -> None:
    source = replace(made[0].source, label_names={"happy": "joyful", "sad": ""}, split="val", subject="anna")
    items = items_of(source, made[1])
    assert [item.labels.at(0, None).get("label") for item in items] == ["joyful", None, None]
    assert [item.labels.at(0, None)["published_split"] for item in items] == ["val"] * 3
    assert [item.labels.at(0, None)["subject"] for item in items] == ["anna"] * 3


def test_every_kind_says_where_its_files_must_lie_and_where_to_ask(made: tuple[Made, Path]) -> None:
    source = replace(made[0].source, path="none/at.all")
    with pytest.raises(UsageError) as caught:
        items_of(source, made[1], homepage="https://example.org/set")
    sentence = str(caught.value)
    assert str(made[1] / "none/at.all") in sentence
    assert "check the path and --root" in sentence
    assert "ask for it at https://example.org/set" in sentence


def test_every_kind_leaves_the_sets_own_folder_alone(made: tuple[Made, Path]) -> None:
    what, root = made
    listed = root / what.source.path if what.source.kind not in ("videos", "images") else what.changed
    source = replace(what.source, path=f"**/{listed.name}")
    alone = items_of(source, root)
    (root / "out" / "crops").mkdir(parents=True)
    (root / "out" / "crops" / listed.name).write_bytes(listed.read_bytes())
    (root / "out" / listed.name).write_bytes(listed.read_bytes())
    assert items_of(source, root) == alone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("happy/s1_b.png", "happy/s1_a.png", "sad/s2_a.jpg", "sad/.hidden.png"):
        picture(tmp_path / "set" / name)
    (tmp_path / "set" / "notes.txt").write_text("x")
    return tmp_path / "set"


def test_a_folder_of_classes_gives_label_subject_and_part_by_its_paths(folder: Path) -> None:
    source = Source(
        "images",
        ".",
        label_from="^(.+?)/",
        label_names={"sad": "sadness"},
        subject_from=r"(s\d+)_",
        split_from=r"s(\d)_",
        split_names={"1": "train", "2": "test"},
    )
    items = items_of(source, folder)
    assert [item.source for item in items] == ["happy/s1_a.png", "happy/s1_b.png", "sad/s2_a.jpg"]
    assert [item.labels.whole["label"] for item in items] == ["happy", "happy", "sadness"]
    assert [item.labels.whole["subject"] for item in items] == ["s1", "s1", "s2"]
    assert [item.labels.whole["published_split"] for item in items] == ["train", "train", "test"]


def test_a_part_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"happy/s1_a.png: split must be train, val or test \(got '1'\)"):
        items_of(Source("images", ".", split_from=r"s(\d)_"), folder)


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
        items_of(Source("videos", path), folder)
    assert sentence in str(caught.value)
    assert str(folder / path) in str(caught.value)


def test_a_folder_of_pictures_leaves_videos_alone_and_keeps_broken_links(folder: Path) -> None:
    (folder / "clip.mpg").write_bytes(b"video")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    items = items_of(Source("images", "."), folder)
    assert [item.source for item in items if "/" not in item.source] == ["gone.png"]
    with open_item(next(item for item in items if item.source == "gone.png"), Sample()) as reader:
        assert list(reader) == []
    assert "no such file" in reader.error


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the package 'no_such_package' to ship it"):
        items_of(Source("videos", "a.mp4", package="no_such_package"), tmp_path)


def test_a_list_of_files_gives_them_in_its_order_once(folder: Path) -> None:
    (folder / "list.txt").write_bytes("\ufeffsad/s2_a.jpg\r\n\r\nhappy/s1_a.png\nsad/s2_a.jpg\ngone.png\n".encode())
    items = items_of(Source("images", "list.txt", label_from="^(.+?)/"), folder)
    assert [item.source for item in items] == ["sad/s2_a.jpg", "happy/s1_a.png", "gone.png"]
    with open_item(items[2], Sample()) as reader:
        assert list(reader) == []
    assert "gone.png" in reader.error


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sad/s2_a.jpg\n../../etc/passwd\n", "list.txt: line 2: expected a path below the source's root"),
        ("/etc/passwd\n", "list.txt: line 1: expected a path below the source's root (got '/etc/passwd')"),
        ("C:\\pictures\\a.png\n", "line 1: expected a path below the source's root"),
        ("\n\n", "expected paths of pictures, one a line (found none)"),
        ("a.png\nb.png\n", "(none of the 2 is there, 'a.png' first); check the list and --root"),
    ],
)
def test_a_list_that_leaves_the_root_or_names_nothing_is_refused(folder: Path, text: str, sentence: str) -> None:
    (folder / "list.txt").write_text(text)
    with pytest.raises(UsageError) as caught:
        items_of(Source("images", "list.txt"), folder)
    assert sentence in str(caught.value)


def test_arrays_give_a_picture_a_row_with_its_label(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 4 * 5 * 6).reshape(4, 5, 6)
    np.save(tmp_path / "a.npy", values)
    source = Source("arrays", "a.npy", rows=(RowLabel(0, 1, "yes"), RowLabel(2, 2, "no")))
    items = items_of(source, tmp_path)
    assert [item.source for item in items] == [f"a.npy[{row}]" for row in range(4)]
    assert [item.labels.whole.get("label") for item in items] == ["yes", "yes", "no", None]
    with open_item(items[3], Sample()) as reader:
        shown = next(iter(reader)).rgb()
    assert np.array_equal(shown[:, :, 0], np.rint(values[3] * 255).astype(np.uint8))
    assert np.array_equal(shown[:, :, 0], shown[:, :, 2])


@pytest.mark.parametrize("array", [np.zeros((3, 4)), np.zeros((3, 4, 5, 6)), np.zeros((3, 4, 5), np.int32)])
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UsageError, match=r"expected uint8 or floats of \[N, H, W\]"):
        items_of(Source("arrays", "a.npy"), tmp_path)


def test_a_pickled_array_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match=r"expected a \.npy array"):
        items_of(Source("arrays", "a.npy"), tmp_path)
    for compressed in (np.savez, np.savez_compressed):
        compressed(tmp_path / "b.npz", pictures=np.array([{"x": 1}], dtype=object))
        with pytest.raises(UsageError, match=r"expected a \.npz file of arrays"):
            items_of(Source("arrays", "b.npz"), tmp_path)


def test_annotations_of_an_array_are_by_row_and_comments_are_ignored(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 9)))
    (tmp_path / "labels.csv").write_text("source,frame,label,comment\na.npy,0,x,first one\na.npy,2,y,\n")
    items = items_of(Source("arrays", "a.npy", annotations="labels.csv"), tmp_path)
    assert [item.labels.at(0, None).get("label") for item in items] == ["x", None, "y"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_npz_file_gives_pictures_with_the_labels_of_its_other_arrays(tmp_path: Path, save) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 6, 5), dtype=np.uint8)
    save(
        tmp_path / "a.npz",
        x=np.asfortranarray(pictures),
        y=np.array([[2], [0], [1]]),
        who=np.array(["a", "b", ""]),
        AU12=[0.0, np.nan, 1.0],
    )
    source = Source("arrays", "a.npz", columns={"label": "y", "subject": "who"}, label_names={"2": "happy", "0": ""})
    items = items_of(source, tmp_path)
    assert [dict(item.labels.whole) for item in items] == [
        {"label": "happy", "subject": "a", "au_12": 0.0},
        {"subject": "b"},
        {"label": "1", "au_12": 1.0},
    ]
    for number, item in enumerate(items):
        with open_item(item, Sample()) as reader:
            assert np.array_equal(next(iter(reader)).rgb()[:, :, 0], pictures[number])


@pytest.mark.parametrize(
    ("arrays", "columns", "sentence"),
    [
        ({"a": np.zeros((2, 3, 3)), "b": np.zeros((2, 3, 3))}, {}, "name it with columns = { pictures = ... }"),
        ({"a": np.zeros((2, 3, 3))}, {"pictures": "x"}, "expected an array 'x' of pictures (found a)"),
        ({"a": np.zeros((2, 3, 3)), "label": np.zeros(3)}, {}, "expected 2 numbers or words in the array 'label'"),
        ({"a": np.zeros((2, 3, 3)), "valence": np.array(["x", "1"])}, {}, "row 0: valence must be a number"),
    ],
)
def test_a_npz_file_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict, columns: dict, sentence: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError) as caught:
        items_of(Source("arrays", "a.npz", columns=columns), tmp_path)
    assert sentence in str(caught.value)
    assert "a.npz" in str(caught.value)


def _in_directory(field: int, value: int) -> Callable[[bytearray], None]:
    """Change a field of a zip's only directory entry, and the same one of the member's own header."""

    def change(whole: bytearray) -> None:
        whole[whole.rindex(b"PK\x01\x02") + field] = value
        whole[field - 2] = value

    return change


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_in_directory(8, 1), id="encrypted"),
        pytest.param(_in_directory(10, 9), id="another compression"),
        pytest.param(_in_directory(10, 14), id="lzma in name"),
        pytest.param(_in_directory(6, 99), id="a later version"),
        pytest.param(lambda whole: whole.__setitem__(slice(42, 90), bytes(48)), id="zeros"),
        pytest.param(lambda whole: whole.__delitem__(slice(len(whole) // 2, None)), id="cut off"),
    ],
)
def test_a_npz_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, save, damage) -> None:
    save(tmp_path / "a.npz", x=np.random.default_rng(0).integers(0, 256, (3, 6, 5), dtype=np.uint8))
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    damage(whole)
    (tmp_path / "a.npz").write_bytes(whole)
    with pytest.raises(UsageError) as caught:
        items_of(Source("arrays", "a.npz"), tmp_path)
    assert "a.npz: expected a .npz file of arrays (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_of_a_npz_file_that_is_damaged_inside_is_one_sentence(tmp_path: Path, method: int) -> None:
    array = io.BytesIO()
    np.save(array, np.random.default_rng(0).integers(0, 9, (30, 60, 50), dtype=np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("x.npy", array.getvalue())
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    assert len(items_of(Source("arrays", "a.npz"), tmp_path)) == 30
    whole[1000:1008] = b"\xff" * 8
    (tmp_path / "a.npz").write_bytes(whole)
    with pytest.raises(UsageError, match=r"a\.npz: expected a \.npz file of arrays \("):
        items_of(Source("arrays", "a.npz"), tmp_path)


@pytest.mark.parametrize("rows", [(RowLabel(0, 3, "x"),), (RowLabel(2, 1, "x"),), (RowLabel(3, 3, "x"),)])
def test_labels_of_rows_that_are_not_there_are_refused(tmp_path: Path, rows: tuple) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 9)))
    with pytest.raises(UsageError, match=r"expected rows from 0 to 2 \(found "):
        items_of(Source("arrays", "a.npy", rows=rows), tmp_path)
    (tmp_path / "labels.csv").write_text("source,frame,label\na.npy,3,x\n")
    with pytest.raises(UsageError, match=r"expected annotations of its 3 rows, 0 to 2 \(found row 3\)"):
        items_of(Source("arrays", "a.npy", annotations="labels.csv"), tmp_path)


def test_two_labels_for_one_row_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 9)))
    with pytest.raises(UsageError, match=r"expected one label for row 1 \(found \['x', 'y'\]\)"):
        items_of(Source("arrays", "a.npy", rows=(RowLabel(0, 1, "x"), RowLabel(1, 2, "y"))), tmp_path)


def test_a_table_beside_an_array_labels_its_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 9)))
    (tmp_path / "labels.csv").write_text("label,split\nx,train\n,\nz,test\n")
    source = Source("arrays", "a.npy", labels_file="labels.csv")
    assert [dict(item.labels.whole) for item in items_of(source, tmp_path)] == [
        {"label": "x", "published_split": "train"},
        {},
        {"label": "z", "published_split": "test"},
    ]
    (tmp_path / "labels.csv").write_text("label\nx\ny\n")
    with pytest.raises(UsageError, match=r"expected a row for each of the 3 pictures of a\.npy, .* \(found 2\)"):
        items_of(source, tmp_path)
