"""Runs the commands of a system one after the other, and goes on where it was stopped."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from align import EyelineError, console, locked, write_atomic

from .sample import make_sample
from .systems import Place, System

RECORD = "recipe.json"
"""Of the folder that a system writes: which of its commands are done."""


@dataclass(frozen=True)
class Done:
    """A command that was carried out.

    Attributes:
        command: As a user would type it.
        seconds: It took; None where it was done before.
        failures: Whether it was done but for some inputs, which it recorded.
    """

    command: str
    seconds: float | None = None
    failures: bool = False


def carry_out(system: System, place: Place, tell: Callable[[str], None], printed: TextIO) -> Iterator[Done]:
    """Run the commands of a system that are not done yet, each in a process of its own.

    A training that was cut off goes on from its last epoch.

    Args:
        system: Whose commands.
        place: Where.
        tell: Is told each command before it runs.
        printed: Where the commands' results go.

    Yields:
        Each command, when it is done.

    Raises:
        UsageError: The data are not there.
        EyelineError: A command failed, or the folder is in use.
    """
    if not place.is_sample:
        system.require_data(place)
    place.out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(place.out):
            if place.is_sample and system.sample is not None:
                make_sample(system.sample, place.root)
            yield from _carry_out(place.out / RECORD, system.commands(place), tell, printed)
    except BlockingIOError:
        raise EyelineError(
            f"{place.out}: expected no other recipe at work here (found one); wait for it, or choose another --out"
        ) from None


def _carry_out(record: Path, commands: list[str], tell: Callable[[str], None], printed: TextIO) -> Iterator[Done]:
    done: dict[str, Any] = json.loads(record.read_text()) if record.is_file() else {}
    anew = False  # what follows a command that was run again is run again too
    for command in commands:
        if command in done and not anew:
            yield Done(command, None, done[command]["failures"])
            continue
        anew = True
        tell(command)
        begun = time.monotonic()
        code = _run(command, printed)
        if code not in (console.DONE, console.DONE_WITH_FAILURES):
            raise EyelineError(f"expected exit code 0 of {command} (found {code}); mend it and run the recipe again")
        result = Done(command, time.monotonic() - begun, code == console.DONE_WITH_FAILURES)
        done[command] = {"seconds": result.seconds, "failures": result.failures}
        write_atomic(record, json.dumps(done, indent=2) + "\n")
        yield result


def _run(command: str, printed: TextIO) -> int:
    program, *arguments = shlex.split(command)
    package = program.removeprefix("eyeline-")
    if arguments[0] == "fit":
        from ..checkpoints import to_resume

        arguments += to_resume(Path(arguments[arguments.index("--trainer.default_root_dir") + 1]))
    process = subprocess.Popen(  # noqa: S603 - our own commands
        [sys.executable, "-c", f"import sys; from {package}.cli import main; sys.exit(main())", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=printed,
    )
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
