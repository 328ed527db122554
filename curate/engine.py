"""Work units on this machine's processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from align import EyelineError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_local(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """Run `function` on every task and yield the results as they come.

    Frames never cross processes: a task is a description of work, a result a few numbers.

    Args:
        function: A module-level function.
        tasks: What to do.
        workers: Processes; with 1 the work is done in this one.

    Raises:
        EyelineError: A process died.
    """
    if workers == 1 or len(tasks) < 2:
        yield from map(function, tasks)
        return
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=_start_worker)
    with pool:
        futures = [pool.submit(function, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise EyelineError(
                "a worker process died (killed, or out of memory); run the same command again to go on, "
                "with fewer --workers if memory is short"
            ) from None
        finally:
            for future in futures:
                future.cancel()


def _start_worker() -> None:
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores already
