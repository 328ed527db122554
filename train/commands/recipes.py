"""List the systems that ship as recipes, or run one from its data to its numbers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from align import UsageError, console

if TYPE_CHECKING:
    from ..recipes.systems import Place, System


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("name", type=str | None, nargs="?", default=None, help="the recipe to run; left out, all are listed")
    add("--root", type=Path | None, default=None, help="the folder of the data, as their owners lay it out; default: .")
    add("--out", type=Path | None, default=None, help="where everything is written; runs/NAME if left out")
    add("--sample", action="store_true", help="make a small set that is laid out as the real one, and run on that")
    add("--workers", type=int, default=1, help="of the commands that share their work out")
    add("--dry_run", action="store_true", help="print the commands, and run none")
    add("--json", action="store_true", help="print one JSON result; what the commands print goes to stderr")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..recipes.systems import load_system, system_names

    if arguments.name is None:
        return _list([load_system(name) for name in system_names()], as_json=arguments.json)
    if arguments.workers < 1:
        raise UsageError(f"--workers must be an integer >= 1 (got {arguments.workers})")
    system = load_system(arguments.name)
    for flag, given, taken in (
        ("--sample", arguments.sample, system.sample is not None),
        ("--root", arguments.root is not None, system.takes_root),
    ):
        if given and not taken:
            raise UsageError(f"{flag}: {system.name} reads what Python packages ship; leave {flag} out")
    if arguments.sample and arguments.root is not None:
        raise UsageError(
            f"--root: expected none beside --sample, which makes its own data (got {arguments.root}); leave one out"
        )
    return _run(system, arguments)


def _list(systems: "list[System]", *, as_json: bool) -> int:
    rows = [system.described() for system in systems]
    if as_json:
        console.emit_json(rows)
        return console.DONE
    for row in rows:
        console.emit_text(f"{row['recipe']}: {row['title']}")
        for key in ("source", "data", "ask at"):
            console.emit_text(f"    {key}: {row[key]}")
    console.emit_text("\neyeline-train recipes NAME --root DATA runs one; --sample runs it on a small made set.")
    return console.DONE


def _show(system: "System", place: "Place", *, as_json: bool) -> int:
    commands = system.commands(place)
    if as_json:
        console.emit_json({"recipe": system.name, "commands": commands})
    else:
        for command in commands:
            console.emit_text(command)
    if place.is_sample and not place.root.is_dir():
        console.notice(f"note: {place.root} is not there yet; the recipe makes it when it is run without --dry_run")
    return console.DONE


def _run(system: "System", arguments: Namespace) -> int:
    from ..recipes.runner import carry_out
    from ..recipes.systems import Place

    out = arguments.out or Path("runs") / system.name
    root = out / "sample" if arguments.sample else arguments.root or Path()
    place = Place(root, out, arguments.workers, arguments.sample)
    if arguments.dry_run:
        return _show(system, place, as_json=arguments.json)
    printed = sys.stderr if arguments.json else sys.stdout
    done = list(carry_out(system, place, lambda command: console.notice(f"$ {command}"), printed))
    failures = any(step.failures for step in done)
    if arguments.json:
        steps = [{"command": s.command, "seconds": s.seconds, "failures": s.failures} for s in done]
        console.emit_json({"recipe": system.name, "out": str(out), "steps": steps})
    else:
        for step in done:
            time = "done before" if step.seconds is None else f"{step.seconds:.0f} s"
            console.emit_text(f"{time:>11}  {step.command}{', which recorded failures' * step.failures}")
    return console.DONE_WITH_FAILURES if failures else console.DONE
