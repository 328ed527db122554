"""eyeline-curate: videos and images -> a split, balanced set of aligned faces."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from align import UsageError, console

from . import pipeline
from .config import Dedup, HashName
from .engine import ENGINES
from .export.command import export, export_parser
from .job import Job
from .manifest import read_curation
from .registry import load_dataset, registry_tables
from .stages import STAGES
from .units import Progress

if TYPE_CHECKING:
    from .status import Status

Record = Mapping[str, Any]


def main(args: list[str] | None = None) -> int:
    """Run `eyeline-curate` with `args`, or those of the command line, and give its exit code."""
    parsed = make_parser().parse_args(args)
    chosen = parsed[parsed.subcommand]
    return console.run_command(lambda: _COMMANDS[parsed.subcommand](chosen))


def make_parser() -> ArgumentParser:
    """Make the parser; the reference is generated from it."""
    parser = ArgumentParser(prog="eyeline-curate", description=__doc__)
    commands = parser.add_subcommands(required=True)
    for name, said in (("run", "run every stage; running it again resumes"), ("ingest", "decode, detect, align, crop")):
        commands.add_subcommand(name, _job_parser(), help=said)
    for stage in STAGES:
        parser_of_stage = _set_parser()
        parser_of_stage.add_argument("--registry", type=Path, help="a datasets.toml of your own")
        if stage == "split":
            parser_of_stage.add_argument("--fold", type=int, help="the fold that is the test part, from 0")
        commands.add_subcommand(stage, parser_of_stage, help=(STAGES[stage].__doc__ or "").splitlines()[0])
    commands.add_subcommand("report", _set_parser(), help="write the HTML page of a set")
    commands.add_subcommand("status", _status_parser(), help="prove that a set, or a folder with splits, has no leak")
    commands.add_subcommand("export", export_parser(), help="write the kept faces in a form that training code reads")
    listing = ArgumentParser()
    listing.add_argument("--registry", type=Path, help="a datasets.toml of your own")
    listing.add_argument("--json", action="store_true", help="print one JSON result instead of tables")
    commands.add_subcommand("list", listing, help="list the datasets of the registry")
    return parser


def _job_parser() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("name", type=str, help="a table of datasets.toml")
    parser.add_argument("--out", type=Path, required=True, help="the set's folder: new, empty, or one to go on with")
    parser.add_argument("--registry", type=Path, help="a datasets.toml that adds to the shipped one and wins")
    parser.add_argument("--root", type=Path, default=Path(), help="the folder that the sources' paths are relative to")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="local", help="where the work units run")
    parser.add_argument("--workers", type=int, default=1, help="work units at a time; with 1 in this process")
    parser.add_argument("--retry", action="store_true", help="do units again in which something failed")
    parser.add_argument("--json", action="store_true", help="print one JSON result instead of tables")
    return parser


def _set_parser() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("out", type=Path, help="the set's folder")
    parser.add_argument("--json", action="store_true", help="print one JSON result instead of tables")
    return parser


def _status_parser() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("folder", type=Path, help="a set, or a folder with folders called train, val and test")
    parser.add_argument("--hash", type=HashName, default=Dedup().hash, help="a folder's perceptual hash")
    parser.add_argument("--radius", type=int | None, help="bits up to which a folder's pictures are near-duplicates")
    parser.add_argument("--people", action="store_true", help="also find a folder's faces and compare people")
    parser.add_argument("--json", action="store_true", help="print one JSON result instead of tables")
    return parser


def _run(args: Namespace) -> int:
    with _progress() as progress:
        record = pipeline.run(_job(args), progress, console.notice)
    _show(record, args.out, as_json=args.json)
    return _exit_code(record)


def _ingest(args: Namespace) -> int:
    with _progress() as progress:
        record = pipeline.ingest(_job(args), progress, console.notice)
    _show(record, args.out, as_json=args.json)
    return _exit_code(record)


def _stage(stage: str, args: Namespace) -> int:
    record = pipeline.run_stage(stage, args.out, args.registry, args.get("fold"))
    _show(record, args.out, as_json=args.json)
    return console.DONE


def _report(args: Namespace) -> int:
    path = pipeline.write_report(args.out)
    record = read_curation(args.out)
    _show(record, args.out, as_json=args.json)
    if not args.json:
        console.emit_text(f"report: {path}")
    return console.DONE


def _status(args: Namespace) -> int:
    from . import status

    if args.radius is not None and not 0 <= args.radius <= 128:
        raise UsageError(f"--radius must be a number of bits from 0 to 128 (got {args.radius})")
    asked = status.Asked(Dedup(hash=args.hash, radius=args.radius), people=args.people)
    with console.progress_bar() as bar:
        task = bar.add_task("pictures", note="", total=None, visible=False)
        found = status.look(
            args.folder, asked, lambda done, total: bar.update(task, completed=done, total=total, visible=True)
        )
    if args.json:
        console.emit_json({"path": status.one_line(str(args.folder)), **found.record()})
    else:
        _show_status(found, status.one_line)
    return console.DONE_WITH_FAILURES if found.failed else console.DONE


def _show_status(found: "Status", plain: Callable[[str], str]) -> None:
    """Print the sides, every check, and the first examples of what broke one."""
    names = list(next(iter(found.sides.values()), {}))
    rows = [(side, *counts.values()) for side, counts in found.sides.items()]
    console.emit_table(f"Sides of the {found.kind}", ("side", *names), rows)
    words = {"ok": "passed", "failed": "FAILED", "warning": "warning", "skipped": "not checked"}
    console.emit_table("Checks", ("outcome", "what"), [(words[c.level], plain(c.text)) for c in found.checks])
    for check in found.checks:
        if check.level in ("failed", "warning") and check.details:
            console.emit_text(plain(check.text))
            for detail in check.shown:
                console.emit_text(f"  {plain(detail)}")
            if check.more:
                console.emit_text(f"  and {check.more:,} more; --json lists all")


def _list(args: Namespace) -> int:
    names = sorted(registry_tables(args.registry))
    found = {name: load_dataset(name, args.registry) for name in names}
    if args.json:
        console.emit_json({name: dataset.resolved() for name, dataset in found.items()})
        return console.DONE
    table = [(name, dataset.title, dataset.licence) for name, dataset in found.items()]
    console.emit_table("Datasets", ("name", "title", "licence"), table)
    return console.DONE


_COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "run": _run,
    "ingest": _ingest,
    "report": _report,
    "status": _status,
    "export": export,
    "list": _list,
    **{stage: partial(_stage, stage) for stage in STAGES},
}


def _job(args: Namespace) -> Job:
    if args.workers < 1:
        raise UsageError(f"--workers must be 1 or more (got {args.workers})")
    return Job(args.name, args.out, args.registry, args.root, args.workers, args.engine, args.retry)


@contextmanager
def _progress() -> Iterator[Progress]:
    with console.progress_bar() as bar:
        task = bar.add_task("work units", note="", total=None)
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def _exit_code(record: Record) -> int:
    return console.DONE_WITH_FAILURES if any(unit["error"] for unit in record["units"]) else console.DONE


def _show_split(split: Record) -> None:
    """Print the shares that were asked for and got, and the sizes of the folds."""
    if "items" not in split:
        return
    every = split["items"]["all"]
    shares = [
        (side, f"{split['asked'][side]:.1%}", f"{split['got'][side]:.1%}", count) for side, count in every.items()
    ]
    console.emit_table("Sides", ("side", "asked", "got", "faces"), shares)
    if "fold_items" in split:
        sizes = ", ".join(f"{count:,}" for count in split["fold_items"])
        console.emit_text(f"folds of {sizes} faces; the test part is fold {split['fold']}")


def _show(record: Record, out: Path, *, as_json: bool) -> None:
    """Print what a set holds: frames, rows by reason, classes by split."""
    if as_json:
        console.emit_json(record)
        return
    frames = record["frames"]
    stages = [("decoded", "decoded"), ("not sampled", "sampled_out"), ("unchanged, not looked at", "near_identical")]
    funnel = [(title, frames[key]) for title, key in (*stages, ("looked at", "with_rows"))]
    console.emit_table(f"{record['dataset']}: frames", ("what became of them", "frames"), funnel)
    console.emit_table("Faces, and frames without one", ("outcome", "rows"), record["rows"].items())
    _show_split(record.get("split") or {})
    if record.get("balance", {}).get("classes"):
        columns = ("label", "before", "kept", "shown")
        classes = [[row[name] for name in columns] for row in record["balance"]["classes"]]
        console.emit_table("Classes of the training part, faces and showings an epoch", columns, classes)
    if record.get("balance", {}).get("units"):
        units = [list(row.values()) for row in record["balance"]["units"]]
        columns = tuple(record["balance"]["units"][0])
        console.emit_table("Action units of the training part, faces and showings an epoch", columns, units)
    for note in record.get("split", {}).get("notes", ()):
        console.notice(f"note: {note}")
    for unit in record["units"]:
        for error in (unit["error"] or "").splitlines():
            console.notice(f"failed: {error}")
    console.emit_text(f"set: {out}")
