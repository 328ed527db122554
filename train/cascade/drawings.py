"""Confusion matrices as plain shapes, ready to be drawn as SVG by the page's template, side by side."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CELL = 42
TOP, GAP = 6, 6
"""Above the cells, and between them and the names."""

SCALE = 1.2
"""Of a drawing on the page, at the most."""

_MOST_WITH_TEXT = 20
_MOST_ROOM = 120
"""For the names of the rows."""

_EM = 12
"""Height of the names' letters."""


@dataclass(frozen=True)
class Cell:
    """A cell: its place from the corner, how dark it is (0 to 1), its texts, and what it says in words.

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
        size: Width and height of the drawing.
        corner: Where the cells begin.
        cells: All of them.
        names: Of the rows and columns, and where each stands from the corner.
        summary: In one sentence.
    """

    title: str
    size: tuple[int, int]
    corner: tuple[int, int]
    cells: Sequence[Cell]
    names: Sequence[tuple[str, int]]
    summary: str

    @property
    def widest_px(self) -> int:
        """How wide it is on the page, at the most."""
        return round(SCALE * self.size[0])


def draw_matrix(system: Mapping[str, Any], names: Sequence[str]) -> Matrix:
    """Draw the confusion matrix of one way to answer; cells are as dark as their share of the row.

    Args:
        system: As the record holds it.
        names: Of the answers.
    """
    counts = system["confusion"]
    shown = [_short(name) for name in names]
    room = max(map(_width, shown)) + GAP
    slanted = round((room + _EM) / 2**0.5)  # the columns' names, turned by 45 degrees
    left = room + 2  # more than that of the first column needs, which is slanted and begins at the middle of a cell
    cells = [
        _cell((i, j), (count, sum(row)), (names[i], names[j]), with_text=len(names) <= _MOST_WITH_TEXT)
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
    ]
    side = CELL * len(names)
    right = sum(row[i] for i, row in enumerate(counts))
    summary = f"{right:,} of {system['rows']:,} right"
    places = [(name, CELL * i + CELL // 2) for i, name in enumerate(shown)]
    return Matrix(system["title"], (left + side + 2, TOP + side + slanted + GAP), (left, TOP), cells, places, summary)


def _cell(place: tuple[int, int], counts: tuple[int, int], names: tuple[str, str], *, with_text: bool) -> Cell:
    (i, j), (count, total) = place, counts
    share = count / total if total else 0.0
    truth, said = names
    return Cell(
        x=CELL * j,
        y=CELL * i,
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


def _width(name: str) -> int:
    """Estimate how wide a name is in a font as wide as DejaVu Sans."""
    return math.ceil(_EM * sum(map(_letter, name)))


def _letter(letter: str) -> float:
    """Estimate how wide a letter is, as a share of its height."""
    if letter in "MWmw@%…" or unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.8 if letter.isupper() else 0.66


def _short(name: str) -> str:
    """Cut a name so that there is room for it."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    if _width(name) <= _MOST_ROOM:
        return name
    fitting = next(end for end in range(len(name), -1, -1) if _width(f"{name[:end]}…") <= _MOST_ROOM)
    return f"{name[:fitting]}…"
