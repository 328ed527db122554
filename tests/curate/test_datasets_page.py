"""Every example of docs/how-to/datasets.md reads a set that is laid out as it says."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from align import Box
from curate.registry import load_dataset, registry_tables
from curate.sources import list_units
from tests.curate.small import tables_of_recipes
from tests.curate.source_kinds import encoded, picture, write_tar
from tests.videos import shorten

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "datasets.md"
BLOCKS = {
    next(iter(tomllib.loads(text))): text for text in re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
}


def _classes(root: Path, _: Path) -> dict:
    picture(root / "faces" / "hap" / "s1_a.jpg")
    picture(root / "faces" / "neutral" / "s2_b.jpg")
    return {
        "faces/hap/s1_a.jpg": {"label": "happy", "subject": "s1"},
        "faces/neutral/s2_b.jpg": {"label": "neutral", "subject": "s2"},
    }


def _listed(root: Path, _: Path) -> dict:
    picture(root / "a.jpg")
    (root / "chosen.txt").write_text("a.jpg\n")
    return {"a.jpg": {"label": "happy"}}


def _table(root: Path, _: Path) -> dict:
    picture(root / "pictures" / "a.jpg")
    (root / "labels.lst").write_text("a.jpg 1 2 5 7 1\na.jpg 4 2 8 7 0\n")
    return {"pictures/a.jpg[0]": {"label": "happy"}, "pictures/a.jpg[1]": {"label": "neutral"}}


def _pixels(root: Path, _: Path) -> dict:
    (root / "faces.csv").write_text("emotion,pixels,Usage\nhappy,1 2 3 4,Training\nsad,1 2 3 4,PrivateTest\n")
    return {
        "faces.csv[0]": {"label": "happy", "published_split": "train"},
        "faces.csv[1]": {"label": "sad", "published_split": "test"},
    }


def _equal(root: Path, _: Path) -> dict:
    (root / "fer2013.csv").write_text("emotion,pixels,Usage\n3,1 2 3 4,Training\n")
    return {"fer2013.csv[0]": {"label": "happy", "published_split": "train"}}


def _stack(root: Path, _: Path) -> dict:
    np.savez(root / "faces.npz", x=np.zeros((2, 8, 8), np.uint8), y=[1, 0])
    return {"faces.npz[0]": {"label": "happy"}, "faces.npz[1]": {"label": "neutral"}}


def _shards(root: Path, _: Path) -> dict:
    (root / "shards").mkdir()
    write_tar(root / "shards" / "val-0.tar", [("0.png", encoded()), ("0.cls", b"happy"), ("1.png", encoded())])
    return {
        "shards/val-0.tar/0.png": {"label": "happy", "published_split": "val"},
        "shards/val-0.tar/1.png": {"published_split": "val"},
    }


def _beside(root: Path, clips: Path) -> dict:
    shorten(clips / "carphone_pristine.mp4", root / "clips" / "a.mp4", 3)
    (root / "annotations").mkdir()
    (root / "annotations" / "a.csv").write_text("frame_number,expression\n1,3\n2,-1\n3,0\n")
    return {"clips/a.mp4": {"label": "happy"}}


EXAMPLES: dict[str, Callable[[Path, Path], dict]] = {
    "classes": _classes,
    "listed": _listed,
    "table": _table,
    "pixels": _pixels,
    "fer2013-equal": _equal,
    "stack": _stack,
    "shards": _shards,
    "beside": _beside,
}


def test_every_example_is_tested() -> None:
    assert set(BLOCKS) == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_reads_what_it_says(name: str, tmp_path: Path, clips: Path) -> None:
    (tmp_path / "datasets.toml").write_text(BLOCKS[name])
    wanted = EXAMPLES[name](tmp_path, clips)
    units = list(list_units(load_dataset(name), tmp_path, tmp_path / "out"))
    items = {item.source: item for unit in units for item in unit.items}
    assert {source: item.labels.at(0, None) for source, item in items.items()} == wanted
    if name == "table":
        assert [item.box for item in items.values()] == [Box(1, 2, 4, 5), Box(4, 2, 4, 5)]


def test_every_shipped_entry_stands_in_the_page() -> None:
    table = PAGE.read_text().partition("## The shipped entries")[2]
    listed = set(re.findall(r"`([\w-]+)`", "\n".join(re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE))))
    assert listed | tables_of_recipes() == set(registry_tables())  # recipes have pages of their own
