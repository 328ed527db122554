"""One stage of a pipeline ahead of the next, in a thread of its own and a bounded number of items before it."""

import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")

_PAUSE_S = 0.1
"""So often a stage that waits looks whether it is to stop."""


class Dropped:
    """Counts the items that were dropped because the next stage was too slow.

    Attributes:
        count: How many.
    """

    def __init__(self) -> None:
        self.count = 0


def ahead(items: Iterable[Item], depth: int, dropped: Dropped | None = None) -> Generator[Item, None, None]:
    """Run an iterator in a thread, `depth` items ahead; order, items and errors are those of the iterator.

    The thread starts with the first item that is asked for. It ends, and the iterator is closed in it, when this
    generator is closed.

    Args:
        items: What is run; only that thread touches it.
        depth: At the most so many items wait.
        dropped: Where it is given, the oldest waiting item makes room for a new one: for what does not wait.
    """
    line: _Line[Item] = _Line(depth)
    thread = threading.Thread(target=line.fill, args=(items, dropped), daemon=True)
    thread.start()
    try:
        yield from line.empty()
    finally:
        line.stop.set()
        thread.join()


class _End:
    """Stands after the last item, with the error that ended them, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Line(Generic[Item]):
    """The items that wait between two stages."""

    def __init__(self, depth: int) -> None:
        self.stop = threading.Event()
        self._waiting: Queue[Item | _End] = Queue(depth)

    def fill(self, items: Iterable[Item], dropped: Dropped | None) -> None:
        """Take all items, in the thread of the stage that makes them."""
        iterator, error = iter(items), None
        try:
            for item in iterator:
                if not self._offer(item, dropped):
                    break
        except BaseException as raised:  # noqa: BLE001 - it is raised again where the items are used
            error = raised
        finally:
            if isinstance(iterator, Generator):
                iterator.close()
            self._offer(_End(error), None)

    def empty(self) -> Iterator[Item]:
        """Yield the items, in the thread of the stage that uses them."""
        while not isinstance(found := self._waiting.get(), _End):
            yield found
        if found.error is not None:
            raise found.error

    def _offer(self, entry: Item | _End, dropped: Dropped | None) -> bool:
        """Put an entry into the line; False where nobody wants it any more."""
        while not self.stop.is_set():
            try:
                self._waiting.put(entry, timeout=_PAUSE_S if dropped is None else 0)
            except Full:
                if dropped is not None:
                    dropped.count += self._discard()
            else:
                return True
        return False

    def _discard(self) -> int:
        try:
            self._waiting.get_nowait()
        except Empty:
            return 0
        return 1


@contextmanager
def ended_by_ctrl_c(*, wanted: bool) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that what has no end may be ended and kept; the second one interrupts.

    Args:
        wanted: Else Ctrl-C interrupts at once, and so it does outside the main thread.

    Yields:
        Is set by Ctrl-C.
    """
    asked = threading.Event()
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def end(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, end)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
