"""The people and tracks of a set: who is how surely named, and a few faces of each, so that a wrong merge is seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from .histograms import Histogram, histogram
from .sheets import Sheet, evenly, records, sheet_of
from .tallies import present_sides
from .text import many
from .thumbnails import Crops

_PEOPLE, _PEOPLE_GIVEN, _TRACKS = 20, 8, 8
_FACES = 6  # a person, a track


@dataclass(frozen=True)
class Person:
    """One person: the least confidence of the faces, None where the source names them, and what shows them."""

    name: str
    confidence: float | None
    rows: int
    kept: int
    sources: int
    tracks: int
    sides: str


@dataclass(frozen=True)
class PeopleTable:
    """People in order, how many there are in all, and the rows and kept faces of those who are not listed."""

    people: Sequence[Person]
    total: int
    more_rows: int
    more_kept: int

    @property
    def more(self) -> int:
        """How many are not listed."""
        return self.total - len(self.people)


def people_tables(rows: pd.DataFrame, cap: int) -> tuple[PeopleTable, PeopleTable]:
    """Table the people who were found, the least sure first, and those whom the sources name, most rows first."""
    everyone = _everyone(rows)
    found = everyone[everyone["found"]].sort_values(["confidence", "rows", "name"], ascending=[True, False, True])
    given = everyone[~everyone["found"]].sort_values(["rows", "name"], ascending=[False, True])
    return _table(rows, found, cap), _table(rows, given, cap)


def _everyone(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the rows, kept faces, sources and tracks of each person, one row a person."""
    named = rows[rows["subject"].notna()]
    table = pd.DataFrame(
        {
            "name": named["subject"].astype(object),
            "confidence": named["subject_confidence"],
            "rows": 1,
            "kept": named["drop_reason"].isna().astype(int),
            "source": named["source_id"].astype(object),
            "track": _track_keys(named),
        }
    )
    counts = {"confidence": "min", "rows": "sum", "kept": "sum", "source": "nunique", "track": "nunique"}
    people = table.groupby("name", sort=True).agg(counts).reset_index()
    return people.assign(found=people["confidence"].notna())


def _track_keys(rows: pd.DataFrame) -> "pd.Series[Any]":
    """Name the track of each row across the set, null where it has none."""
    return (rows["source_id"] + " " + rows["track"]).astype(object)


def _table(rows: pd.DataFrame, people: pd.DataFrame, cap: int) -> PeopleTable:
    listed, rest = people.iloc[:cap], people.iloc[cap:]
    parts = {str(name): part for name, part in rows[rows["subject"].isin(listed["name"])].groupby("subject")}
    table = []
    for person in records(listed):
        name, sure = str(person["name"]), None if pd.isna(person["confidence"]) else float(person["confidence"])
        counts = [int(person[key]) for key in ("rows", "kept", "source", "track")]
        sides = ", ".join(present_sides(parts[name]))
        table.append(Person(name, sure, counts[0], counts[1], counts[2], counts[3], sides))
    return PeopleTable(table, len(people), int(rest["rows"].sum()), int(rest["kept"].sum()))


def people_sheets(rows: pd.DataFrame, crops: Crops) -> tuple[list[Sheet], list[Sheet]]:
    """Show a few faces of the people who were found and of those whom the sources name.

    Of the found, those first who were put together of several tracks or pictures, the least sure first: these can be
    wrong. Of the others, those with most rows.
    """
    pictured = rows[rows["drop_reason"].isna() & rows["crop"].notna()]
    everyone = _everyone(rows).assign(parts=0)
    parts = pd.DataFrame({"name": pictured["subject"].astype(object), "part": _parts(pictured)})
    counted = parts.groupby("name")["part"].nunique()
    everyone["parts"] = everyone["name"].map(counted).fillna(0).astype(int)
    everyone = everyone[everyone["parts"] > 0].assign(merged=everyone["parts"] > 1)
    found = everyone[everyone["found"]].sort_values(
        ["merged", "confidence", "rows", "name"], ascending=[False, True, False, True]
    )
    given = everyone[~everyone["found"]].sort_values(["rows", "name"], ascending=[False, True])
    return (
        [_person_sheet(person, pictured, crops) for person in records(found.iloc[:_PEOPLE])],
        [_person_sheet(person, pictured, crops) for person in records(given.iloc[:_PEOPLE_GIVEN])],
    )


