"""Which rows of a class stay when it has too many: those of most people, sources and tracks, and the most different."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import UsageError

from .counts import Ints

Values = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Looks:
    """What tells rows apart.

    Attributes:
        groups: int64 [N, 3], numbers of the person, of the source and of the track; a source counts within its person
            and a track within its source.
        words: uint64 [N, 1 or 4], perceptual hashes.
        hashed: bool [N], which rows have one.
    """

    groups: Ints
    words: NDArray[np.uint64]
    hashed: NDArray[np.bool_]


def drawn_order(count: int, keys: Values | None, seed: int) -> Ints:
    """Shuffle all rows, beginning from the order of their keys.

    Args:
        count: Of the rows.
        keys: [count], distinct, such as face_id: the order then depends on these, not on the order of the rows.
        seed: Of the shuffle.

    Raises:
        UsageError: The lengths differ, or a key is null or stands twice.
    """
    rows = np.arange(count)
    if keys is not None:
        if len(keys) != count:
            raise UsageError(f"balance: expected a key for each of {count} rows (found {len(keys)})")
        code, distinct = pd.factorize(np.asarray(keys, object), sort=True)
        if len(distinct) != count or (code < 0).any():
            raise UsageError(f"balance: expected {count} distinct keys (found {len(distinct)}); give face_id")
        rows = np.argsort(code)
    return np.random.default_rng(seed).permutation(rows)


def choose(rows: Ints, count: int, looks: Looks | None, already: Ints | None = None) -> Ints:
    """Choose `count` of `rows`: first as many people as possible, of each as many sources and tracks, then by looks.

    People take turns: none gives a second row while another has given none and has one left; likewise the sources of
    a person and the tracks of a source. Whose turn it is gives the row whose nearest chosen row is the farthest by
    Hamming distance (Gonzalez 1985), over all people; rows without a hash come last. One pass over the rows a choice,
    in memory for a few numbers a row.

    Args:
        rows: Row numbers, those that are preferred among equals first.
        count: At most as many as there are rows besides `already`.
        looks: Of all rows; without them, the first rows are taken.
        already: Some of `rows` that were chosen before; others are chosen to differ from them.

    Returns:
        The chosen row numbers, without those in `already`, in the order in which they were chosen.
    """
    before = np.flatnonzero(np.isin(rows, already)) if already is not None else np.empty(0, np.int64)
    if looks is None or count == len(rows) - len(before):
        return np.delete(rows, before)[:count]
    from .farthest import farthest_first  # compiling is not paid for where nothing is capped

    sort = np.lexsort(looks.groups[rows].T[::-1])
    place = np.empty(len(rows), np.int64)
    place[sort] = np.arange(len(rows))
    laid = rows[sort]
    words = np.ascontiguousarray(looks.words[laid].T)
    plan = np.concatenate([[len(before) + count], place[before]]).astype(np.int64)
    chosen = farthest_first(words, looks.hashed[laid], sort, _tree(looks.groups[laid]), plan)
    return np.asarray(laid[chosen[len(before) :]], np.int64)


def _tree(groups: Ints) -> tuple[Ints, Ints, Ints]:
    """Find where nested groups begin; the rows stand sorted by them."""
    fresh = np.ones(groups.shape, np.bool_)
    fresh[1:] = np.logical_or.accumulate(groups[1:] != groups[:-1], axis=1)
    outer, middle, inner = (np.flatnonzero(fresh[:, level]) for level in range(3))
    of_middle = np.append(np.searchsorted(inner, middle), len(inner))
    of_outer = np.append(np.searchsorted(middle, outer), len(middle))
    return of_outer, of_middle, np.append(inner, len(groups))
