"""Tables of labels as they lie on disk -> cells under our names of columns, not yet judged; csv, text and Parquet."""

import csv
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from align import UsageError, printable

from ..config import Sidecar, Source
from ..config.source import COLUMNS, Code, Separator, au_name
from .missing import NothingFoundError

VOTE = "vote:"
"""Prefix of the columns that count votes; what follows is the label."""

_SEPARATORS: Mapping[str | None, str] = {",": ",", ";": ";", "tab": "\t", "blank": r"\s+"}
_BY_SUFFIX: Mapping[str, Separator] = {".csv": ",", ".tsv": "tab"}
_OWN = ("pixels", "pictures")  # of the pictures' own file; a labels_file has none


@dataclass(frozen=True)
class Reading:
    """How a table is read, and what its cells mean; see `Source` and `Sidecar`, whose keys these are."""

    columns: Mapping[str, str | int] = field(default_factory=dict)
    header: bool = True
    separator: Separator | None = None
    missing: tuple[Code, ...] = ()
    label_names: Mapping[str, str] = field(default_factory=dict)
    split_names: Mapping[str, str] = field(default_factory=dict)
    votes: tuple[str, ...] = ()
    au_threshold: float | None = None
    au_header: bool = False

    @classmethod
    def of_source(cls, source: Source) -> Self:
        """Give how the table of a source is read: the one it lists, its annotations or its labels_file."""
        return cls(
            columns={ours: theirs for ours, theirs in source.columns.items() if ours not in _OWN},
            header=source.header,
            separator=source.separator,
            missing=source.missing,
            label_names=source.label_names,
            split_names=source.split_names,
            votes=source.votes,
            au_threshold=source.au_threshold,
        )

    @classmethod
    def of_sidecar(cls, source: Source, sidecar: Sidecar) -> Self:
        """Give how the files of a sidecar are read: they share the vocabulary of their source."""
        return replace(
            cls.of_source(source),
            columns=sidecar.columns,
            header=sidecar.header,
            separator=sidecar.separator,
            missing=sidecar.missing or source.missing,
            votes=(),
            au_header=sidecar.au_header,
        )

    def plain(self) -> "Reading":
        """Give the same vocabulary for a csv that has our names of columns."""
        return replace(self, columns={}, header=True, separator=None, votes=())

    @property
    def first_line(self) -> int:
        """The line of the file on which the first row stands, from 1."""
        return 2 if self.header else 1


def read_table(path: Path, reading: Reading) -> pd.DataFrame:
    """Read the columns of a table that mean something to us.

    Args:
        path: A .parquet file, or text in UTF-8; a byte order mark is skipped.
        reading: How.

    Returns:
        Cells as strings (of Parquet as they are), missing ones NaN; columns under our names, the index counts rows
        from 0. Empty lines are rows, but for those at the end.

    Raises:
        NothingFoundError: There is no such file.
        UsageError: It is no such table.
    """
    try:
        return _read_parquet(path, reading) if path.suffix.lower() in (".parquet", ".pq") else _read_text(path, reading)
    except FileNotFoundError:
        raise NothingFoundError(
            f"{printable(path)}: expected a table (no such file); check the path and --root"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{printable(path)}: expected text in UTF-8 (found byte 0x{error.object[error.start]:02x}); "
            f"save the file as UTF-8"
        ) from None
    except OSError as error:
        raise UsageError(f"{printable(path)}: expected a table that can be read ({error.strerror or error})") from None


def _read_text(path: Path, reading: Reading) -> pd.DataFrame:
    chosen = reading.separator or _BY_SUFFIX.get(path.suffix.lower(), "blank")
    how: dict[str, Any] = {
        "sep": _SEPARATORS[chosen],
        "encoding": "utf-8-sig",
        "skipinitialspace": True,
        "dtype": str,
        "keep_default_na": False,
        "na_values": [""],
        "skip_blank_lines": False,  # so that lines are counted as an editor counts them
        "index_col": False,
    }
    try:
        first = pd.read_csv(path, nrows=1, header=None, **how)
        theirs = [str(name).strip() for name in first.iloc[0].fillna("")] if reading.header else len(first.columns)
        places = resolve_columns(theirs, reading, path)
        wanted = sorted(places.values())
        if len(wanted) < len(first.columns):
            _refuse_more_cells(path, chosen, len(first.columns))
            how["usecols"] = wanted
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of cells that it drops
            names = range(len(first.columns))
            table: pd.DataFrame = pd.read_csv(path, header=0 if reading.header else None, names=names, **how)
    except pd.errors.EmptyDataError:
        raise UsageError(f"{printable(path)}: expected a table (found an empty file)") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise _uneven(path, chosen, " ".join(str(error).split())) from None
    order = {place: ours for ours, place in places.items()}
    table.columns = pd.Index([order[place] for place in sorted(order)])
    filled = np.flatnonzero(table.notna().any(axis=1))
    return table.iloc[: int(filled.max(initial=-1)) + 1]


