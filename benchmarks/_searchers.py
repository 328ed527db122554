"""Searches for near-duplicates by others, each as: build an index, then ask it for the neighbours of some hashes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Ask = Callable[[Sequence[int]], Iterable[tuple[int, int]]]
"""Takes rows, gives the pairs (row, other row) within the radius; a row may be given as its own neighbour."""


@dataclass(frozen=True)
class Searcher:
    """One contestant.

    Attributes:
        build: Takes the hashes and the radius, gives what answers.
        package: What must be installed.
        widths: Which hashes it takes, in bits.
        queries: How many hashes it is asked for at 10,000 hashes in a run that is to be short.
    """

    build: Callable[[Words, int], Ask]
    package: str
    widths: tuple[int, ...] = (64, 256)
    queries: int = 100

    @property
    def is_installed(self) -> bool:
        """Whether it can be run here."""
        return find_spec(self.package) is not None


def _numpy(h: Words, radius: int) -> Ask:
    def ask(rows: Sequence[int]) -> Iterable[tuple[int, int]]:
        for row in rows:
            near = np.bitwise_count(h ^ h[row]).sum(axis=1) <= radius
            yield from ((row, int(other)) for other in np.flatnonzero(near))

    return ask


def _imagehash(h: Words, radius: int) -> Ask:
    bits = np.unpackbits(h.astype(">u8").view(np.uint8).reshape(len(h), -1), axis=1).astype(bool)
    side = int(bits.shape[1] ** 0.5)
    hashes = [imagehash.ImageHash(row.reshape(side, side)) for row in bits]

    def ask(rows: Sequence[int]) -> Iterable[tuple[int, int]]:
        for row in rows:
            mine = hashes[row]
            yield from ((row, other) for other, found in enumerate(hashes) if mine - found <= radius)

    return ask


def _imagededup(h: Words, radius: int) -> Ask:
    names = {str(row): f"{int(value[0]):016x}" for row, value in enumerate(h)}
    search = import_module("imagededup.handlers.search.brute_force_cython").BruteForceCython(
        names, lambda a, b: (int(a, 16) ^ int(b, 16)).bit_count()
    )

    def ask(rows: Sequence[int]) -> Iterable[tuple[int, int]]:
        for row in rows:
            for name, _ in search.search(names[str(row)], tol=radius):
                yield row, int(name)

    return ask


def _bktree(h: Words, radius: int) -> Ask:
    numbers = [int.from_bytes(value.tobytes(), "big") for value in h.astype(">u8")]
    rows_of: dict[int, list[int]] = {}
    for row, number in enumerate(numbers):
        rows_of.setdefault(number, []).append(row)
    tree = import_module("pybktree").BKTree(lambda a, b: (a ^ b).bit_count(), list(rows_of))

    def ask(rows: Sequence[int]) -> Iterable[tuple[int, int]]:
        for row in rows:
            for _, number in tree.find(numbers[row], radius):
                yield from ((row, other) for other in rows_of[number])

    return ask


def _faiss(index: Any, h: Words, radius: int) -> Ask:
    packed = np.ascontiguousarray(h.astype(">u8").view(np.uint8).reshape(len(h), -1))
    index.add(packed)

    def ask(rows: Sequence[int]) -> Iterable[tuple[int, int]]:
        for start in range(0, len(rows), 4096):
            asked = np.asarray(rows[start : start + 4096])
            limits, _, found = index.range_search(packed[asked], radius + 1)
            yield from zip(np.repeat(asked, np.diff(limits.astype(np.int64))).tolist(), found.tolist(), strict=True)

    return ask


def _faiss_flat(h: Words, radius: int) -> Ask:
    return _faiss(import_module("faiss").IndexBinaryFlat(64 * h.shape[1]), h, radius)


def _faiss_multi(h: Words, radius: int) -> Ask:
    """As many tables of 16 bits as there are in a hash, and as many flips as make it exact."""
    tables = 4 * h.shape[1]
    index = import_module("faiss").IndexBinaryMultiHash(64 * h.shape[1], tables, 16)
    index.nflip = radius // tables
    return _faiss(index, h, radius)


SEARCHERS: dict[str, Searcher] = {
    "FAISS IndexBinaryFlat": Searcher(_faiss_flat, "faiss", queries=10_000),
    "FAISS IndexBinaryMultiHash": Searcher(_faiss_multi, "faiss", queries=2_000),
    "numpy, one by one": Searcher(_numpy, "numpy", queries=500),
    "imagededup, brute force": Searcher(_imagededup, "imagededup", widths=(64,), queries=200),
    "pybktree": Searcher(_bktree, "pybktree", queries=50),
    "imagehash, one by one": Searcher(_imagehash, "imagehash", queries=20),
}
