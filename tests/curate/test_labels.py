"""Labels in tables: by source, frame and time; codes, names, votes, action units; what does not fit is one sentence."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import UsageError
from curate.config import Source
from curate.config.source import au_name
from curate.sources.annotations import read_annotations
from curate.sources.labels import FrameTable, Interval, Labels
from curate.sources.reading import Reading
from tests.curate.source_kinds import items_of, picture, write_parquet


@pytest.fixture
def csv(tmp_path: Path):
    def write(text: str | bytes, name: str = "labels.csv") -> Path:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / name

    return write


def test_annotations_by_source_frame_and_interval(csv) -> None:
    path = csv(
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
    assert labels["a.mp4"].vocabulary() == {"neutral", "happy", "NA"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\na.mp4,x\n", "expected a column source"),
        ("source,comment\na.mp4,x\n", "one of label, subject, split, valence, arousal"),
        (
            "source,valence\na.mp4,high\n",
            "line 2: valence must be a number; mend it, or list it in missing (got 'high')",
        ),
        ("source,valence\na.mp4,0\n\nb,nan\nc,x\n", "line 4: valence must be a number"),
        ("source,valence\na.mp4,nan\na.mp4,x\n", "(got 'nan', and 1 more like it)"),
        ("source,start_s,label\na.mp4,1,x\n", "start_s and end_s together"),
        ("source,start_s,end_s,label\na.mp4,1,,x\n", "line 2: start_s and end_s together are required"),
        ("source,frame,label\na.mp4,7.5,x\n", "line 2: frame must be an integer >= 0 (got"),
        ("source,frame,label\na.mp4,-1,x\n", "line 2: frame must be an integer >= 0 (got"),
        ("source,frame,label\na.mp4,inf,x\n", "line 2: frame must be a number"),
        ("source,start_s,end_s,label\na.mp4,2,1,x\n", "line 2: start_s must be 0 or more and before end_s"),
        ("source,label\nother.mp4,x\n", "expected sources like those that the path matches (found 'other.mp4' first)"),
        ("source,split\na.mp4,Training\n", "line 2: split must be train, val or test; name it in split_names"),
        ("source,au_4\na.mp4,9\n", "line 2: au_4 must be 0, 1 or an intensity up to 5; list a code for the unknown"),
        ("source,AU4,au_4\na.mp4,1,1\n", "expected one column for au_4 (found 'AU4' and 'au_4')"),
        ("source,label\na.mp4,x,y\n", "expected a table with as many cells in each line"),
        ("source,label,note\na.mp4,x,n\nb,y,n,m\n", "(line 3 has 4, the first one 3); mend the file, or its separator"),
        ("source,label\na.mp4,x\na.mp4,y\n", "expected one label for 'a.mp4' (found 'x' in line 2 and 'y' in line 3)"),
        ("source,frame,label\na.mp4,3,x\na.mp4,3,y\n", "expected one label for 'a.mp4' frame 3 (found 'x' in line 2"),
        ("", "expected a table (found an empty file)"),
        (b"source,label\na.mp4,fr\xf6hlich\n", "expected text in UTF-8 (found byte 0xf6); save the file as UTF-8"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(csv, text: str | bytes, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_annotations(csv(text), ["a.mp4", "b"])
    assert sentence in str(caught.value)
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_annotations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"labels\.csv: expected a table \(no such file\)"):
        read_annotations(tmp_path / "labels.csv", ["a.mp4"])


def test_rows_about_unknown_sources_are_counted_in_a_notice(csv, capsys) -> None:
    labels = read_annotations(csv("source,label\nx,1\na,2\ny,3\n"), ["a"])
    assert labels == {"a": Labels({"label": "2"})}
    assert "2 of 3 rows are about sources that the path does not match, 'x' first" in capsys.readouterr().err
    read_annotations(csv("source,label\na,2\n"), ["a"])
    assert capsys.readouterr().err == ""


def test_rows_that_say_the_same_or_add_to_each_other_are_one(csv) -> None:
    text = "source,frame,label,valence\na,,x,\na,,x,0.5\na,3,y,\na,3,y,1\na,3,,1\n"
    labels = read_annotations(csv(text), ["a"])["a"]
    assert labels.whole == {"label": "x", "valence": 0.5}
    assert dict(labels.frames) == {3: {"label": "y", "valence": 1.0}}


def test_a_byte_order_mark_other_separators_and_blanks_are_read(csv) -> None:
    csv("\ufeffsource;label\r\na ; x \r\n")
    source = Source("images", ".", annotations="labels.csv", separator=";")
    assert read_annotations(csv("\ufeffsource;label\r\na ; x \r\n"), ["a"], Reading.of_source(source)) == {
        "a": Labels({"label": "x"})
    }
    assert read_annotations(csv("source\tlabel\na\ttwo words\n", "l.tsv"), ["a"])["a"].whole == {"label": "two words"}
    assert read_annotations(csv("  source   label\n a  x\n", "l.txt"), ["a"])["a"].whole == {"label": "x"}


def test_parquet_is_read_like_text(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "l.parquet", source=["a", "b"], label=[3, None], au_1=[0.5, None], other=[[1], [2]])
    names = Reading(label_names={"3": "happy"})
    assert read_annotations(path, ["a", "b"], names) == {
        "a": Labels({"label": "happy", "au_1": 0.5}),
        "b": Labels({}),
    }
    path.write_bytes(b"no parquet at all")
    with pytest.raises(UsageError, match=r"l\.parquet: expected a Parquet file \("):
        read_annotations(path, ["a"])
    write_parquet(path, source=["a"], label=[[1]])
    with pytest.raises(UsageError, match=r"expected text or numbers in label \(found list"):
        read_annotations(path, ["a"])


def test_names_codes_and_thresholds_apply_to_annotations(csv) -> None:
    source = Source(
        "images",
        ".",
        columns={"source": "file", "label": "emotion", "split": "Usage"},
        label_names={"3": "happy", "8": ""},
        split_names={"Training": "train", "Extra": ""},
        missing=(-2, "n/a"),
        au_threshold=2,
    )
    text = (
        "file,emotion,Usage,valence,AU01_r,au12\n"
        "a,3.0000000e+00,Training,-2,2,1.9\n"
        "b,8,Extra,n/a,-2,5\n"
        "c,-2.0,Training,0.5,0,\n"
        "d,4,,-0.5,2,2\n"
    )
    found = read_annotations(csv(text), "abcd", Reading.of_source(source))
    assert found["a"].whole == {"label": "happy", "published_split": "train", "au_1": 1.0, "au_12": 0.0}
    assert found["b"].whole == {"au_12": 1.0}
    assert found["c"].whole == {"published_split": "train", "valence": 0.5, "au_1": 0.0}
    assert found["d"].whole == {"label": "4", "valence": -0.5, "au_1": 1.0, "au_12": 1.0}


@pytest.mark.parametrize("columns", [{"source": "nowhere"}, {"source": 5}])
def test_a_column_that_is_not_there_is_named(csv, columns: dict) -> None:
    with pytest.raises(UsageError, match=r"expected a column .* \(found file, label\); mend columns"):
        read_annotations(csv("file,label\na,x\n"), ["a"], Reading(columns=columns))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("AU1", "au_1"), ("au01", "au_1"), ("AU01_r", "au_1"), ("AU12_c", "au_12"), ("au_45", "au_45"), ("Au_04", "au_4")],
)
def test_an_action_units_name_has_one_spelling(theirs: str, ours: str) -> None:
    assert au_name(theirs) == ours


@pytest.mark.parametrize("theirs", ["au", "au_0", "audio", "AU123", "au_x", "12"])
def test_other_names_are_no_action_units(theirs: str) -> None:
    assert au_name(theirs) is None


def test_the_most_voted_label_counts_and_a_tie_is_unlabelled(csv, tmp_path: Path) -> None:
    for name in "abcdef":
        picture(tmp_path / f"{name}.png")
    csv(
        "path,happiness,sadness,unknown,NF\n"
        "a.png,7,3,0,0\n"
        "b.png,5,5,0,0\n"
        "c.png,1,2,7,0\n"
        "d.png,0,0,0,10\n"
        "e.png,0,0,0,0\n"
        "f.png,,3,1,\n"
    )
    source = Source(
        "tables",
        "labels.csv",
        votes=("happiness", "sadness", "unknown", "NF"),
        label_names={"happiness": "happy", "sadness": "sad", "unknown": "", "NF": ""},
    )
    assert [item.labels.whole.get("label") for item in items_of(source, tmp_path)] == [
        "happy",
        None,
        None,
        None,
        None,
        "sad",
    ]


_VALUES = st.fixed_dictionaries(
    {}, optional={"label": st.sampled_from("abc"), "valence": st.floats(-1, 1), "au_3": st.sampled_from([0.0, 1.0])}
)


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 2**40), _VALUES, max_size=8))
def test_a_frame_table_is_the_mapping_that_it_was_made_of(frames: dict[int, dict]) -> None:
    columns = {name: [frames[index].get(name) for index in sorted(frames)] for name in ("label", "valence", "au_3")}
    table = pd.DataFrame(
        {name: pd.Series(column, dtype=object if name == "label" else float) for name, column in columns.items()}
    )
    made = FrameTable.of(np.array(sorted(frames), np.int64), table)
    assert dict(made) == frames
    assert made == pickle.loads(pickle.dumps(made)) == copy.deepcopy(made)  # noqa: S301  our own
    assert repr(made) == repr(pickle.loads(pickle.dumps(made)))  # noqa: S301
    assert made.words("label") == {values["label"] for values in frames.values() if "label" in values}
    assert made.get(2**41) is None


@settings(deadline=None)
@given(st.integers(0, 3), st.sampled_from(["label", "au_3"]))
def test_a_frame_table_prints_another_digest_when_any_value_changes(place: int, name: str) -> None:
    table = pd.DataFrame({"label": list("abab"), "au_3": [0.0, 1.0, 0.0, np.nan]})
    frames = np.arange(4)
    before = repr(FrameTable.of(frames, table))
    table.loc[place, name] = "c" if name == "label" else 0.5
    assert repr(FrameTable.of(frames, table)) != before
    assert repr(FrameTable.of(frames + 1, table)) != repr(FrameTable.of(frames, table))


def test_labels_over_others_win_where_they_say_something() -> None:
    strong = Labels({"label": "a"}, {1: {"label": "x"}}, (Interval(0, 1, {"label": "i"}),))
    weak = Labels({"label": "b", "subject": "s"}, {1: {"valence": 0.5}, 2: {"label": "y"}}, (Interval(0, 2, {}),))
    both = strong.over(weak)
    assert both.whole == {"label": "a", "subject": "s"}
    assert dict(both.frames) == {1: {"label": "x", "valence": 0.5}, 2: {"label": "y"}}
    assert both.intervals == (Interval(0, 2, {}), Interval(0, 1, {"label": "i"}))
    assert both.at(0, 0.5)["label"] == "i"
    assert Labels().over(weak) == weak
    assert strong.over(Labels()) is strong


_CELLS = st.one_of(
    st.sampled_from(["a", "b", "", "1", "-1", "0.5", "nan", "1e999", "train", '"', "NA", "source", "frame"]),
    st.text(max_size=4),
)
_NAMES = st.sampled_from(["source", "label", "frame", "start_s", "end_s", "split", "valence", "AU1", "au_1", "x", ""])


@settings(deadline=None)
@given(
    st.lists(_NAMES, max_size=5), st.lists(st.lists(_CELLS, max_size=6), max_size=5), st.sampled_from([",", "\t", " "])
)
def test_any_text_is_labels_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], rows: list[list[str]], separator: str
) -> None:
    suffix = {",": "csv", "\t": "tsv", " ": "txt"}[separator]
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes("\n".join(separator.join(row) for row in [header, *rows]).encode("utf-8", "surrogatepass"))
    try:
        said = repr(read_annotations(path, ["a", "b"]))
    except UsageError as error:
        said = str(error)
        assert str(path) in said
    assert "\n" not in said
