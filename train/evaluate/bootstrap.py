"""How far the numbers of a split would move with other people in it: intervals over people, not over faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..rows import Rows
from .tallies import Floats, Ints, Tally, add_up

RESAMPLES = 1000
LEVEL = 0.95
FEW = 10
"""Fewer people than this make an interval that is itself uncertain."""

_BLOCK = 8_000_000


@dataclass(frozen=True)
class Units:
    """What is drawn: people, and sources where a face's person is not known.

    Attributes:
        group: int64 [N], the unit of each row.
        count: How many there are.
        subjects: How many of them are people.
    """

    group: Ints
    count: int
    subjects: int

    @property
    def said(self) -> str:
        """Name them: `12 subjects`, `3 sources`, or both."""
        sources = self.count - self.subjects
        parts = [(self.subjects, "subject"), (sources, "source")]
        return " and ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in parts if count)

    def record(self) -> dict[str, Any]:
        """Say for a report what the intervals are over, and how they were drawn."""
        return {
            "over": self.said,
            "units": self.count,
            "few": self.count < FEW,
            "resamples": RESAMPLES,
            "level": LEVEL,
        }


def units_of(rows: Rows) -> Units:
    """Put each row with its person, or with its source where its person is not known."""
    pairs = zip(rows.subjects, rows.sources, strict=True)
    keys = [f"subject/{subject}" if subject is not None else f"source/{source}" for subject, source in pairs]
    group, names = pd.factorize(np.array(keys, dtype=object), sort=True)
    return Units(group.astype(np.int64), len(names), sum(name.startswith("subject/") for name in names))


def intervals(
    tallies: Sequence[Tally], units: Units, seed: int, resamples: int = RESAMPLES
) -> Mapping[str, tuple[float, float]]:
    """Compute percentile intervals of every number of the tallies (Efron and Tibshirani 1993, chapter 13).

    Faces of one person are alike: drawing faces would make the interval far too narrow. So as many people as there
    are get drawn with replacement, each with all of its faces, and the number is computed from those.

    Args:
        tallies: Of the split.
        units: What is drawn.
        seed: Of the draws; the same draws serve every number.
        resamples: How many times.

    Returns:
        The lower and the upper end, by the number's name; nothing where there are fewer than two units.
    """
    if units.count < 2:
        return {}
    sums = [add_up(tally, units.group, units.count) for tally in tallies]
    drawn: dict[str, list[Floats]] = {}
    generator = np.random.default_rng(seed)
    for weights in _draws(generator, units.count, resamples):
        for tally, parts in zip(tallies, sums, strict=True):
            for name, values in tally.numbers(np.asarray((parts.T @ weights.T).T)).items():
                drawn.setdefault(name, []).append(values)
    return {name: found for name, values in drawn.items() if (found := _interval(np.concatenate(values)))}


def _draws(generator: np.random.Generator, count: int, resamples: int) -> Any:
    """Yield how often each unit is drawn, float64 [resamples of a block, count]."""
    step = max(1, _BLOCK // count)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        places = generator.integers(0, count, size=(size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(places.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def _interval(values: Floats) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
