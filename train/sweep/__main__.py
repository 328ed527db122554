"""One run in a process of its own: `fit`, `test`, and the scores and pictures of every split.

The argument is the run's folder, with `job.json`: the configuration, which checkpoint is scored, and on which further
sets. The result is `result.json`: a run that has it is trained, and one that has not goes on from its last epoch. Each
further set's score is a file of its own, so that another set costs no training.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from align import console, locked, write_atomic

from ..cli import main as eyeline_train
from .clock import read_epochs, seconds_per_epoch
from .extra import missing_sets, write_score
from .plan import JOB, RESULT

FITTED, EPOCHS = "fitted", "epochs.csv"
_WAIT_S = 0.5
_PATIENCE = 20


def main() -> int:
    """Carry the run out whose folder is the argument, from wherever it was left."""
    folder = Path(sys.argv[1])
    for _ in range(_PATIENCE):
        try:
            with locked(folder):
                return _carry_on(folder)
        except BlockingIOError:  # the run of a sweep that was killed just now is still ending
            time.sleep(_WAIT_S)
    console.notice(f"error: {folder}: expected no other process at work here (found one); end it and sweep again")
    return console.FAILED


def _carry_on(folder: Path) -> int:
    from ..checkpoints import to_resume

    job = json.loads((folder / JOB).read_text())
    file = folder / "run.yaml"
    write_atomic(file, yaml.safe_dump(_with_clock(job["config"], folder), sort_keys=False))
    common = ["--config", str(file), "--trainer.default_root_dir", str(folder)]
    if (folder / RESULT).is_file():
        return console.run_command(lambda: _elsewhere(folder, job))
    if not (folder / FITTED).exists():
        code = eyeline_train(["fit", *common, *to_resume(folder)])
        if code != console.DONE:
            return code
        (folder / FITTED).touch()
    return console.run_command(lambda: _finish(folder, job, common))


def _finish(folder: Path, job: dict[str, Any], common: list[str]) -> int:
    from ..console import quiet
    from .pictures import draw_run
    from .score import score

    best = folder / "checkpoints" / "best.ckpt"
    chosen = best if job["checkpoint"] == "best" and best.is_file() else best.with_name("last.ckpt")
    with quiet():
        scored = score(chosen, job["config"], as_shown=job["train_faces"] == "as_shown")
    if "test" in scored.outcomes:
        code = eyeline_train(["test", *common, "--ckpt_path", str(chosen)])
        if code != console.DONE:
            return code
    draw_run(folder, scored)
    epochs, seconds = seconds_per_epoch(folder / EPOCHS)
    result = {
        "epochs": epochs,
        "seconds_per_epoch": seconds,
        "training_seconds": sum(read_epochs(folder / EPOCHS).values()),
        "checkpoint": str(chosen),
        **scored.numbers,
    }
    write_atomic(folder / RESULT, json.dumps(result, indent=2) + "\n")
    return _elsewhere(folder, job)


def _elsewhere(folder: Path, job: dict[str, Any]) -> int:
    """Score the checkpoint on the further sets that it has not been scored on yet."""
    from ..console import quiet
    from .score import score_elsewhere

    checkpoint = Path(json.loads((folder / RESULT).read_text())["checkpoint"])
    for name, extra in missing_sets(folder, job["also"]).items():
        with quiet():
            numbers = score_elsewhere(checkpoint, job["config"], extra.root)
        write_score(folder, name, extra, numbers)
    return console.DONE


def _with_clock(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    trainer = dict(config.get("trainer") or {})
    callbacks = trainer.get("callbacks") or []
    clock = {"class_path": "train.sweep.clock.EpochClock", "init_args": {"path": str(folder / EPOCHS)}}
    every = [*(callbacks if isinstance(callbacks, list) else [callbacks]), clock]
    return {**config, "trainer": {**trainer, "callbacks": every}}


if __name__ == "__main__":
    sys.exit(main())
