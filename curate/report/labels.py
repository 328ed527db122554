"""Action units of a set, before and after balancing, and where its valence and arousal lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..outcome import DropReason

PLANE = 220  # px a side of the drawing of valence against arousal
_CELLS = 20


@dataclass(frozen=True)
class Prevalence:
    """How many rows show an action unit, of those that are labelled with it."""

    active: int
    labelled: int

    @property
    def share(self) -> float | None:
        """Active rows of the labelled; None where none is."""
        return self.active / self.labelled if self.labelled else None


@dataclass(frozen=True)
class UnitRow:
    """One action unit: all kept rows, each side, and the training part before the cap and as an epoch shows it."""

    name: str
    kept: Prevalence
    sides: Mapping[str, Prevalence]
    before: Prevalence
    shown: Prevalence | None


def action_unit_rows(rows: pd.DataFrame, sides: Sequence[str]) -> list[UnitRow]:
    """Count, for each `au_*` column that any kept row has, the rows labelled and those above 0."""
    kept = rows[rows["drop_reason"].isna()]
    over_cap = rows["drop_reason"].eq(str(DropReason.OVER_CAP)).fillna(value=False)
    before = rows[rows["split"].eq("train").fillna(value=False) & (rows["drop_reason"].isna() | over_cap)]
    after = kept[kept["split"].eq("train").fillna(value=False)]
    shown = None
    if rows["repeat"].notna().any():
        shown = after.loc[after.index.repeat(after["repeat"].fillna(0).astype(int))]
    table = []
    for name in _units(rows):
        if not kept[name].notna().any():
            continue
        by_side = {side: _prevalence(kept[kept["split"].eq(side).fillna(value=False)], name) for side in sides}
        epoch = None if shown is None else _prevalence(shown, name)
        table.append(UnitRow(name, _prevalence(kept, name), by_side, _prevalence(before, name), epoch))
    return table


def _units(rows: pd.DataFrame) -> list[str]:
    """List the action units, by number where they have one."""
    names = [column for column in rows.columns if column.startswith("au_")]
    return sorted(names, key=lambda name: (int(name[3:]) if name[3:].isdecimal() else 1 << 30, name))


def _prevalence(rows: pd.DataFrame, name: str) -> Prevalence:
    return Prevalence(int(rows[name].gt(0).sum()), int(rows[name].notna().sum()))


@dataclass(frozen=True)
class Cell:
    """One square of the plane of valence and arousal, as dark as it is full."""

    x: float
    y: float
    shade: float


@dataclass(frozen=True)
class Plane:
    """Valence to the right, arousal upwards, both from -1 to 1; and how many kept faces lie in it."""

    cells: Sequence[Cell]
    side: float
    summary: str


def affect_plane(rows: pd.DataFrame) -> Plane | None:
    """Count the kept faces over the plane of valence and arousal; None where no row has both."""
    kept = rows[rows["drop_reason"].isna()]
    pairs = kept[["valence", "arousal"]].to_numpy(np.float64, na_value=np.nan)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    inside = pairs[(np.abs(pairs) <= 1).all(axis=1)]
    if not len(inside):
        return None
    edges = np.linspace(-1, 1, _CELLS + 1)
    counts = np.histogram2d(inside[:, 0], inside[:, 1], (edges, edges))[0]
    side = PLANE / _CELLS
    shades = np.sqrt(counts / counts.max()).round(3)
    cells = [
        Cell(round(i * side, 2), round(PLANE - (j + 1) * side, 2), float(shades[i, j]))
        for i, j in np.argwhere(counts).tolist()
    ]
    quarters = [int((((inside >= 0) == (right, up)).all(axis=1)).sum()) for right in (1, 0) for up in (1, 0)]
    words = ("pleasant and excited", "pleasant and calm", "unpleasant and excited", "unpleasant and calm")
    summary = f"{len(inside):,} kept faces: " + ", ".join(
        f"{count:,} {word}" for count, word in zip(quarters, words, strict=True)
    )
    outside = len(pairs) - len(inside)
    return Plane(cells, side, summary + (f"; {outside:,} more lie outside of -1 to 1" if outside else ""))
