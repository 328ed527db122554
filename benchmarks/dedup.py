"""Every pair of near-identical hashes, exact: time, recall and memory beside other libraries, a process each."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from curate import dedup, neighbours
from curate.hashing import Words

from ._searchers import SEARCHERS

RADII = {64: 10, 256: 31}
PLANTED = 5
"""Copies at each distance from 0 to the radius."""

SKEW = 0.276
"""Share of bits that differ from the commonest picture's: two pictures then differ in 0.4 of the bits, as faces do."""

OURS = "eyeline"


@dataclass(frozen=True)
class Task:
    """What one process measures.

    Attributes:
        what: `eyeline`, a key of `SEARCHERS`, `grow` or `group`.
        bits: 64 or 256.
        count: Of hashes.
        kind: `random`, `skewed` or `equal`.
        queries: How many hashes a peer is asked for.
    """

    what: str
    bits: int
    count: int
    kind: str = "random"
    queries: int = 0


@dataclass(frozen=True)
class Measured:
    """What came of it: seconds for the whole set, recall of the planted pairs, and MB that the search added."""

    seconds: float
    recall: float = 1.0
    megabytes: float = 0.0
    note: str = ""


def make_hashes(task: Task, seed: int = 0) -> tuple[Words, list[tuple[int, int]]]:
    """Draw hashes, the last of which are copies of the first at each distance up to the radius; and those pairs."""
    rng = np.random.default_rng(seed)
    words, radius = task.bits // 64, RADII[task.bits]
    if task.kind == "equal":
        return np.full((task.count, words), 7, np.uint64), []
    h = np.empty((task.count, words), np.uint64)
    common = rng.integers(0, 2**64, words, dtype=np.uint64)
    for start in range(0, task.count, 50_000):  # a part at a time: the peak of memory is to be the search's
        part = h[start : start + 50_000]
        if task.kind == "skewed":
            part[:] = np.packbits(rng.random((len(part), task.bits)) < SKEW, axis=1).view(np.uint64) ^ common
        else:
            part[:] = rng.integers(0, 2**64, part.shape, dtype=np.uint64)
    planted = []
    for number in range(PLANTED * (radius + 1)):
        flips = np.zeros(task.bits, np.uint8)
        flips[rng.choice(task.bits, number // PLANTED, replace=False)] = 1
        h[task.count - 1 - number] = h[number] ^ np.packbits(flips).view(np.uint64)
        planted.append((number, task.count - 1 - number))
    return h, planted


def search_whole(task: Task) -> Measured:
    """Find all pairs with `near_pairs`."""
    h, planted = make_hashes(task)
    radius = RADII[task.bits]
    dedup.near_pairs(h[:20_000], radius)  # loads the compiled code
    before = resident_mb()
    started = time.perf_counter()
    i, j, _ = dedup.near_pairs(h, radius)
    seconds = time.perf_counter() - started
    added = peak_mb() - before
    recall = len(set(planted) & set(zip(i.tolist(), j.tolist(), strict=True))) / len(planted)
    return Measured(seconds, recall, added, f"{len(i):,} pairs")


def search_peer(task: Task) -> Measured:
    """Ask a peer for the planted copies and as many others as are wanted; the time for all follows."""
    h, planted = make_hashes(task)
    before = resident_mb()
    started = time.perf_counter()
    ask = SEARCHERS[task.what].build(h, RADII[task.bits])
    built = time.perf_counter() - started
    rows = [copy for _, copy in planted][:: max(1, len(planted) // task.queries)]
    rows += list(range(len(planted), min(len(h), len(planted) + task.queries - len(rows))))
    wanted = {(copy, first) for first, copy in planted if copy in set(rows)}
    started = time.perf_counter()
    found = set(ask(rows))
    asked = time.perf_counter() - started
    whole = built + asked * len(h) / len(rows)
    note = "" if len(rows) == len(h) else f"from {len(rows):,} queries"
    return Measured(whole, len(wanted & found) / len(wanted), peak_mb() - before, note)


def grow(task: Task) -> Measured:
    """Add 1 % to a set whose pairs are known; in processor seconds, since both share their work out to threads."""
    h, _ = make_hashes(task)
    radius = RADII[task.bits]
    known = neighbours.search(h[: -task.count // 100], radius)
    neighbours.search(h[:20_000], radius, known=neighbours.search(h[:19_900], radius))
    started = time.process_time()
    whole = neighbours.search(h, radius)
    first = time.process_time() - started
    started = time.process_time()
    found = neighbours.search(h, radius, known=known)
    seconds = time.process_time() - started
    same = all(np.array_equal(vars(whole)[name], vars(found)[name]) for name in ("hashes", "low", "high", "distance"))
    return Measured(
        seconds, float(same), note=f"of processor time; from scratch {first:.2f}: {first / seconds:.1f} times"
    )


def group(task: Task) -> Measured:
    """Group hashes and try to list the pairs of those that are equal."""
    h, _ = make_hashes(task)
    radius = RADII[task.bits]
    dedup.group(h[:20_000], radius)
    before = resident_mb()
    started = time.perf_counter()
    kept = len(np.unique(dedup.group(h, radius)))
    seconds = time.perf_counter() - started
    note = f"{kept:,} kept"
    if task.kind == "equal":
        try:
            dedup.near_pairs(h, radius)
        except dedup.TooManyPairsError:
            note += f"; the list of all {len(h) * (len(h) - 1) // 2:,} pairs is refused"
    return Measured(seconds, 1.0, peak_mb() - before, note)


def resident_mb() -> float:
    """Read the memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def peak_mb() -> float:
    """Read the most memory that this process has held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


RUNS: dict[str, Callable[[Task], Measured]] = {OURS: search_whole, "grow": grow, "group": group}


def measure(task: Task) -> Measured:
    """Run a task in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "benchmarks", "dedup", "--task", json.dumps(asdict(task))]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Measured(**json.loads(answer.splitlines()[-1]))


def compare(bits: int, count: int, rounds: int, share: float) -> None:
    """Print all contestants at one size, in turn, `rounds` times."""
    contestants = {OURS: Task(OURS, bits, count)}
    for name, peer in SEARCHERS.items():
        if bits in peer.widths and peer.is_installed:
            queries = max(10, min(count, round(peer.queries * share)))
            contestants[name] = Task(name, bits, count, queries=queries)
    found: dict[str, list[Measured]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, task in contestants.items():
            found[name].append(measure(task))
    print(f"\n{count:,} random hashes of {bits} bits within {RADII[bits]}, {PLANTED} pairs planted at each distance")
    print(f"  {'':28}{'seconds':>12}{'ours is faster by':>28}{'recall':>9}{'MB':>8}")
    for name, results in found.items():
        ratios = sorted(r.seconds / ours.seconds for r, ours in zip(results, found[OURS], strict=True))
        times = f"{statistics.median(ratios):,.0f} ({ratios[0]:,.0f} to {ratios[-1]:,.0f})" if name != OURS else ""
        seconds = statistics.median(r.seconds for r in results)
        last = results[-1]
        megabytes = statistics.median(r.megabytes for r in results)
        print(f"  {name:28}{seconds:12,.2f}{times:>28}{last.recall:9.3f}{megabytes:8,.0f}  {last.note}")
    for name, peer in SEARCHERS.items():
        if not peer.is_installed:
            print(f"  {name:28} not installed ({peer.package})")
        elif bits not in peer.widths:
            print(f"  {name:28} takes no hashes of {bits} bits")


def show_large(tasks: Sequence[tuple[str, Task]]) -> None:
    """Print what large, skewed and growing sets cost us."""
    print(f"\n{'eyeline alone':52}{'seconds':>9}{'MB':>7}")
    for title, task in tasks:
        result = measure(task)
        megabytes = f"{result.megabytes:7,.0f}" if task.what != "grow" else f"{'':7}"
        wrong = "" if result.recall == 1 else f"; RECALL {result.recall:.3f}"
        print(f"  {title:50}{result.seconds:9.2f}{megabytes}  {result.note}{wrong}")


def main(*options: str) -> None:
    """Print seconds, recall and memory of each search."""
    parser = argparse.ArgumentParser("python -m benchmarks dedup", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="peers at 1,000,000 hashes as well; takes half an hour")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    given = parser.parse_args(options)
    if given.task:
        task = Task(**json.loads(given.task))
        print(json.dumps(asdict(RUNS.get(task.what, search_peer)(task))))
        return
    print("seconds for all pairs; a peer that is asked for some of the hashes only is extrapolated to all of them")
    print("MB: the most memory during the search, less that of the hashes and the libraries before it")
    for bits in RADII:
        compare(bits, 10_000, rounds=3, share=1)
        compare(bits, 100_000, rounds=3 if given.all else 1, share=0.2)
        if given.all:
            compare(bits, 1_000_000, rounds=1, share=0.05)
    large = []
    for bits, radius in RADII.items():
        large += [
            (f"1,000,000 of {bits} bits within {radius}", Task(OURS, bits, 1_000_000)),
            (f"300,000 of {bits} bits, skewed as faces are", Task(OURS, bits, 300_000, "skewed")),
            (f"3,000 new ones among 300,000 of {bits} bits", Task("grow", bits, 300_000)),
            (f"3,000 new ones among 300,000 of {bits} bits, skewed", Task("grow", bits, 300_000, "skewed")),
            (f"100,000 equal ones of {bits} bits, grouped", Task("group", bits, 100_000, "equal")),
        ]
        if given.all:
            large.append((f"1,000,000 of {bits} bits, skewed as faces are", Task(OURS, bits, 1_000_000, "skewed")))
    show_large(large)
