from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import UsageError
from curate.config import Dataset, Dedup, Source
from curate.registry import load_dataset, parse_dataset, registry_tables

MINIMAL = '[drivers]\nsource = { kind = "videos", path = "clips/*.mp4" }\n'


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "datasets.toml"
        path.write_text(text)
        return path

    return write


def test_defaults_fill_what_the_table_leaves_out(write) -> None:
    dataset = load_dataset("drivers", write(MINIMAL))
    assert dataset.sources[0].path == "clips/*.mp4"
    assert dataset.align.crop_spec().size == 224
    assert dataset.resolved()["dedup"] == asdict(Dedup())
    assert set(dataset.resolved()) == set(Dataset.__dataclass_fields__)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sample = { every = 0 }", "[drivers].sample.every must be an integer >= 1 (got 0)"),
        ('sample = { every = "5" }', "[drivers].sample.every must be an integer (got '5')"),
        ("sample = { evry = 5 }", "[drivers].sample.evry is not a known key; did you mean every?"),
        ("smaple = { every = 5 }", "[drivers].smaple is not a known key; did you mean sample?"),
        ("sample = 5", "[drivers].sample must be a table (got 5)"),
        ('align = { detector = "hgo" }', "[drivers].align: detector must be one of blazeface, cnn, haar, hog,"),
        ("align = { size = 3 }", "[drivers].align: size must be a whole number of pixels from 8 to 4096, or two"),
        ('balance = { cap = "mean" }', "cap must be one of an integer, 'median', 'smallest' (got 'mean')"),
        ("gates = { min_sharpness = -1 }", "[drivers].gates: min_sharpness must be a number >= 0"),
        ("split = { val = 0.7, test = 0.7 }", "[drivers].split: val and test must sum to 1 at most (got 0.7 + 0.7)"),
        ('labels = "happy"', "[drivers].labels must be a list (got 'happy')"),
        ('dedup = { hash = "md5" }', "[drivers].dedup.hash must be one of 'phash64', 'phash256'"),
        ("sample = { unchanged = true }", "unchanged must be a number of grey levels or false (got True)"),
        ("sample = { unchanged = -1 }", "[drivers].sample.unchanged must be a number >= 0"),
        ("title = 3", "[drivers].title must be a string (got 3)"),
    ],
)
def test_an_error_names_file_key_expected_and_found(write, line: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_dataset("drivers", write(MINIMAL + line))
    assert str(caught.value).startswith("datasets.toml: ")
    assert sentence in str(caught.value)


def test_looking_at_every_frame_can_be_asked_for(write) -> None:
    dataset = load_dataset("drivers", write(MINIMAL + "sample = { unchanged = false }"))
    assert dataset.sample.unchanged_levels is None


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ('{ path = "a" }', "[d].source.kind is required (not found)"),
        ('{ kind = "films", path = "a" }', "[d].source.kind must be one of 'videos', 'images', 'tables',"),
        ('[{ kind = "videos", path = "a" }, { kind = "videos", path = 3 }]', "[d].source[1].path must be a string"),
        (
            '[{ kind = "videos", path = "a", lable = "x" }]',
            "[d].source[0].lable is not a known key; did you mean label?",
        ),
        ("[]", "source must be a table or a list of them (got none)"),
        ('"clips/*.mp4"', "[d].source must be a table or a list (got 'clips/*.mp4')"),
        ('{ kind = "videos", path = "/data/a.mp4" }', "path must be relative to --root (got '/data/a.mp4')"),
        ('{ kind = "images", path = "a", label_from = "(" }', "label_from must be a regular expression"),
        ('{ kind = "images", path = "a", subject_from = "x" }', "subject_from must have one group in parentheses"),
        ('{ kind = "images", path = "a", split = "dev" }', "[d].source.split must be one of 'train', 'val', 'test'"),
        (
            '{ kind = "images", path = "a", split_names = { x = "dev" } }',
            "[d].source.split_names must be one of 'train', 'val', 'test', '' (got",
        ),
        (
            '{ kind = "images", path = "a", rows = [{ first = 0, last = 1, label = "x" }] }',
            "rows is for sources of kind arrays (got kind 'images')",
        ),
        ('{ kind = "tables", path = "a", columns = { lable = "x" } }', "columns must name arousal, au, box_bottom,"),
        ('{ kind = "tables", path = "a", columns = { AU1 = "x" } }', "or au_<number> (got 'AU1')"),
        ('{ kind = "tables", path = "a", columns = { label = 0 } }', "columns must count from 1 (got label = 0)"),
        (
            '{ kind = "tables", path = "a", header = false, columns = { label = "x" } }',
            "columns must be numbers where there is no header (got label = 'x')",
        ),
        (
            '{ kind = "tables", path = "a", columns = { label = 1, path = 1 } }',
            "columns must name each of the table's once (got 1 as label and path)",
        ),
        ('{ kind = "tables", path = "a", files = { find = "(", replace = "" } }', "find must be a regular expression"),
        (
            '{ kind = "tables", path = "a", files = { find = "a", replace = "\\\\1" } }',
            "replace must name groups of 'a' only (invalid group reference 1",
        ),
        (
            '{ kind = "images", path = "a", sidecars = [{ media = "x", path = "\\\\2.txt" }] }',
            "[d].source.sidecars[0]: path must name groups of 'x' only",
        ),
        (
            '{ kind = "images", path = "a", sidecars = [{ media = "x", path = "/etc/x" }] }',
            "path must be relative to --root (got '/etc/x')",
        ),
        (
            '{ kind = "pixels", path = "a", sidecars = [{ media = "x", path = "y" }] }',
            "sidecars is for sources of kind",
        ),
        ('{ kind = "images", path = "a", annotations = "/a.csv" }', "annotations must be relative to --root"),
    ],
)
def test_an_error_in_a_source_names_which_one(write, source: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_dataset("d", write(f"[d]\nsource = {source}\n"))
    assert sentence in str(caught.value)


def test_a_missing_name_offers_the_nearest(write) -> None:
    with pytest.raises(UsageError, match=r"expected a table \[driver\] \(not found\); did you mean drivers\b"):
        load_dataset("driver", write(MINIMAL))
    with pytest.raises(UsageError, match=r"the registry holds .*lfw-subset"):
        load_dataset("zzzzz")


@pytest.mark.parametrize("text", ["[drivers", "a = \x00", "drivers = 3"])
def test_what_is_no_registry_is_refused(write, text: str) -> None:
    with pytest.raises(UsageError, match=r"datasets\.toml"):
        load_dataset("drivers", write(text))


def test_a_missing_registry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: expected a registry like datasets\.toml \(no such file\)"):
        load_dataset("drivers", tmp_path / "none.toml")


def test_the_users_registry_adds_to_the_shipped_one_and_wins(write) -> None:
    write(MINIMAL + '[lfw-subset]\ntitle = "mine"\nsource = { kind = "videos", path = "b" }\n')
    tables = registry_tables()  # the working folder's
    assert {"drivers", "face-or-not", "lfw-subset"} <= set(tables)
    assert load_dataset("lfw-subset").title == "mine"


def test_a_table_like_another_takes_over_what_it_does_not_say(write) -> None:
    write(
        '[a]\nsource = { kind = "videos", path = "a", label = "x" }\nsplit = { val = 0.2, seed = 3 }\nlabels = ["x"]\n'
        '[b]\nlike = "a"\nsplit = { val = 0.4 }\n'
        '[c]\nlike = "b"\nsource = { path = "c" }\nlabels = ["x", "y"]\n'
    )
    a, b, c = map(load_dataset, "abc")
    assert (a.split.val, b.split.val, c.split.val) == (0.2, 0.4, 0.4)
    assert {d.split.seed for d in (a, b, c)} == {3}
    assert b.sources == a.sources
    assert (c.sources[0].path, c.sources[0].label, c.labels) == ("c", "x", ("x", "y"))
    assert a.labels == b.labels == ("x",)


def test_a_users_table_may_be_like_a_shipped_one(write) -> None:
    write('[mine]\nlike = "fer2013"\nbalance = { oversample = true }\n')
    assert load_dataset("mine").sources == load_dataset("fer2013").sources
    assert load_dataset("mine").balance.oversample is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[d]\nlike = "none"\n', r"\[d\]\.like must be the name of a table \(got 'none'\)"),
        ("[d]\nlike = 3\n", r"\[d\]\.like must be the name of a table \(got 3\)"),
        ('[d]\nlike = "d"\n', r"\[d\]\.like must lead to a table that stands alone \(got 'd'"),
        ('[d]\nlike = "e"\n[e]\nlike = "d"\n', r"\[e\]\.like must lead to a table that stands alone \(got 'd'"),
    ],
)
def test_a_table_like_nothing_or_like_itself_is_refused(write, text: str, said: str) -> None:
    write(text)
    with pytest.raises(UsageError, match=said):
        load_dataset("d")


def test_every_shipped_dataset_is_valid_and_has_its_licence() -> None:
    for name in registry_tables():
        dataset = load_dataset(name)
        assert dataset.title, name
        assert dataset.licence, name
        assert dataset.homepage, name


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
_KEYS = st.one_of(
    st.sampled_from([*Dataset.__dataclass_fields__, *Source.__dataclass_fields__, "every", "hash", "cap", "size"]),
    st.text(max_size=6),
)
_TABLES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_KEYS, _TABLES, max_size=5), st.booleans())
def test_any_table_is_a_dataset_or_one_sentence(table: dict, with_source: bool) -> None:
    if with_source:
        table = {**table, "source": {"kind": "images", "path": "a"}}
    try:
        said = "" if parse_dataset(table, "datasets.toml: [d]").sources else "no source"
    except UsageError as error:
        said = str(error).removeprefix("datasets.toml: [d]")
        assert len(said) < len(str(error))  # noqa: PT017  any table is a case of its own
    assert "\n" not in said
    assert said != "no source"
