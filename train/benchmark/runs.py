"""Runs the measurements one after the other, each in a fresh process."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .plan import BenchmarkSpec, Case, cases

Told = Callable[[int, int, str], None]


def benchmark(spec: BenchmarkSpec, told: Told | None = None) -> dict[str, Any]:
    """Measure every case.

    Each runs in a process of its own, so that no backbone's memory, caches or threads count for another, and never two
    at once.

    Args:
        spec: What to measure.
        told: Is told how many are done, of how many, and which is next.

    Returns:
        `machine`, `cases` (the figures of each) and `failed` (the case and one sentence).

    Raises:
        UsageError: CUDA is asked for and not there.
    """
    from .machine import machine

    every = cases(spec)
    result: dict[str, Any] = {"machine": machine(), "cases": [], "failed": []}
    for i, case in enumerate(every):
        if told:
            told(i, len(every), str(case))
        figures = run_alone(case)
        if "error" in figures:
            result["failed"].append({**asdict(case), "error": figures["error"]})
        else:
            result["cases"].append(figures)
    if told:
        told(len(every), len(every), "")
    return result


def run_alone(case: Case) -> dict[str, Any]:
    """Measure a case in a fresh process; `error` holds a sentence where that failed."""
    command = [sys.executable, "-m", __package__]
    ran = subprocess.run(command, input=json.dumps(asdict(case)), capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    try:
        figures: dict[str, Any] = json.loads(ran.stdout)
    except json.JSONDecodeError:
        lines = ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode} and said nothing"]
        return {"error": f"{case}: expected figures (found: {lines[-1]})"}
    return figures
