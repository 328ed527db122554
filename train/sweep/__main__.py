"""One run in a process of its own: `fit`, `test`, and the scores of every split.

The argument is the run's folder, with `job.json`: the configuration and which checkpoint is scored. The result is
`result.json`, written last: a run that has it is done, and one that has not goes on from its last epoch.
"""

import json
import os
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from align import EyelineError, console, locked, write_atomic

from ..cli import main as eyeline_train
from .clock import seconds_per_epoch
from .plan import JOB, RESULT

FITTED, EPOCHS = "fitted", "epochs.csv"
_WATCH_S = 0.5
_PATIENCE = 20


def main(folder: Path) -> int:
    """Carry the run out, from wherever it was left."""
    _end_with_parent()
    for _ in range(_PATIENCE):
        try:
            with locked(folder):
                return _carry_on(folder)
        except BlockingIOError:  # the run of a sweep that was killed just now is still ending
            time.sleep(_WATCH_S)
    console.notice(f"error: {folder}: expected no other process at work here (found one); end it and sweep again")
    return console.FAILED


def _carry_on(folder: Path) -> int:
    job = json.loads((folder / JOB).read_text())
    file = folder / "run.yaml"
    write_atomic(file, yaml.safe_dump(_with_clock(job["config"], folder), sort_keys=False))
    common = ["--config", str(file), "--trainer.default_root_dir", str(folder)]
    if not (folder / FITTED).exists():
        code = eyeline_train(["fit", *common, *_resumed(folder)])
        if code != console.DONE:
            return code
        (folder / FITTED).touch()
    return console.run_command(lambda: _finish(folder, job, common))


def _finish(folder: Path, job: dict[str, Any], common: list[str]) -> int:
    from ..console import quiet
    from .score import score

    best = folder / "checkpoints" / "best.ckpt"
    chosen = best if job["checkpoint"] == "best" and best.is_file() else best.with_name("last.ckpt")
    with quiet():
        scores = score(chosen, job["config"])
    if "test" in scores:
        code = eyeline_train(["test", *common, "--ckpt_path", str(chosen)])
        if code != console.DONE:
            return code
    epochs, seconds = seconds_per_epoch(folder / EPOCHS)
    result = {"epochs": epochs, "seconds_per_epoch": seconds, "checkpoint": str(chosen), **scores}
    write_atomic(folder / RESULT, json.dumps(result, indent=2) + "\n")
    return console.DONE


def _with_clock(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    trainer = dict(config.get("trainer") or {})
    callbacks = trainer.get("callbacks") or []
    clock = {"class_path": "train.sweep.clock.EpochClock", "init_args": {"path": str(folder / EPOCHS)}}
    every = [*(callbacks if isinstance(callbacks, list) else [callbacks]), clock]
    return {**config, "trainer": {**trainer, "callbacks": every}}


def _resumed(folder: Path) -> list[str]:
    """Go on from the last epoch; a checkpoint that was cut off while it was written is of no use, and is removed."""
    from ..checkpoints import read_checkpoint

    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return []
    try:
        read_checkpoint(last)
    except EyelineError as error:
        console.notice(f"note: {error}; the run starts anew")
        last.unlink()
        return []
    return ["--ckpt_path", str(last)]


def _end_with_parent() -> None:
    """End with the sweep, so that a run does not go on writing into a folder that a new sweep works in."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
