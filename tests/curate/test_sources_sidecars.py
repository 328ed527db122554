"""Files of labels beside each picture or video: found by a pattern, by frame or whole, absent ones leave no label."""

from pathlib import Path

import numpy as np
import pytest

from align import UsageError
from curate.config import Sidecar, Source
from tests.curate.source_kinds import items_of, picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("S1/1.png", "S1/2.png", "S2/1.png"):
        picture(tmp_path / "media" / name)
    return tmp_path


def _write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def _whole(root: Path, *sidecars: Sidecar, **keys) -> list[dict]:
    source = Source("images", "media", sidecars=sidecars, **keys)
    return [dict(item.labels.whole) for item in items_of(source, root)]


EMOTION = Sidecar(r"(S\d)/(\d)\.png", r"labels/\1_\2.txt", header=False, columns={"label": 1})


def test_one_value_beside_a_picture_is_its_label_and_an_absent_file_leaves_none(root: Path) -> None:
    _write(root, "labels/S1_2.txt", "   3.0000000e+00\n")
    _write(root, "labels/S2_1.txt", "\n")
    assert _whole(root, EMOTION, label_names={"3": "happy"}) == [{}, {"label": "happy"}, {}]


def test_no_file_at_all_is_an_error_that_names_the_first(root: Path) -> None:
    with pytest.raises(UsageError) as caught:
        _whole(root, EMOTION)
    assert "expected labels like labels/\\1_\\2.txt beside the images" in str(caught.value)
    assert "the first looked for: labels/S1_1.txt" in str(caught.value)
    with pytest.raises(UsageError, match=r"none: 'nothing' is in no path"):
        _whole(root, Sidecar("nothing", "x.txt"))


def test_lines_of_units_and_intensities_become_columns_and_those_looked_for_are_0(root: Path) -> None:
    _write(root, "facs/1.txt", "  1.0e+00   3.0\n  12.0   0.0000\n")
    sidecar = Sidecar(r"S1/(\d)", r"facs/\1.txt", header=False, columns={"au": 1, "intensity": 2}, au=(1, 2, 12))
    assert _whole(root, sidecar) == [{"au_1": 3.0, "au_2": 0.0, "au_12": 0.0}, {}, {}]
    assert _whole(root, sidecar, au_threshold=0)[0] == {"au_1": 1.0, "au_2": 0.0, "au_12": 1.0}


def test_a_file_for_each_unit_labels_frames_by_their_number(root: Path) -> None:
    _write(root, "au/S1_au1.txt", "1,0\n2,3\n3,9\n")
    _write(root, "au/S1_au12.txt", "2,5\n1,1\n")
    sidecar = Sidecar(
        r"(S\d)/1",
        r"au/\1_au*.txt",
        header=False,
        separator=",",
        columns={"frame": 1, "intensity": 2},
        first_frame=1,
        au_from=r"_au(\d+)\.txt",
        missing=(9,),
    )
    first, *others = items_of(Source("images", "media", sidecars=(sidecar,), au_threshold=2), root)
    assert dict(first.labels.frames) == {0: {"au_1": 0.0, "au_12": 0.0}, 1: {"au_1": 1.0, "au_12": 1.0}}
    assert not any(item.labels.frames for item in others)


def test_a_matrix_with_units_as_header_gives_each_picture_the_line_of_its_frame(root: Path, capsys) -> None:
    _write(root, "occ/S1.csv", "0,1,2,12\n2,0,1,9\n3,1,1,1\n")
    sidecar = Sidecar(
        r"(S\d)/\d",
        r"occ/\1.csv",
        columns={"frame": 1},
        au_header=True,
        frame_from=r"(\d)\.png$",
        missing=(9,),
    )
    assert _whole(root, sidecar) == [{}, {"au_1": 0.0, "au_2": 1.0}, {}]
    required = Sidecar(**{**sidecar.__dict__, "required": True})
    source = Source("images", "media", sidecars=(required,))
    assert [item.source for item in items_of(source, root)] == ["media/S1/2.png"]
    assert "2 of 3 images are left out: no labels lie beside them" in capsys.readouterr().err


