"""In which order faces come into files that hold many, and where one file ends and the next begins."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from .faces import Faces
from .spec import Shards


def showings(faces: Faces, shards: Shards, *, repeat: bool) -> Faces:
    """Give the faces in the order of the files, each once, or as often as an epoch shows it.

    Args:
        faces: Of one side.
        shards: Its order and seed.
        repeat: Give a face again for each showing; `repeat` is 1 then, and `name` says which showing it is.
    """
    rows = faces.rows
    if repeat:
        rows = rows.loc[rows.index.repeat(rows["repeat"])]
        again = rows.groupby("face_id", sort=False).cumcount()
        named = rows["name"].where(again == 0, rows["name"] + "~" + (again + 1).astype(str))
        rows = rows.assign(repeat=1, name=named)
    if shards.order == "shuffled":
        rows = rows.iloc[np.random.default_rng(shards.seed).permutation(len(rows))]
    return faces.with_rows(rows.reset_index(drop=True))


def cut(sizes: "pd.Series[Any]", shards: Shards) -> Iterator[slice]:
    """Yield the runs of faces that come into one file each.

    Args:
        sizes: Bytes of each face.
        shards: How many faces, and how many bytes, a file holds.
    """
    limit, begin, filled = shards.megabytes * 10**6, 0, 0
    for place, size in enumerate(sizes):
        if place > begin and (place - begin == shards.faces or filled + size > limit):
            yield slice(begin, place)
            begin, filled = place, 0
        filled += size
    if len(sizes):
        yield slice(begin, len(sizes))


def crop_bytes(faces: Faces) -> "pd.Series[Any]":
    """Ask the file system how large each crop is."""
    return pd.Series([path.stat().st_size for path in faces.rows["crop"]], dtype=np.int64)
