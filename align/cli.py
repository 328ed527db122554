"""eyeline-align: pictures -> aligned faces, and a table of what was found in each."""

import re
import sys
import time
from argparse import SUPPRESS
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from jsonargparse import ArgumentParser, Namespace

from . import console
from .batch import TABLE, Job, Outcome, Recipe, run
from .crop import TEMPLATES, Anchor, Border, Colour, CropSpec
from .detect import DETECTORS
from .errors import UsageError
from .files import printable
from .find import Choice
from .inputs import PathList, list_pictures
from .ladder import Search, Until
from .landmarks import LANDMARKERS
from .models_cli import add_models_command, run_models
from .quality import Gates

_SHOWN_FAILURES = 10


def main(args: list[str] | None = None) -> int:
    """Run `eyeline-align` with `args`, or those of the command line, and give its exit code."""
    parsed = make_parser().parse_args(args)
    chosen = parsed[parsed.subcommand]
    return console.run_command(lambda: _COMMANDS[parsed.subcommand](chosen))


def make_parser() -> ArgumentParser:
    """Make the parser; the reference is generated from it."""
    parser = ArgumentParser(prog="eyeline-align", description=__doc__)
    commands = parser.add_subcommands(required=True)
    commands.add_subcommand("run", _run_parser(), help="align and crop the faces of pictures; running it again resumes")
    add_models_command(commands)
    return parser


def _run_parser() -> ArgumentParser:
    run_ = ArgumentParser()
    add = run_.add_argument
    # SUPPRESS: any other default of a positional would win over the paths of a --config
    add(
        "paths",
        nargs="*",
        type=str,
        default=SUPPRESS,
        help="pictures, folders, quoted globs; - reads a list from stdin",
    )
    add("--config", action="config", help="a YAML file with any of these options; flags after it win")
    add(
        "--out",
        type=Path,
        required=True,
        help="the crops and faces.parquet of these pictures, and of no others; never read as input",
    )
    add("-0", "--null", action="store_true", help="the paths of the list on stdin end with NUL, not with a line break")
    add("--detector", choices=sorted(DETECTORS), default="hog", help="what finds the faces")
    add("--landmarks", choices=sorted(LANDMARKERS), default="dlib5", help="what finds the eyes")
    add("--search", choices=list(get_args(Until)), default="alike", help="when enough has been seen; see align.Search")
    add("--min_face", type=int, default=Search.min_face, help="smallest face that is looked for, in pixels")
    add("--turns", type=bool, default=True, help="look for lying and overhead faces where no upright one is found")
    add("--template", choices=sorted(TEMPLATES), default="tight", help="where the eyes stand in the crop")
    add("--size", type=int | str, default=224, help="pixels of a crop: one number, or WIDTHxHEIGHT such as 96x128")
    add("--border", choices=list(get_args(Border)), default="replicate", help="what is shown beyond the picture")
    add("--colour", choices=list(get_args(Colour)), default="rgb", help="channels of a crop")
    add(
        "--anchor", choices=list(get_args(Anchor)), default="eyes", help="what the template holds: eyes, or five points"
    )
    add("--faces", choices=list(get_args(Choice)), default="all", help="which faces of a picture")
    add("--models", type=Path | None, default=None, help="a folder of model files that is looked at first")
    add(
        "--device",
        type=str,
        default="cpu",
        help="where the networks run: cpu, or cuda; landmarks of dlib stay on the CPU",
    )
    add("--workers", type=int, default=1, help="processes")
    add("--json", action="store_true", help="print one JSON result instead of a table")
    run_.add_class_arguments(Gates, "gates", help="what drops a face; null lets everything through")
    return run_


def _run(args: Namespace) -> int:
    if args.workers < 1:
        raise UsageError(f"--workers must be 1 or more (got {args.workers})")
    if args.models is not None and not args.models.is_dir():
        raise UsageError(f"--models must be a folder that holds model files by their names (got {args.models})")
    crop = CropSpec(args.template, _size(args.size), args.border, args.colour, args.anchor)
    gates = Gates(**vars(args.gates))
    search = Search(args.search, args.min_face, args.turns)
    recipe = Recipe(args.detector, args.landmarks, crop, gates, args.faces, search, args.device, args.models)
    piped = PathList(sys.stdin.buffer, null=args.null)
    pictures, skipped = list_pictures(args.get("paths", []), args.out, piped)
    begun = time.monotonic()
    with console.progress_bar() as bar:
        task = bar.add_task("pictures", total=len(pictures), note="")
        job = Job(pictures, recipe, args.out, args.workers)
        outcome = run(job, lambda done: bar.update(task, completed=done))
    if skipped:
        console.notice(f"not read, because they lie in {printable(args.out)}: {skipped:,} files or folders")
    return _show(outcome, args, len(pictures), time.monotonic() - begun)


_COMMANDS: dict[str, Callable[[Namespace], int]] = {"run": _run, "models": run_models}


def _size(text: int | str) -> int | tuple[int, int]:
    """Read `224` or `96x128`.

    Raises:
        UsageError: It is neither.
    """
    found = re.fullmatch(r"([0-9]+)(?:x([0-9]+))?", str(text), re.ASCII)
    if not found:
        raise UsageError(f"--size must be a number of pixels or WIDTHxHEIGHT such as 96x128 (got {text!r})")
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def _show(outcome: Outcome, args: Namespace, pictures: int, seconds: float) -> int:
    """Print what became of the pictures; give the exit code."""
    table = printable(args.out / TABLE)
    outcomes = Counter(reason or "aligned" for reason in outcome.table["drop_reason"].to_pylist())
    failed = [error for error in outcome.table["error"].to_pylist() if error]
    speed = (pictures - outcome.kept) / seconds
    if args.json:
        result: dict[str, Any] = {"pictures": pictures, "outcomes": dict(outcomes), "failed": failed, "table": table}
        result |= {"kept": outcome.kept, "removed": outcome.removed, "pictures_per_s": round(speed, 2)}
        console.emit_json(result)
    else:
        console.emit_table(f"{pictures:,} pictures", ("outcome", "rows"), sorted(outcomes.items()))
        told = f"{outcome.kept:,} pictures kept from an earlier run, " if outcome.kept else ""
        told += f"{outcome.removed:,} crops of an earlier run removed, " if outcome.removed else ""
        console.emit_text(f"{told}{speed:,.1f} pictures/s")
        console.emit_text(f"table: {table}")
    for message in failed[:_SHOWN_FAILURES]:
        console.notice(f"failed: {message}")
    if len(failed) > _SHOWN_FAILURES:
        console.notice(f"failed: and {len(failed) - _SHOWN_FAILURES:,} more; see {table}")
    if failed and len(failed) == pictures:
        return console.FAILED
    return console.DONE_WITH_FAILURES if failed else console.DONE