def test_lines_that_are_frames_keep_their_codes_apart_and_tell_the_part(root: Path) -> None:
    _write(root, "VA/Train_Set/1.txt", "valence,arousal\n-1,0.5\n-5,-5\n0.25,-5\n")
    _write(root, "EXPR/Validation_Set/1.txt", "Neutral,Anger,Other\n0\n-1\n7\n4\n")
    common = {"media": r"S1/(\d)", "row_is_frame": True, "split_from": "/(Train|Validation)_Set/"}
    va = Sidecar(path=r"VA/*_Set/\1.txt", separator=",", missing=(-5,), **common)
    expr = Sidecar(path=r"EXPR/*_Set/\1.txt", separator="tab", columns={"label": 1}, missing=(-1,), **common)
    names = {"label_names": {"0": "neutral", "4": "happy", "7": ""}, "split_names": {"Train": "train"}}
    item = items_of(Source("images", "media", sidecars=(va,), **names), root)[0]
    assert dict(item.labels.frames) == {0: {"valence": -1.0, "arousal": 0.5}, 2: {"valence": 0.25}}
    assert item.labels.whole == {"published_split": "train"}
    with pytest.raises(UsageError, match=r"Validation_Set/1.txt: split must be train, val or test"):
        items_of(Source("images", "media", sidecars=(va, expr), **names), root)
    names["split_names"]["Validation"] = "val"
    item = items_of(Source("images", "media", sidecars=(va, expr), **names), root)[0]
    assert item.labels.at(0, None) == {"label": "neutral", "valence": -1.0, "arousal": 0.5, "published_split": "train"}
    assert item.labels.at(1, None) == {"published_split": "train"}
    assert item.labels.at(3, None) == {"label": "happy", "published_split": "train"}
    assert item.labels.vocabulary() == {"neutral", "happy"}


def test_npy_files_of_one_value_are_labels(root: Path) -> None:
    (root / "annotations").mkdir()
    np.save(root / "annotations" / "1_exp.npy", np.array("3"))
    np.save(root / "annotations" / "1_val.npy", np.array("-2"))
    np.save(root / "annotations" / "2_val.npy", np.array([0.25]))
    sidecars = [
        Sidecar(r"S1/(\d)", rf"annotations/\1_{short}.npy", columns={name: 1})
        for short, name in (("exp", "label"), ("val", "valence"))
    ]
    assert _whole(root, *sidecars, label_names={"3": "happy"}, missing=(-2,)) == [
        {"label": "happy"},
        {"valence": 0.25},
        {},
    ]
    np.save(root / "annotations" / "2_val.npy", np.array("x"))
    with pytest.raises(UsageError, match=r"annotations/2_val\.npy: value 0: valence must be a number"):
        _whole(root, *sidecars)
    np.save(root / "annotations" / "2_val.npy", np.zeros(2))
    with pytest.raises(UsageError, match=r"annotations/2_val\.npy: expected one number or word"):
        _whole(root, *sidecars)


def test_what_a_path_says_is_never_a_pattern(root: Path) -> None:
    picture(root / "media" / "[x].png")
    _write(root, "l/x.txt", "wrong")
    _write(root, "l/[x].txt", "right")
    sidecar = Sidecar(r"media/(\S+)\.png", r"?/\1.txt", header=False, columns={"label": 1})
    assert _whole(root, sidecar)[-1] == {"label": "right"}


@pytest.mark.parametrize(
    ("text", "keys", "sentence"),
    [
        ("a\nb\n", {"columns": {"label": 1}}, "expected one line, or a column frame (found 2 lines)"),
        ("1 x\n", {"columns": {"au": 1, "intensity": 2}}, "line 1: intensity must be a number"),
        ("1 1\n1 2\n", {"columns": {"au": 1, "intensity": 2}}, "expected a line for each action unit"),
        ("1.5 1\n", {"columns": {"au": 1, "intensity": 2}}, "expected a line for each action unit"),
        ("0 1\n", {"columns": {"frame": 1, "au_1": 2}, "first_frame": 1}, "line 1: frame must be 1 or more"),
        ("2 1\n2 0\n", {"columns": {"frame": 1, "au_1": 2}}, "expected one line for frame 2 (found lines 1 and 2)"),
        ("2 7\n", {"columns": {"frame": 1, "au_1": 2}}, "line 1: au_1 must be 0, 1 or an intensity up to 5"),
        ("2 1\n", {"columns": {"frame": 1, "intensity": 2}, "au_from": "(x)"}, "an action unit's number in its path"),
        ("2 1\n", {"columns": {"frame": 1, "intensity": 3}}, "expected a column 3 (found 2 columns)"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(root: Path, text: str, keys: dict, sentence: str) -> None:
    _write(root, "labels/S1.txt", text)
    with pytest.raises(UsageError) as caught:
        _whole(root, Sidecar(r"(S1)/", r"labels/\1.txt", header=False, **keys))
    assert sentence in str(caught.value)
    assert "labels/S1.txt" in str(caught.value)
    assert "\n" not in str(caught.value)
