"""Peak memory of a phase: of the process on a CPU, of torch's allocations on a GPU."""

import resource
import sys
from pathlib import Path
from typing import Protocol

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets the peak resident set size


class Meter(Protocol):
    """Measures peak memory."""

    def start(self) -> None:
        """Begin a phase."""

    def peak(self) -> int:
        """Give the peak of the phase in bytes: on a CPU what the process has grown by since the meter was made."""


class ProcessMeter:
    """The resident memory of this process; what it held before, Python and torch themselves, does not count.

    Only Linux can forget an earlier peak: elsewhere a later phase counts the earlier ones as well.
    """

    def __init__(self) -> None:
        self.start()
        self.before = _peak_rss()

    def start(self) -> None:
        """Begin a phase."""
        if _CLEAR.exists():
            _CLEAR.write_text(_RESET_PEAK)

    def peak(self) -> int:
        """Give the peak of the phase in bytes, above what the process held when the meter was made."""
        return max(0, _peak_rss() - self.before)


class CudaMeter:
    """What torch has allocated on the GPU; the context itself, some hundred MB, does not count."""

    def start(self) -> None:
        """Begin a phase."""
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """Give the peak of the phase in bytes."""
        return int(torch.cuda.max_memory_allocated())


def _peak_rss() -> int:
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
