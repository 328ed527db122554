"""Where the time goes: seconds of each stage of a piece of work."""

import time
from collections import defaultdict


class Clock:
    """Adds up the time from one lap to the next.

    Attributes:
        seconds: Name of the stage -> seconds.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Count the time since the last lap as `stage`."""
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
        self._last = now
