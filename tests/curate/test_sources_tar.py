"""Archives: pictures and labels under one name, read in place; what is hostile is named and never followed."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align import UsageError
from curate.config import Dataset, Sample, Source
from curate.sources import Item, list_units, open_item
from tests.curate.source_kinds import encoded, items_of, write_tar

SOURCE = Source("tar", "shards/*.tar")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    (tmp_path / "shards").mkdir()
    return tmp_path / "shards"


def _problem(item: Item) -> str | None:
    with open_item(item, Sample()) as reader:
        shown = list(reader)
    assert bool(shown) == (reader.error is None)
    return reader.error


def test_a_picture_and_its_labels_share_a_name_up_to_the_first_dot(shards: Path) -> None:
    write_tar(
        shards / "train-0.tar",
        [
            ("a/1.cls", b"3\n"),
            ("a/1.jpg.png", encoded(10)),
            ("a/2.json", b'{"label": "sad", "valence": -0.5, "AU12": 1, "who": "anna", "note": null, "more": [1]}'),
            ("a/2.png", encoded(20)),
            ("b/2.png", encoded(30)),
            ("b/2.txt", "\ufeff froh ".encode()),
            ("b/2.other", b"ignored"),
        ],
    )
    source = Source(
        "tar",
        "shards/*.tar",
        columns={"subject": "who"},
        label_names={"3": "happy", "froh": "happy"},
        split_from=r"shards/(\w+)-",
    )
    items = items_of(source, shards.parent)
    assert [item.source for item in items] == [
        f"shards/train-0.tar/{name}" for name in ("a/1.jpg.png", "a/2.png", "b/2.png")
    ]
    assert [dict(item.labels.whole) for item in items] == [
        {"label": "happy", "published_split": "train"},
        {"label": "sad", "subject": "anna", "valence": -0.5, "au_12": 1.0, "published_split": "train"},
        {"label": "happy", "published_split": "train"},
    ]
    for item, value in zip(items, (10, 20, 30), strict=True):
        with open_item(item, Sample()) as reader:
            assert next(iter(reader)).rgb()[0, 0].tolist() == [value, 10, 10]


def test_hostile_members_are_named_and_nothing_is_written_or_followed(shards: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(99))
    odd = []
    for name, kind, target in [
        ("soft.png", tarfile.SYMTYPE, str(secret)),
        ("hard.png", tarfile.LNKTYPE, "good.png"),
        ("null.png", tarfile.CHRTYPE, ""),
        ("pipe.png", tarfile.FIFOTYPE, ""),
    ]:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        odd.append((info, b""))
    members = [("good.png", encoded(1)), ("../../up.png", encoded(2)), ("/etc/abs.png", encoded(3)), *odd]
    write_tar(shards / "s.tar", [*members, ("good.png", encoded(4)), ("last.png", encoded(5))])
    before = sorted(path for path in tmp_path.rglob("*"))
    items = items_of(SOURCE, tmp_path)
    problems = {item.source.removeprefix("shards/s.tar/"): _problem(item) for item in items}
    assert len({item.source_id for item in items}) == len(items) == 9
    assert {name for name, problem in problems.items() if problem is None} == {"good.png", "last.png"}
    for name, sentence in {
        "../../up.png[1]": "expected a name inside the archive (found one that leaves it); it is not read",
        "/etc/abs.png[2]": "expected a name inside the archive (found one that leaves it); it is not read",
        "soft.png[3]": "expected a plain file (found a link); it is not read",
        "hard.png[4]": "expected a plain file (found a link); it is not read",
        "null.png[5]": "expected a plain file (found a device); it is not read",
        "pipe.png[6]": "expected a plain file (found a device); it is not read",
        "good.png[7]": "expected each name once (found it again)",
    }.items():
        assert problems[name] == f"shards/s.tar/{name}: {sentence}"
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_an_archive_that_is_cut_short_gives_what_is_whole(shards: Path) -> None:
    whole = write_tar(shards / "s.tar", [(f"{n}.png", encoded(n)) for n in range(4)]).read_bytes()
    (shards / "s.tar").write_bytes(whole[: 2 * 1024 + 520])  # in the middle of the third picture
    errors = [_problem(item) for item in items_of(SOURCE, shards.parent)]
    assert errors[:2] == [None, None]
    assert len(errors) >= 3
    assert all("shards/s.tar" in error for error in errors[2:])
    assert any("cut short" in error or "broken off" in error for error in errors[2:])


@pytest.mark.parametrize("tool", ["gzip", "bzip2", "xz"])
def test_a_compressed_archive_is_refused_with_what_to_do(shards: Path, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")
    path = write_tar(shards / "s.tar", [("a.png", encoded())])
    subprocess.run([tool, str(path)], check=True)
    with pytest.raises(UsageError, match=r"expected a tar that is not compressed .*unpack the compression first"):
        items_of(Source("tar", "shards"), shards.parent)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([("a.txt", b"x")], "expected pictures in the archive (found none)"),
        ([("a.png", encoded()), ("a.json", b"{")], "s.tar/a.json: expected json in UTF-8 ("),
        ([("a.png", encoded()), ("a.txt", b"\xff")], "s.tar/a.txt: expected txt in UTF-8 ("),
        ([("a.png", encoded()), ("a.json", b"[" * 100_000)], "s.tar/a.json: expected json in UTF-8 ("),
        ([("a.png", encoded()), ("a.txt", b"x" * (2**20 + 1))], "expected a label of at most 1,048,576 bytes"),
        ([("a.png", encoded()), ("a.json", b'{"valence": "x"}')], "picture 0: valence must be a number"),
    ],
)
def test_labels_in_an_archive_that_do_not_fit_are_refused(shards: Path, members: list, sentence: str) -> None:
    write_tar(shards / "s.tar", members)
    with pytest.raises(UsageError) as caught:
        items_of(SOURCE, shards.parent)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_many_archives_are_units_of_some_dozen_pictures(shards: Path) -> None:
    for shard in range(3):
        write_tar(shards / f"{shard}.tar", [(f"{n}.png", encoded(n)) for n in range(30)])
    units = list(list_units(Dataset(SOURCE), shards.parent, shards.parent / "out"))
    assert [len(unit.items) for unit in units] == [64, 26]
    names = [[name for name, *_ in unit.stamp] for unit in units]
    assert names == [["shards/0.tar", "shards/1.tar", "shards/2.tar"], ["shards/2.tar"]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=6), st.integers(0, 6000))
def test_a_damaged_archive_gives_what_can_be_read_or_one_sentence(
    shards: Path, changes: list[tuple[int, int]], end: int
) -> None:
    members = [("a.png", encoded(1)), ("a.json", b'{"label": "x"}'), ("b.png", encoded(2)), ("b.cls", b"1")]
    data = bytearray(write_tar(shards / "s.tar", members).read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    (shards / "s.tar").write_bytes(bytes(data[: end or None]))
    try:
        errors = [_problem(item) for item in items_of(SOURCE, shards.parent)]
    except UsageError as error:
        errors = [str(error)]
    assert all(error is None or ("s.tar" in error and "\n" not in error) for error in errors)
