"""Ends a worker that hangs: a decoder that loops for ever would hold up the whole run."""

import faulthandler
import time

_REARM_S = 1.0


class Watchdog:
    """Ends this process, without asking Python, when `beat` is not called for a while.

    Args:
        patience_s: Seconds without a beat; None watches nothing.
    """

    def __init__(self, patience_s: float | None) -> None:
        self._patience_s = patience_s
        self._armed_at = -float("inf")

    def beat(self) -> None:
        """Say that the work goes on."""
        now = time.monotonic()
        if self._patience_s is not None and now - self._armed_at > min(_REARM_S, self._patience_s / 4):
            self._armed_at = now
            faulthandler.dump_traceback_later(self._patience_s, exit=True, file=2)

    def rest(self) -> None:
        """Stop watching: the work is done."""
        if self._patience_s is not None:
            faulthandler.cancel_dump_traceback_later()
