"""The same work units on this machine's processes, or on a Ray cluster."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from align import Crew, UsageError, WorkerDiedError

Task = TypeVar("Task")
Result = TypeVar("Result")

TRIES = 2
"""How often a task is tried whose worker dies, before it is given up."""


def run_local(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, folder: Path
) -> Iterator[tuple[int, Result | WorkerDiedError]]:
    """Run `function` on every task.

    Frames never cross processes: a task is a description of work, a result a few numbers. A task whose process dies
    is tried once more, alone.

    Args:
        function: A module-level function.
        tasks: What to do.
        workers: Processes; with 1 the work is done in this one, which a task may then end or hold up.
        folder: Where the workers write; it exists.

    Yields:
        The number of a task, and its result, or the error that says that its process died.
    """
    size = 0 if workers == 1 else min(workers, len(tasks))
    with Crew(folder, size) as crew:
        yield from crew.map(function, [(task,) for task in tasks])


def run_ray(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, folder: Path
) -> Iterator[tuple[int, Result | WorkerDiedError]]:
    """Run `function` on every task on Ray; arguments and results as for `run_local`.

    Joins the cluster that the environment variable `RAY_ADDRESS` names, or starts one on this machine. Every machine
    of a cluster must see the sources and the output folder under the same paths. `workers` is how many tasks run at a
    time; each takes one processor.

    Raises:
        UsageError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray: expected the package ray (not installed); pip install 'eyeline[ray]'") from None

    def run_one(task: Task) -> Result:  # Ray takes functions only, not partial ones
        folder.mkdir(parents=True, exist_ok=True)  # on a machine that has not seen it yet
        return function(task)

    ours = not ray.is_initialized()
    if ours:
        here: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level="ERROR", **here)
    try:
        remote = ray.remote(num_cpus=1, max_retries=TRIES - 1)(run_one)
        waiting = list(enumerate(tasks))[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < workers:
                number, task = waiting.pop()
                running[remote.remote(task)] = number
            (done,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(done)
            try:
                yield number, ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                yield number, WorkerDiedError("the worker process died twice, killed or out of memory")
    finally:
        if ours:
            ray.shutdown()


ENGINES = {"local": run_local, "ray": run_ray}
"""Name -> what runs the work units."""
