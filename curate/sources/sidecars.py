"""Files of labels beside each picture or video: found by a pattern on its path, read in one way for all sets."""

import glob
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import UsageError, console, printable

from ..config import Sidecar, Source
from .cleaning import clean, name_part
from .labels import FrameTable, Labels, row_labels
from .missing import NothingFoundError
from .reading import Reading, label_columns, read_table

_NOTHING = Labels()
_BLANK = 1024  # bytes; a smaller file may hold nothing at all, which says nothing
_KEPT = 64  # tables that are kept at hand: pictures in order share theirs


class Sidecars:
    """Reads the files beside the pictures or videos of a source."""

    def __init__(self, source: Source, base: Path) -> None:
        self._source = source
        self._base = base

    def read(self, names: Sequence[str]) -> list[Labels | None]:
        """Give what the files beside each picture or video say.

        Args:
            names: Paths relative to the source's root.

        Returns:
            Labels by name, empty ones where no file is; None where a required file says nothing.

        Raises:
            NothingFoundError: None of the pictures or videos has any such file.
            UsageError: A file does not fit.
        """
        made: list[Labels | None] = [_NOTHING] * len(names)
        for sidecar in self._source.sidecars:
            for place, found in enumerate(self._read_one(sidecar, names)):
                before = made[place]
                if before is None or (sidecar.required and not found):
                    made[place] = None
                elif found:
                    made[place] = before.over(found)
        if left_out := sum(labels is None for labels in made):
            console.notice(
                f"source {self._source.path}: {left_out:,} of {len(names):,} {self._source.kind} are left out: "
                f"no labels lie beside them"
            )
            if left_out == len(names):
                raise UsageError(
                    f"source {self._base / self._source.path}: expected labels beside some of the {len(names):,} "
                    f"{self._source.kind} (found none in their files); mend sidecars"
                )
        return made

    def _read_one(self, sidecar: Sidecar, names: Sequence[str]) -> list[Labels]:
        files = [self._files(sidecar, name) for name in names]
        if not any(files):
            raise NothingFoundError(
                f"source {self._base / self._source.path}: expected labels like {sidecar.path} beside the "
                f"{self._source.kind} (found none; the first looked for: {self._first_tried(sidecar, names)}); "
                f"check the path and --root, or mend sidecars"
            )
        reading = Reading.of_sidecar(self._source, sidecar)
        if all(path.suffix == ".npy" for some in files for path in some):
            return _read_values(sidecar, reading, files)
        parse = lru_cache(maxsize=_KEPT)(lambda path: _parse(path, sidecar, reading))
        return [
            self._combine([parse(path) for path in some], sidecar, name)
            for some, name in zip(files, names, strict=True)
        ]

    def _files(self, sidecar: Sidecar, name: str) -> list[Path]:
        """List the files beside one picture or video, sorted."""
        wanted = _expand(sidecar, name)
        if wanted is None:
            return []
        if any(character in sidecar.path for character in "*?["):
            return sorted(path for path in self._base.glob(wanted) if path.is_file())
        path = self._base / wanted
        return [path] if path.is_file() else []

    def _first_tried(self, sidecar: Sidecar, names: Sequence[str]) -> str:
        tried = (_expand(sidecar, name) for name in names)
        return next((path for path in tried if path is not None), f"none: {sidecar.media!r} is in no path")

    def _combine(self, tables: Iterable[Labels], sidecar: Sidecar, name: str) -> Labels:
        """Put the labels of one picture or video together."""
        known = _NOTHING
        for table in tables:
            known = known.over(self._choose(table, sidecar, name)) if known else self._choose(table, sidecar, name)
        return known

    def _choose(self, table: Labels, sidecar: Sidecar, name: str) -> Labels:
        """Give a whole table, or the one frame that the picture's path names."""
        if sidecar.frame_from is None or not table.frames:
            return table
        found = re.search(sidecar.frame_from, name)
        if found is None or not found[1].isdecimal():
            return _NOTHING
        values = table.frames.get(int(found[1]) - sidecar.first_frame)
        return Labels({**table.whole, **values}) if values else _NOTHING


def _expand(sidecar: Sidecar, name: str) -> str | None:
    """Give the path, or glob, of the labels beside a picture or video; None where its path is not of that form."""
    match = re.search(sidecar.media, name)
    if match is None:
        return None
    has_magic = any(character in sidecar.path for character in "*?[")

    def group(found: re.Match[str]) -> str:
        text = match[int(found[1])] or ""
        return glob.escape(text) if has_magic else text  # what a path says is never a pattern

    return re.sub(r"\\(\d)", group, sidecar.path)


