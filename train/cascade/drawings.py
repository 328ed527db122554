"""Confusion matrices as plain shapes, ready to be drawn as SVG by the page's template, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CELL = 42
LEFT, TOP, BELOW = 92, 6, 78
"""Room for the names of the rows and of the columns."""

_MOST_WITH_TEXT = 20
_LONGEST = 14


@dataclass(frozen=True)
class Cell:
    """A cell: its place, how dark it is (0 to 1), its texts, and what it says in words.

    Attributes:
        is_hit: Whether it holds right answers.
        is_on_dark: Whether its text must be light.
    """

    x: int
    y: int
    shade: float
    count: str
    share: str
    words: str
    is_hit: bool
    is_on_dark: bool


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, rows truth, columns answer.

    Attributes:
        title: Above it.
        width: Of the drawing.
        height: Likewise.
        cells: All of them.
        rows: Names and where they stand.
        columns: Likewise.
        summary: In one sentence.
    """

    title: str
    width: int
    height: int
    cells: Sequence[Cell]
    rows: Sequence[tuple[str, int]]
    columns: Sequence[tuple[str, int]]
    summary: str


def draw_matrix(system: Mapping[str, Any], names: Sequence[str]) -> Matrix:
    """Draw the confusion matrix of one way to answer; cells are as dark as their share of the row.

    Args:
        system: As the record holds it.
        names: Of the answers.
    """
    counts = system["confusion"]
    places = [(_short(name), CELL * i + CELL // 2) for i, name in enumerate(names)]
    cells = [
        _cell(i, j, count, sum(row), (names[i], names[j]), with_text=len(names) <= _MOST_WITH_TEXT)
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
    ]
    side = CELL * len(names)
    right = sum(row[i] for i, row in enumerate(counts))
    summary = f"{right:,} of {system['rows']:,} right"
    return Matrix(system["title"], LEFT + side + 2, TOP + side + BELOW, cells, places, places, summary)


def _cell(i: int, j: int, count: int, total: int, names: tuple[str, str], *, with_text: bool) -> Cell:
    share = count / total if total else 0.0
    truth, said = names
    return Cell(
        x=LEFT + CELL * j,
        y=TOP + CELL * i,
        shade=round(0.85 * share, 3),
        count=_brief(count) if with_text else "",
        share=f"{100 * share:.0f} %" if with_text and count else "",
        words=f"{truth}, answered {said}: {count:,} of {total:,}",
        is_hit=i == j,
        is_on_dark=share > 0.6,
    )


def _brief(count: int) -> str:
    """Write a count in at most five characters or so."""
    return f"{count:,}" if count < 10_000 else f"{count / 1000:,.0f} k"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
