"""Runs the commands of a system one after the other, and goes on where it was stopped."""

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from align import EyelineError, UsageError, console, locked

from ..parent import command as child_command
from .record import Record
from .sample import make_sample
from .systems import Place, System

_RUN_FOLDER = "--trainer.default_root_dir"
_WRITTEN = ("--out", "--dest", _RUN_FOLDER)
"""The flags that name the folder a command writes."""


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

    A command whose folder was removed is run again, and so is all that follows a command that is run. A training that
    was cut off goes on from its last epoch.

    Args:
        system: Whose commands.
        place: Where.
        tell: Is told each command before it runs.
        printed: Where the commands' results go.

    Yields:
        Each command, when it is done.

    Raises:
        UsageError: The data are not there, or the folder is a file or holds another recipe's results.
        EyelineError: A command failed, or the folder is in use.
    """
    if not place.is_sample:
        system.require_data(place)
    if place.out.exists() and not place.out.is_dir():
        raise UsageError(f"{place.out}: expected a folder for the recipe (found a file); choose another --out")
    Record.read(place.out, system.name)  # before anything is written
    place.out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(place.out):
            if place.is_sample and system.sample is not None:
                make_sample(system.sample, place.root)
            yield from _carry_out(system, place, tell, printed)
    except BlockingIOError:
        raise EyelineError(
            f"{place.out}: expected no other recipe at work here (found one); wait for it, or choose another --out"
        ) from None


def _carry_out(system: System, place: Place, tell: Callable[[str], None], printed: TextIO) -> Iterator[Done]:
    record = Record.read(place.out, system.name)
    before: list[str] = []
    for step in system.steps:
        command, key = step.command(place), step.key(place)
        if key in record.done and _is_there(command):
            yield Done(command, None, record.done[key]["failures"])
        else:
            goes_on = record.begin(key, before)
            tell(command)
            begun = time.monotonic()
            code = _run(command, printed, goes_on=goes_on)
            if code not in (console.DONE, console.DONE_WITH_FAILURES):
                raise EyelineError(
                    f"expected exit code 0 of {command} (found {code}); mend it and run the recipe again: what is done "
                    "stays as it is, but for folders that you remove"
                )
            seconds, failures = time.monotonic() - begun, code == console.DONE_WITH_FAILURES
            record.end(key, seconds, failures=failures)
            yield Done(command, seconds, failures)
        before.append(key)


def _is_there(command: str) -> bool:
    """Tell whether the folder that a command wrote is still there."""
    words = shlex.split(command)
    return all(Path(words[words.index(flag) + 1]).is_dir() for flag in _WRITTEN if flag in words)


def _run(command: str, printed: TextIO, *, goes_on: bool) -> int:
    program, *arguments = shlex.split(command)
    package = program.removeprefix("eyeline-")
    if arguments[0] == "fit":
        arguments += _resumed(Path(arguments[arguments.index(_RUN_FOLDER) + 1]), goes_on=goes_on)
    process = subprocess.Popen(  # noqa: S603 - our own commands
        child_command(f"{package}.cli", *arguments), stdin=subprocess.DEVNULL, stdout=printed
    )
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _resumed(folder: Path, *, goes_on: bool) -> list[str]:
    """Give the flags of a training that goes on; of one that begins, an older one's checkpoints are removed.

    Those are of other data or settings: a training that was killed before its first epoch would go on from them.
    """
    from ..checkpoints import NAMES, to_resume

    if goes_on:
        return to_resume(folder)
    for name in NAMES:
        (folder / "checkpoints" / f"{name}.ckpt").unlink(missing_ok=True)
    return []
