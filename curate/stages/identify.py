"""The stage `identify`: rows whose source names no person get one."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import identity
from ..config import Dataset
from ..descriptors import can_be_described, describe
from ..outcome import DropReason
from .rows import Record, take_back

FACES_A_TRACK = 5
"""How many faces of a track are described, the sharpest and most frontal: a track shows one person."""

FACES_A_SUBJECT = 20
"""The same of a person whom the sources name, over all of the person's tracks."""

_Ints = NDArray[np.int64]


def name_people(rows: pd.DataFrame, dataset: Dataset, out: Path) -> tuple[pd.DataFrame, Record]:
    """Write `subject` of the faces whose source names nobody, and how sure that is.

    A track is one person; two faces of one frame never are, nor two people whom the sources name. Dropped duplicates
    get the person of their representative.

    Args:
        rows: The manifest after `find_duplicates`.
        dataset: Its `identify`.
        out: The set's folder.

    Returns:
        The rows with the decisions, and the record: how many people the sources name, and how many were found.
    """
    rows = take_back(rows, DropReason.OVER_CAP, DropReason.LEAK)
    rows.loc[rows["subject_confidence"].notna(), "subject"] = None
    rows["subject_confidence"] = np.full(len(rows), np.nan, np.float32)
    rows["split"] = None
    for column in ("fold", "repeat"):
        rows[column] = pd.array([None] * len(rows), dtype="Int32")
    given = int(rows["subject"].nunique())
    record: Record = {"by": dataset.identify.by, "people_given": given}
    if dataset.identify.by == "faces":
        record |= {"threshold": dataset.identify.threshold, **_name_by_faces(rows, dataset.identify.threshold, out)}
        _name_duplicates(rows)
    kept = rows["drop_reason"].isna()
    return rows, record | {"kept_unnamed": int((kept & rows["subject"].isna()).sum())}


def _name_by_faces(rows: pd.DataFrame, threshold: float, out: Path) -> Record:
    """Group the described faces into people and write their names into the rows."""
    nodes = _Nodes(rows)
    chosen = nodes.choose()
    if chosen is None:
        return {"people_found": 0, "faces_described": 0}
    start = identity.gather(describe(rows.iloc[chosen], out), nodes.number_of(chosen))
    group = identity.group_people(start, threshold, nodes.apart(), nodes.is_given)
    sure = identity.confidence(start, group, threshold)
    names = nodes.names(group)
    member = np.flatnonzero((nodes.of_row >= 0) & rows["drop_reason"].isna() & rows["subject"].isna())
    own = nodes.of_row[member]
    places = rows.index[member]
    rows.loc[places, "subject"] = names[own]
    rows.loc[places, "subject_confidence"] = sure[own].astype(np.float32)
    return {"people_found": len(set(names) - set(nodes.given)), "faces_described": len(chosen)}


