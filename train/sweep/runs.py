"""Carries the runs of a sweep out, some at a time, each in a fresh process."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from align import EyelineError, UsageError, locked, write_atomic

from ..parent import command
from .extra import plain, read_scores
from .plan import JOB, RESULT, Plan, Run

State = Literal["done", "half", "new"]
Told = Callable[[int, int, str], None]

LOG, ERROR = "log.txt", "error: "


def folder_of(run: Run, out: Path) -> Path:
    """Give the folder of a run."""
    return out / "runs" / run.name


def state_of(run: Run, out: Path, plan: Plan | None = None) -> State:
    """Tell whether a run is done, the further sets of a plan included, was begun, or is new."""
    folder = folder_of(run, out)
    if (folder / RESULT).is_file():
        return "done" if plan is None or _is_done(folder, plan) else "half"
    return "half" if (folder / "checkpoints" / "last.ckpt").is_file() else "new"


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Hold a sweep's folder, which is made, while its runs, costs and tables are worked on.

    Raises:
        UsageError: It is a file.
        EyelineError: Another sweep works in it.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: expected a folder for the sweep (found a file); choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out):
            yield
    except BlockingIOError:
        raise EyelineError(
            f"{out}: expected no other sweep at work here (found one); wait for it, or choose another --out"
        ) from None


def sweep(plan: Plan, out: Path, jobs: int = 1, told: Told | None = None) -> list[dict[str, Any]]:
    """Carry out all runs that are not done yet, in a folder that is `claimed`.

    A run that fails is recorded and the others go on; it is tried again when the sweep is started again.

    Args:
        plan: The runs.
        out: The sweep's folder.
        jobs: Runs at a time; the processor's cores are shared out among them.
        told: Is told how many runs are done, of how many, and the name of the last.

    Returns:
        For each run, in the plan's order, `run` (its name), `values`, `seed`, and either what `result.json` holds or
        `error`, one sentence; `also` has the scores on further sets.
    """
    children: set[subprocess.Popen[bytes]] = set()
    count, lock = 0, Lock()

    def one(run: Run) -> dict[str, Any]:
        nonlocal count
        result = _carry_out(run, plan, folder_of(run, out), jobs, children)
        with lock:
            count += 1
            if told:
                told(count, len(plan.runs), run.name)
        return {"run": run.name, "values": run.values, "seed": run.seed, **result}

    pool = ThreadPoolExecutor(jobs)
    try:
        return list(pool.map(one, plan.runs))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(children):
            child.terminate()
        pool.shutdown()


def _carry_out(run: Run, plan: Plan, folder: Path, jobs: int, children: set[subprocess.Popen[bytes]]) -> dict[str, Any]:
    failed = {}
    if not _is_done(folder, plan):
        folder.mkdir(parents=True, exist_ok=True)
        job = {"config": run.config, "checkpoint": plan.checkpoint, "train_faces": plan.train_faces}
        job["also"] = plain(plan.also)
        write_atomic(folder / JOB, json.dumps(job, indent=2) + "\n")
        with (folder / LOG).open("ab") as log:
            start = log.tell()
            child = subprocess.Popen(  # noqa: S603 - our own module
                command(f"{__package__}.__main__", str(folder)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | _threads(jobs),
            )
            children.add(child)
            code = child.wait()
            children.discard(child)
        if not _is_done(folder, plan):
            failed = {"error": _sentence(folder / LOG, start, code)}
    result = json.loads((folder / RESULT).read_text()) if (folder / RESULT).is_file() else {}
    also = {"also": read_scores(folder, plan.also)} if plan.also else {}
    return {**result, **also, **failed}


def _is_done(folder: Path, plan: Plan) -> bool:
    return (folder / RESULT).is_file() and len(read_scores(folder, plan.also)) == len(plan.also)


def _threads(jobs: int) -> dict[str, str]:
    """Share the cores out among the runs, unless somebody has done so."""
    if jobs == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}


def _sentence(log: Path, start: int, code: int) -> str:
    """Say why a run failed: the error that it printed, else its last line."""
    lines = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if errors:
        return errors[-1]
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    return f"{log}: expected a result (the run {how}; its last line: {lines[-1].strip() if lines else 'none'})"
