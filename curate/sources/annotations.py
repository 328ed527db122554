"""One table that labels many sources: whole ones, single frames, or intervals of time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import UsageError, console, printable

from .cleaning import clean
from .labels import FrameTable, Interval, Labels, row_values
from .reading import Reading, label_columns, read_table

_PLAIN = Reading()


def read_annotations(path: Path, sources: Iterable[str], reading: Reading = _PLAIN) -> dict[str, Labels]:
    """Read a table of labels.

    Args:
        path: A table with the column `source` and, where a row is not about all of its source, `frame` or
            `start_s` and `end_s`; and any of `label`, `subject`, `split`, `valence`, `arousal`, `au_*`. Empty cells
            are missing.
        sources: The sources that there are. Rows about others are counted in a notice.
        reading: How the table is read.

    Returns:
        Source -> its labels.

    Raises:
        UsageError: The file is missing or is not such a table, names none of the sources, or says two things of one
            source or frame.
    """
    table = clean(read_table(path, reading).dropna(how="all"), reading, path)
    if "source" not in table or not label_columns(table.columns):
        raise UsageError(
            f"{printable(path)}: expected a column source and one of label, subject, split, valence, arousal, au_* "
            f"(found {', '.join(table.columns) or 'none of them'}); add it, or name it in columns"
        )
    names = list(sources)
    codes = pd.Index(names).get_indexer(pd.Index(table["source"]))
    _report_unknown(table, codes, path)
    known = codes >= 0
    table, codes = table[known], codes[known]
    _refuse_contradictions(table, codes, reading, path)
    return _by_source(table, codes, names)


def _report_unknown(table: pd.DataFrame, codes: NDArray[np.intp], path: Path) -> None:
    """Say how many rows are about sources that are not there; refuse a table that is about no source at all."""
    unknown = codes < 0
    if not unknown.any():
        return
    first = table["source"].iloc[int(np.flatnonzero(unknown)[0])]
    if unknown.all():
        raise UsageError(
            f"{printable(path)}: expected sources like those that the path matches (found {first!r} first); "
            f"write them relative to the source's root"
        )
    console.notice(
        f"{printable(path)}: {int(unknown.sum()):,} of {len(table):,} rows are about sources that the path does not "
        f"match, {first!r} first"
    )


def _refuse_contradictions(table: pd.DataFrame, codes: NDArray[np.intp], reading: Reading, path: Path) -> None:
    """Refuse two rows that give one source, or one frame of it, different values; intervals may overlap."""
    frames = table["frame"].to_numpy(np.float64) if "frame" in table else np.full(len(table), np.nan)
    timed = table["start_s"].notna().to_numpy() if "start_s" in table else np.zeros(len(table), bool)
    keys = pd.DataFrame({"code": codes, "frame": np.nan_to_num(frames, nan=-1.0), "timed": timed & np.isnan(frames)})
    again = keys.duplicated(keep=False).to_numpy() & ~keys["timed"].to_numpy()
    if not again.any():
        return
    some = table[again]
    groups = [keys["code"].to_numpy()[again], keys["frame"].to_numpy()[again]]
    for name in label_columns(table.columns):
        different = (some[name].groupby(groups).transform("nunique") > 1).to_numpy() & some[name].notna().to_numpy()
        if different.any():
            first, *others = np.flatnonzero(different)
            same = [place for place in others if all(group[place] == group[first] for group in groups)]
            second = next(place for place in same if some[name].iloc[place] != some[name].iloc[first])
            lines = [int(some.index[place]) + reading.first_line for place in (first, second)]
            place = f"{some['source'].iloc[first]!r}" + (
                f" frame {groups[1][first]:g}" if groups[1][first] >= 0 else ""
            )
            raise UsageError(
                f"{printable(path)}: expected one {name} for {place} (found {some[name].iloc[first]!r} in line "
                f"{lines[0]} and {some[name].iloc[second]!r} in line {lines[1]}); remove one of them"
            )


def _by_source(table: pd.DataFrame, codes: NDArray[np.intp], names: list[str]) -> dict[str, Labels]:
    framed = table["frame"].notna().to_numpy() if "frame" in table else np.zeros(len(table), bool)
    timed = table["start_s"].notna().to_numpy() & ~framed if "start_s" in table else np.zeros(len(table), bool)
    whole = ~framed & ~timed
    made: dict[str, Labels] = {}
    for code, values in zip(codes[whole].tolist(), row_values(table[whole]), strict=True):
        name = names[code]
        before = made.get(name)
        made[name] = Labels(values) if before is None else Labels({**before.whole, **values})
    intervals: dict[str, list[Interval]] = {}
    some = table[timed]
    for code, start, end, values in zip(
        codes[timed].tolist(),
        *(some.get(key, pd.Series()).tolist() for key in ("start_s", "end_s")),
        row_values(some),
        strict=True,
    ):
        intervals.setdefault(names[code], []).append(Interval(start, end, values))
    for name, several in intervals.items():
        made[name] = Labels(made[name].whole if name in made else {}, {}, tuple(several))
    for code, frames in frames_by_source(table[framed], codes[framed]):
        before = made.get(names[code], Labels())
        made[names[code]] = Labels(before.whole, frames, before.intervals)
    return made


def frames_by_source(table: pd.DataFrame, codes: NDArray[np.intp]) -> Iterable[tuple[int, FrameTable]]:
    """Yield each code's frames; rows about one frame become one."""
    if table.empty:
        return
    frames = table["frame"].to_numpy(np.int64)
    order = np.lexsort((frames, codes))
    table, codes, frames = table.iloc[order], codes[order], frames[order]
    if ((np.diff(codes) == 0) & (np.diff(frames) == 0)).any():
        grouped = table.groupby([codes, frames], sort=True).first()  # of each column the first known cell
        codes, frames = (grouped.index.get_level_values(level).to_numpy() for level in (0, 1))
        table = grouped.reset_index(drop=True)
        for name in label_columns(table.columns):
            if not pd.api.types.is_numeric_dtype(table[name]):
                table[name] = table[name].astype(object).where(table[name].notna(), None)
    starts = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    for start, end in zip(starts, [*starts[1:], len(codes)], strict=True):
        yield int(codes[start]), FrameTable.of(frames[start:end], table.iloc[start:end])