class _Nodes:
    """What is one person from the start: a named subject, else a track, else a single face.

    Attributes:
        of_row: int64 [N], the node of each row, -1 where it has none; of nodes that are not described, -1.
        is_given: bool [K], nodes whose name the sources give.
        given: Every name that the sources give.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows
        self.given = set(rows["subject"].dropna())
        self._frame = rows["source_id"] + "/" + rows["frame"].astype(str)
        self._key = self._keys()
        self.of_row = np.full(len(rows), -1, np.int64)
        self.is_given = np.zeros(0, np.bool_)

    def _keys(self) -> "pd.Series[str]":
        """Name each row's node; a track that claims two faces of one frame is taken apart."""
        rows = self._rows
        key = ("track " + rows["source_id"] + " " + rows["track"]).astype(object)
        tracked = rows["track"].notna()
        torn = key[tracked & pd.DataFrame({"key": key, "frame": self._frame}).duplicated(keep=False)].unique()
        single = ~tracked | key.isin(torn)
        key[single] = "face " + rows["face_id"][single]
        named = rows["subject"].notna()
        key[named] = "subject " + rows["subject"][named]
        return key

    def choose(self) -> _Ints | None:
        """Choose the rows that are described, and number their nodes; None where there is nobody to name."""
        rows = self._rows
        usable = rows["drop_reason"].isna() & can_be_described(rows)
        if not (usable & rows["subject"].isna()).any():
            return None
        table = pd.DataFrame(
            {
                "place": np.arange(len(rows)),
                "key": self._key.to_numpy(object),
                "track": (rows["source_id"] + " " + rows["track"].fillna(rows["face_id"])).to_numpy(object),
                "merit": _merit(rows),
                "face_id": rows["face_id"].to_numpy(object),
            }
        )[usable.to_numpy()]
        table = table.sort_values(["merit", "face_id"], ascending=[False, True])
        table["turn"] = table.groupby(["key", "track"]).cumcount()  # of a subject, every track's best comes first
        table = table.sort_values(["turn", "merit", "face_id"], ascending=[True, False, True])
        most = np.where(table["key"].str.startswith("subject "), FACES_A_SUBJECT, FACES_A_TRACK)
        table = table[table.groupby("key").cumcount() < most].sort_values("face_id")
        self._number(table["key"].unique())
        return table["place"].to_numpy(np.int64)

    def _number(self, keys: NDArray[np.object_]) -> None:
        """Number the described nodes by their smallest kept face_id, which no order of the rows changes."""
        rows = self._rows
        kept = (rows["drop_reason"].isna() & self._key.isin(keys)).to_numpy()
        self._smallest = rows["face_id"][kept].groupby(self._key[kept].to_numpy(object)).min().sort_values()
        number = pd.Series(np.arange(len(self._smallest)), self._smallest.index)
        self.of_row = self._key.map(number).fillna(-1).to_numpy(np.int64)
        self.is_given = self._smallest.index.str.startswith("subject ").astype(np.bool_)

    def number_of(self, places: _Ints) -> _Ints:
        """Give the nodes of rows."""
        return self.of_row[places]

    def apart(self) -> Iterator[tuple[int, int]]:
        """Yield the pairs of nodes that some frame shows both of, whether or not its faces were kept."""
        shown = pd.DataFrame({"frame": self._frame.to_numpy(object), "node": self.of_row})
        shown = shown[shown["node"] >= 0].drop_duplicates()
        shown = shown[shown["frame"].duplicated(keep=False)].sort_values(["frame", "node"])
        pairs = {pair for _, nodes in shown.groupby("frame")["node"] for pair in combinations(nodes.tolist(), 2)}
        yield from sorted(pairs)

    def names(self, group: _Ints) -> NDArray[np.object_]:
        """Name the groups: as the sources name one of its nodes, else after the smallest face_id: object [K]."""
        by_group: dict[int, str] = {}
        for node in np.flatnonzero(self.is_given).tolist():
            by_group[int(group[node])] = str(self._smallest.index[node]).removeprefix("subject ")
        taken = set(self.given)
        for first in np.unique(group).tolist():  # the smallest node of a group has its smallest face_id
            if first not in by_group:
                by_group[first] = identity.name_person(self._smallest.iloc[first], taken)
                taken.add(by_group[first])
        return np.array([*(by_group[first] for first in group.tolist()), None], object)[:-1]


def _merit(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Rate faces: sharp and frontal is best."""
    yaw = np.radians(rows["yaw_deg"].fillna(0).to_numpy(np.float64))
    return np.asarray(rows["sharpness"].fillna(0).to_numpy(np.float64) * np.cos(yaw) ** 2)


def _name_duplicates(rows: pd.DataFrame) -> None:
    """Give dropped duplicates their representative's person, unless their frame shows that person already."""
    unnamed = rows["drop_reason"].eq(str(DropReason.DUPLICATE)).fillna(value=False) & rows["subject"].isna()
    by_id = rows.drop_duplicates("face_id").set_index("face_id")
    copies = rows.loc[unnamed, ["face_id", "source_id", "frame", "duplicate_of"]].sort_values("face_id")
    copies["subject"] = copies["duplicate_of"].map(by_id["subject"])
    copies["sure"] = copies["duplicate_of"].map(by_id["subject_confidence"]).fillna(1.0)
    copies = copies[copies["subject"].notna()]
    where = ["source_id", "frame", "subject"]
    shown = pd.MultiIndex.from_frame(rows.loc[rows["subject"].notna(), where])
    copies = copies[~pd.MultiIndex.from_frame(copies[where]).isin(shown) & ~copies.duplicated(where)]
    rows.loc[copies.index, "subject"] = copies["subject"]
    rows.loc[copies.index, "subject_confidence"] = copies["sure"].astype(np.float32)