def _parts(rows: pd.DataFrame) -> "pd.Series[Any]":
    """Name what a person is put together of: tracks, and single faces where there is no track."""
    return _track_keys(rows).where(rows["track"].notna(), rows["face_id"].astype(object))


def _person_sheet(person: dict[str, Any], pictured: pd.DataFrame, crops: Crops) -> Sheet:
    own = pictured[pictured["subject"].eq(person["name"]).fillna(value=False)]
    note = f"{many(len(own), 'kept face')} from {many(int(own['source_id'].nunique()), 'source')}"
    if own["track"].notna().any():
        note += f" and {many(int(_track_keys(own).nunique()), 'track')}"
    if person["found"]:
        note = f"confidence {person['confidence']:.2f}; {note}"
    drawn = sheet_of(spread_over_parts(own, _FACES), _FACES, crops)
    order = "from as many tracks and sources as there is room for"
    return replace(drawn, title=str(person["name"]), note=note, total=len(own), order=order)


def spread_over_parts(own: pd.DataFrame, most: int) -> pd.DataFrame:
    """Choose at most `most` rows, evenly over what a person is put together of, and evenly within each."""
    own = own.assign(part=_parts(own)).sort_values(["source_id", "part", "frame", "face_id"], kind="stable")
    names = own["part"].unique()
    chosen = [names[place] for place in evenly(len(names), most)]
    each = [most // len(chosen) + (number < most % len(chosen)) for number in range(len(chosen))] if chosen else []
    taken = []
    for name, room in zip(chosen, each, strict=True):
        part = own[own["part"].eq(name)]
        taken.append(part.iloc[evenly(len(part), room) if room > 1 else [len(part) // 2]])
    return pd.concat(taken) if taken else own


@dataclass(frozen=True)
class Tracks:
    """The tracks of a set in words, how many faces each has, and a few faces of the longest."""

    summary: str
    figures: Sequence[Histogram]
    sheets: Sequence[Sheet]


def tracks_of(rows: pd.DataFrame, crops: Crops) -> Tracks | None:
    """Describe the tracks; None where no row has one. A track that goes on to another person is seen in its sheet."""
    tracked = rows[rows["track"].notna()].assign(key=_track_keys)
    if tracked.empty:
        return None
    sizes = tracked.groupby("key").size()
    summary = f"{many(len(sizes), 'track')} in {many(int(tracked['source_id'].nunique()), 'video')} with "
    summary += f"{many(len(tracked), 'face')}; in one: median {sizes.median():g}, most {int(sizes.max()):,}"
    cuts = int(rows.drop_duplicates(["source_id", "frame"])["scene_cut"].eq(other=True).sum())
    if cuts:
        summary += f"; {many(cuts, 'change')} of scene"
    longest = sorted(sizes.index, key=lambda key: (-int(sizes[key]), str(key)))[:_TRACKS]
    parts = {str(key): part for key, part in tracked[tracked["key"].isin(longest)].groupby("key")}
    figure = histogram("Faces in a track", np.array([float(size) for size in sizes]), of="track")
    return Tracks(f"{summary}.", [figure] if figure else [], [_track_sheet(parts[str(key)], crops) for key in longest])


def _track_sheet(part: pd.DataFrame, crops: Crops) -> Sheet:
    part = part.sort_values(["frame", "face_id"], kind="stable")
    first, last = part["time_s"].min(), part["time_s"].max()
    when = "" if pd.isna(first) else f", {first:.2f} to {last:.2f} s"
    kept = int(part["drop_reason"].isna().sum())
    note = f"track {part['track'].iloc[0]}: {many(len(part), 'face')}, {kept:,} kept{when}"
    people = part["subject"].dropna().astype(str).unique()
    note += f"; {', '.join(people[:_FACES])}" if len(people) else ""
    title = str(part["source"].iloc[0])
    drawn = sheet_of(part, _FACES, crops, why=True)
    return replace(drawn, title=title, note=note, order="evenly spaced over the track")
