"""Times on a shared machine: alternate the contestants and compare them round by round."""

import statistics
import time
from collections.abc import Callable, Mapping


def compare(contestants: Mapping[str, Callable[[], object]], rounds: int = 5) -> dict[str, list[float]]:
    """Run each contestant once to warm up, then all in turn, `rounds` times; seconds of each."""
    for run in contestants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def show(title: str, seconds: Mapping[str, list[float]], items: int, unit: str) -> None:
    """Print items a second of each, and the first one's speed over each other's, round by round."""
    first, *others = seconds
    print(f"\n{title}")
    for name, times in seconds.items():
        print(f"  {name:32} {items / statistics.median(times):12,.0f} {unit}/s (median of {len(times)})")
    for other in others:
        ratios = sorted(b / a for a, b in zip(seconds[first], seconds[other], strict=True))
        print(f"  {first} / {other}: {statistics.median(ratios):.1f} times ({ratios[0]:.1f} to {ratios[-1]:.1f})")