def _parse(path: Path, sidecar: Sidecar, reading: Reading) -> Labels:
    if path.stat().st_size < _BLANK and not path.read_bytes().strip():
        return _NOTHING
    table = clean(read_table(path, reading), reading, path)
    if sidecar.row_is_frame:
        table["frame"] = table.index.to_numpy(np.float64) + sidecar.first_frame
    table = table[table.notna().any(axis=1)]
    table = _one_column_a_unit(table, sidecar, path)
    for unit in sidecar.au:
        name = f"au_{unit}"
        table[name] = table[name].fillna(0.0) if name in table else 0.0
    part = _part_of(path, sidecar, reading)
    whole = Labels({"published_split": part} if part else {})
    if "frame" in table:
        frames = _frames(table, sidecar, reading, path)
        return Labels(whole.whole, frames) if len(frames) else _NOTHING
    if len(table) > 1:
        raise UsageError(
            f"{printable(path)}: expected one line, or a column frame (found {len(table)} lines); name it in the "
            f"columns of sidecars, or set row_is_frame"
        )
    labels = row_labels(table)
    return labels[0].over(whole) if labels and labels[0] else _NOTHING


def _one_column_a_unit(table: pd.DataFrame, sidecar: Sidecar, path: Path) -> pd.DataFrame:
    """Turn lines of action unit and intensity into a column for each unit."""
    if sidecar.au_from is not None:
        found = re.search(sidecar.au_from, path.as_posix())
        if found is None or not found[1].isdecimal() or "intensity" not in table:
            raise UsageError(
                f"{printable(path)}: expected an action unit's number in its path and a column intensity "
                f"({sidecar.au_from!r} found {found[1] if found else None!r}); mend au_from or columns"
            )
        return table.rename(columns={"intensity": f"au_{int(found[1])}"})
    if "au" not in table:
        return table
    units = table["au"].to_numpy(np.float64)
    if (~(units > 0) | (units % 1 > 0)).any() or len(np.unique(units)) < len(units):
        raise UsageError(
            f"{printable(path)}: expected a line for each action unit, its number an integer > 0 "
            f"(found {sorted(units.tolist())}); mend the file or columns"
        )
    given = table["intensity"].to_numpy(np.float64) if "intensity" in table else np.ones(len(table))
    return pd.DataFrame({f"au_{int(unit)}": [value] for unit, value in zip(units, given, strict=True)}, index=[0])


def _frames(table: pd.DataFrame, sidecar: Sidecar, reading: Reading, path: Path) -> FrameTable:
    table = table[table["frame"].notna() & table[label_columns(table.columns)].notna().any(axis=1)]
    frames: NDArray[np.int64] = table["frame"].to_numpy(np.int64) - sidecar.first_frame
    if frames.size and frames.min() < 0:
        line = int(table.index[int(frames.argmin())]) + reading.first_line
        raise UsageError(
            f"{printable(path)}: line {line}: frame must be {sidecar.first_frame} or more, the number of the first "
            f"(got {int(frames.min()) + sidecar.first_frame}); mend first_frame"
        )
    order = np.argsort(frames, kind="stable")
    table, frames = table.iloc[order], frames[order]
    if again := np.flatnonzero(np.diff(frames) == 0).tolist():
        lines = sorted(int(table.index[place]) + reading.first_line for place in (again[0], again[0] + 1))
        raise UsageError(
            f"{printable(path)}: expected one line for frame {int(frames[again[0]]) + sidecar.first_frame} "
            f"(found lines {lines[0]} and {lines[1]}); remove one of them"
        )
    return FrameTable.of(frames, table)


def _part_of(path: Path, sidecar: Sidecar, reading: Reading) -> str | None:
    found = re.search(sidecar.split_from, path.as_posix()) if sidecar.split_from else None
    try:
        return name_part(found[1], reading.split_names) if found else None
    except ValueError as error:
        raise UsageError(f"{printable(path)}: {error}") from None


def _read_values(sidecar: Sidecar, reading: Reading, files: Sequence[Sequence[Path]]) -> list[Labels]:
    """Read .npy files of one value each, all in one go: a set may have a million of them."""
    if list(sidecar.columns.values()) != [1]:
        raise UsageError(
            f"sidecars: expected columns = {{ label = 1 }}, or another of our names, for .npy files of one value "
            f"(got {dict(sidecar.columns)}); mend columns"
        )
    name = next(iter(sidecar.columns))
    made = [_NOTHING] * len(files)
    there = [place for place, some in enumerate(files) if some]
    cells = [_value(files[place][0]) for place in there]
    raw = pd.DataFrame({name: pd.Series(cells, dtype=object)})
    try:
        table = clean(raw, reading, Path(sidecar.path), counted="value")
    except UsageError:
        for row, place in enumerate(there):  # again one by one, for the name of the file
            clean(raw.iloc[[row]].reset_index(drop=True), reading, files[place][0], counted="value")
        raise
    for place, labels in zip(there, row_labels(table), strict=True):
        part = _part_of(files[place][0], sidecar, reading)
        made[place] = labels.with_defaults(published_split=part) if labels else _NOTHING
    return made


def _value(path: Path) -> str:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{printable(path)}: expected a .npy file ({' '.join(str(error).split())})") from None
    if array.size != 1 or array.dtype.kind not in "iufU":
        raise UsageError(
            f"{printable(path)}: expected one number or word (found {array.dtype} {list(array.shape)}); mend sidecars"
        )
    return str(array.reshape(-1)[0])
