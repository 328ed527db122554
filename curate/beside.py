"""Work that is done beside other work of the same process."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self


class Beside:
    """Do pieces of work in a second thread, one after another, in the order in which they are given.

    A context manager. Libraries that work on whole arrays let go of Python's lock, so that the first thread goes on
    meanwhile.

    Args:
        most_waiting: So many pieces wait at the most, with what they hold in memory; then the giver waits.
    """

    def __init__(self, most_waiting: int) -> None:
        self._most = most_waiting
        self._waiting: deque[Future[Any]] = deque()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def do(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Take a piece of work; an error of an earlier one is raised here, or by `finish`."""
        while len(self._waiting) >= self._most:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(function, *arguments))

    def finish(self) -> None:
        """Wait until all is done."""
        while self._waiting:
            self._waiting.popleft().result()
