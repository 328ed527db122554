"""The one place that prints: results on stdout, progress and errors on stderr, and the exit codes."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from .errors import EyelineError

_WIDE = 1000
"""Columns of a table that no terminal bounds."""

DONE, FAILED, WRONG_USAGE, DONE_WITH_FAILURES = 0, 1, 2, 3
"""Exit codes of every command."""


def run_command(command: Callable[[], int]) -> int:
    """Run a command; an `EyelineError` becomes one sentence on stderr and its exit code.

    Args:
        command: Does the work and returns an exit code.

    Returns:
        The exit code.
    """
    try:
        return command()
    except EyelineError as error:
        notice(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        notice("stopped; run the same command again")
        return FAILED
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        notice(f"error: {place}{error.strerror or error}; make room or mend the path, then run the same command again")
        return FAILED


def notice(text: str) -> None:
    """Print one line on stderr."""
    print(text, file=sys.stderr)  # noqa: T201  this is the place that prints


def emit_json(result: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Print the machine-readable result on stdout."""
    print(json.dumps(result, indent=2, sort_keys=True))  # noqa: T201


def emit_text(text: str) -> None:
    """Print one line of the result on stdout."""
    print(text)  # noqa: T201


def emit_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout; numbers stand at the right."""
    table = Table()
    lines = [list(row) for row in rows]
    for index, name in enumerate(columns):
        numeric = bool(lines) and all(isinstance(line[index], int | float) for line in lines)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(escape(name), justify=justify, overflow="fold", no_wrap=index == 0)
    for line in lines:
        table.add_row(*(escape(_cell(value)) for value in line))
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(f"[bold]{escape(title)}[/bold]")
    console.print(table)


def progress_bar() -> Progress:
    """Make a progress bar on stderr; use it as a context manager."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
    )


def download_bar() -> Progress:
    """Make a progress bar of bytes on stderr; use it as a context manager."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
