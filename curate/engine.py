"""The same work units on this machine's processes, or on a Ray cluster."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from align import EyelineError, UsageError, die_with_parent

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


def run_ray(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """Run `function` on every task on Ray and yield the results as they come.

    Joins the cluster that the environment variable `RAY_ADDRESS` names, or starts one on this machine. Every machine
    of a cluster must see the sources and the output folder under the same paths.

    Args:
        function: A module-level function.
        tasks: What to do; each takes one processor.
        workers: How many tasks run at a time.

    Raises:
        UsageError: Ray is not installed.
        EyelineError: A worker died more often than Ray tries again.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray: expected the package ray (not installed); pip install 'eyeline[ray]'") from None

    def run_one(task: Task) -> Result:  # Ray takes functions only, not partial ones
        return function(task)

    ours = not ray.is_initialized()
    if ours:
        here: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level="ERROR", **here)
    try:
        remote = ray.remote(num_cpus=1, max_retries=3)(run_one)
        waiting = list(tasks)
        running = [remote.remote(task) for task in waiting[:workers]]
        del waiting[:workers]
        while running:
            (done,), running = ray.wait(running, num_returns=1)
            yield ray.get(done)
            if waiting:
                running.append(remote.remote(waiting.pop(0)))
    except ray.exceptions.WorkerCrashedError:
        raise EyelineError("a Ray worker died again and again; run the same command again to go on") from None
    finally:
        if ours:
            ray.shutdown()


ENGINES = {"local": run_local, "ray": run_ray}
"""Name -> what runs the work units."""


def _start_worker() -> None:
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores already
    die_with_parent()