def _refuse_more_cells(path: Path, separator: Separator, most: int) -> None:
    """Refuse a line with more cells than the first: pandas would drop them where it reads some columns only."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if separator == "blank":
            lines = ((number, len(line.split())) for number, line in enumerate(file, 1) if '"' not in line)
        else:
            cells = csv.reader(file, delimiter=_SEPARATORS[separator], skipinitialspace=True)
            lines = ((cells.line_num, len(row)) for row in cells)
        for number, count in lines:
            if count > most:
                raise _uneven(path, separator, f"line {number} has {count}, the first one {most}")


def _uneven(path: Path, separator: str, said: str) -> UsageError:
    return UsageError(
        f"{printable(path)}: expected a table with as many cells in each line ({said}); mend the file, or its "
        f"separator, which is {separator!r}"
    )


def _read_parquet(path: Path, reading: Reading) -> pd.DataFrame:
    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
        places = resolve_columns(list(schema.names), reading, path)
        for ours, place in places.items():
            kind = schema.field(place).type
            value = kind.value_type if pa.types.is_dictionary(kind) else kind
            if pa.types.is_nested(value) or pa.types.is_temporal(value) or pa.types.is_binary(value):
                raise UsageError(f"{printable(path)}: expected text or numbers in {ours} (found {kind})")
        names = {schema.names[place]: ours for ours, place in places.items()}
        table: pd.DataFrame = file.read(columns=list(names)).to_pandas()
    except pa.ArrowInvalid as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(f"{printable(path)}: expected a Parquet file ({reason})") from None
    return table.rename(columns=names)


def resolve_columns(theirs: Sequence[str] | int, reading: Reading, path: Path) -> dict[str, int]:
    """Find the places of our columns among a table's.

    Args:
        theirs: The table's names, or how many columns it has where it has no header.
        reading: Its `columns` win over what a name says by itself.
        path: For the error.

    Returns:
        Our name -> place from 0; votes have the prefix `VOTE`.

    Raises:
        UsageError: A column that `columns` or `votes` names is not there, or two mean the same.
    """
    names = list(theirs) if not isinstance(theirs, int) else []
    count = theirs if isinstance(theirs, int) else len(names)
    where = printable(path)
    places = {ours: _place(name, names, count, where) for ours, name in reading.columns.items()}
    places |= {VOTE + vote: _place(vote, names, count, where) for vote in reading.votes}
    taken, given = set(places.values()), set(places)
    for place, name in enumerate(names):
        ours = _meaning(name, reading)
        if ours is None or place in taken or ours in given:
            continue
        if ours in places:
            raise UsageError(
                f"{where}: expected one column for {ours} (found {names[places[ours]]!r} and {name!r}); "
                f"choose with columns = {{ {ours} = ... }}"
            )
        places[ours] = place
    return places


def _meaning(name: str, reading: Reading) -> str | None:
    if reading.votes and name == "label":
        return None  # the votes decide
    if name in COLUMNS:
        return name
    return au_name(f"au_{name}" if reading.au_header and name.isdecimal() else name)


def _place(name: str | int, names: Sequence[str], count: int, where: str) -> int:
    if isinstance(name, str) and name in names:
        return names.index(name)
    if isinstance(name, int) and name <= count:
        return name - 1
    found = ", ".join(names[:12]) + ("..." if len(names) > 12 else "") if names else f"{count} columns"
    raise UsageError(f"{where}: expected a column {name!r} (found {found}); mend columns, votes or the separator")


def label_columns(names: Iterable[str]) -> list[str]:
    """Pick the columns that say something of a face."""
    kept = ("label", "subject", "published_split", "valence", "arousal")
    return [name for name in names if name in kept or name.startswith("au_")]
