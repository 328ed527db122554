"""Processes that align pictures and may die: the picture one was at is tried once more alone, then given up."""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import starmap
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Self

from ..errors import EyelineError, UsageError
from ..lock import locked
from ..processes import die_with_parent

_WAIT_FOR_WORKERS_S = 60.0
_WAIT_STEP_S = 0.05

Task = tuple[Any, ...]


class WorkerDiedError(EyelineError):
    """Say that the process at work on a task died, also when the task was tried alone."""


@dataclass
class _Slot:
    """One worker process at a time, made when it is needed and made anew after it died.

    A pool of one process each, and not one pool of many: when a process dies, what it was at is known, and the
    other processes go on.
    """

    folder: Path
    threads: int
    pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], task: Task) -> Future[Any]:
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(self.folder, self.threads)
            )
        try:
            with _interrupts_held(), _main_hidden():
                return self.pool.submit(function, *task)
        except BrokenProcessPool:  # it died between two tasks
            self.close()
            return self.submit(function, task)

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = None


@dataclass
class Crew:
    """Worker processes that share a folder; use it as a context manager.

    Attributes:
        folder: Where the workers write; `wait_for_workers` waits for all that were started for it.
        size: How many processes; with 0 the work is done in this one, which a task may then end.
    """

    folder: Path
    size: int
    slots: list[_Slot] = field(default_factory=list)

    def __enter__(self) -> Self:
        threads = max(1, (os.cpu_count() or 1) // max(1, self.size))
        self.slots = [_Slot(self.folder, threads) for _ in range(self.size)]
        return self

    def __exit__(self, *_: object) -> None:
        for slot in self.slots:
            slot.close()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function in a worker.

        Raises:
            WorkerDiedError: The worker died.
        """
        if not self.slots:
            return function(*arguments)
        try:
            return self.slots[0].submit(function, arguments).result()
        except BrokenProcessPool:
            self.slots[0].close()
            raise WorkerDiedError(
                "a worker process: expected to start (it died, killed or out of memory); run the same command again "
                "with fewer --workers"
            ) from None

    def map(self, function: Callable[..., Any], tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
        """Run a module-level function on every task; a task whose worker died is tried once more, alone at the end.

        Yields:
            The number of the task, and its result or a `WorkerDiedError`, as they come.
        """
        if not self.slots:
            yield from enumerate(starmap(function, tasks))
            return
        suspects: list[int] = []
        for number, result in self._pass(function, tasks, range(len(tasks)), self.slots):
            if isinstance(result, WorkerDiedError):
                suspects.append(number)
            else:
                yield number, result
        for slot in self.slots:
            slot.close()  # alone: the memory of the others is free again
        for number in sorted(suspects):
            yield from self._pass(function, tasks, [number], self.slots[:1])

    def _pass(
        self, function: Callable[..., Any], tasks: Sequence[Task], numbers: Sequence[int], slots: Sequence[_Slot]
    ) -> Iterator[tuple[int, Any]]:
        waiting, free = deque(numbers), list(slots)
        running: dict[Future[Any], tuple[_Slot, int]] = {}
        while waiting or running:
            while waiting and free:
                slot, number = free.pop(), waiting.popleft()
                running[slot.submit(function, tasks[number])] = slot, number
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                slot, number = running.pop(future)
                free.append(slot)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    slot.close()
                    result = WorkerDiedError("the worker process died twice, killed or out of memory")
                yield number, result


def wait_for_workers(folder: Path) -> None:
    """Wait for the workers of a killed run: one that is inside a model ends when the model returns.

    Raises:
        UsageError: They are still there after a minute.
    """
    until = time.monotonic() + _WAIT_FOR_WORKERS_S
    while True:
        try:
            with locked(folder):
                return
        except BlockingIOError:
            if time.monotonic() > until:
                raise UsageError(
                    f"{folder}: expected a free folder (a worker of an earlier run is still at work in it); end it"
                ) from None
            time.sleep(_WAIT_STEP_S)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start a process that ignores Ctrl-C, which a terminal sends to all: its parent decides; it gets it after this."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its own start would let the interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Start a process that does not run the main module again: our tasks need nothing of it.

    It would import the whole command, or do a user's script a second time that does not guard against that.
    """
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: vars(main)[name] for name in ("__spec__", "__file__") if name in vars(main)}
    vars(main).update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        vars(main).update(hidden)


def _start_worker(folder: Path, threads: int) -> None:
    die_with_parent()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # the processes share the cores
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)  # held until this process ends
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)  # the lock came too late to be waited for
    import cv2

    cv2.setNumThreads(1)
