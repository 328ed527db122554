"""A small set of every kind of source: two pictures or more that can be read, and one that cannot."""

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from curate.config import Dataset, RowLabel, Source
from curate.sources import Item, list_units
from tests.videos import shorten


@dataclass(frozen=True)
class Made:
    """A source of one kind, the file whose change must be noticed, and the name of what is broken in it."""

    source: Source
    changed: Path
    broken: str


def items_of(source: Source, root: Path, homepage: str = "") -> list[Item]:
    dataset = Dataset(source, homepage=homepage, title="The set")
    return [item for unit in list_units(dataset, root, root / "out") for item in unit.items]


def picture(path: Path, value: int = 100, size: tuple[int, int] = (9, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 10, 10)).save(path)
    return path


def encoded(value: int = 100) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (9, 8), (value, 10, 10)).save(held, "png")
    return held.getvalue()


def write_tar(path: Path, members: list[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return path


def _videos(root: Path, clips: Path) -> Made:
    shorten(clips / "carphone_pristine.mp4", root / "happy" / "a.mp4", 6)
    shorten(clips / "bikes.mp4", root / "sad" / "b.mp4", 6)
    (root / "sad" / "broken.mp4").write_bytes(b"broken")
    return Made(Source("videos", ".", label_from="^(.+?)/"), root / "happy" / "a.mp4", "sad/broken.mp4")


def _images(root: Path, _: Path) -> Made:
    picture(root / "happy" / "a.png")
    picture(root / "sad" / "b.jpg")
    (root / "sad" / "broken.png").write_bytes(b"broken")
    return Made(Source("images", ".", label_from="^(.+?)/"), root / "happy" / "a.png", "sad/broken.png")


def _tables(root: Path, _: Path) -> Made:
    picture(root / "pictures" / "a.png")
    picture(root / "pictures" / "b.jpg")
    (root / "table.csv").write_text("path,label\npictures/a.png,happy\npictures/b.jpg,sad\npictures/gone.png,sad\n")
    return Made(Source("tables", "table.csv"), root / "pictures" / "a.png", "pictures/gone.png")


def _pixels(root: Path, _: Path) -> Made:
    square = " ".join(map(str, range(72, 81)))
    (root / "faces.csv").write_text(
        f"emotion,pixels,Usage\nhappy,{square},Training\nsad,{square},PublicTest\nsad,1 2 3,PrivateTest\n"
    )
    source = Source("pixels", "faces.csv", columns={"label": "emotion"})
    return Made(source, root / "faces.csv", "faces.csv[2]")


def _arrays(root: Path, _: Path) -> Made:
    pictures = np.random.default_rng(0).random((3, 8, 9))
    pictures[2, 0, 0] = np.nan
    np.save(root / "a.npy", pictures)
    source = Source("arrays", "a.npy", rows=(RowLabel(0, 0, "happy"), RowLabel(1, 2, "sad")))
    return Made(source, root / "a.npy", "a.npy[2]")


def _tar(root: Path, _: Path) -> Made:
    members = [("a.png", encoded(1)), ("a.cls", b"happy"), ("b.png", encoded(2)), ("b.json", b'{"label": "sad"}')]
    write_tar(root / "shard.tar", [*members, ("c.png", b"broken"), ("c.txt", b"sad\n")])
    return Made(Source("tar", "shard.tar"), root / "shard.tar", "shard.tar/c.png")


KINDS: dict[str, Callable[[Path, Path], Made]] = {
    "videos": _videos,
    "images": _images,
    "tables": _tables,
    "pixels": _pixels,
    "arrays": _arrays,
    "tar": _tar,
}


def write_parquet(target: Path, **columns: list) -> Path:
    pd.DataFrame(columns).to_parquet(target)
    return target
