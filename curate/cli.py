"""eyeline-curate: videos and images -> a split, balanced set of aligned faces."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from align import UsageError, console

from . import pipeline
from .engine import ENGINES
from .manifest import read_curation
from .registry import load_dataset, registry_tables
from .stages import STAGES

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
        commands.add_subcommand(stage, parser_of_stage, help=(STAGES[stage].__doc__ or "").splitlines()[0])
    commands.add_subcommand("report", _set_parser(), help="write the HTML page of a set")
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
    parser.add_argument("--workers", type=int, default=1, help="work units at a time")
    parser.add_argument("--json", action="store_true", help="print one JSON result instead of tables")
    return parser


def _set_parser() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("out", type=Path, help="the set's folder")
    parser.add_argument("--json", action="store_true", help="print one JSON result instead of tables")
    return parser


def _run(args: Namespace) -> int:
    with _progress() as progress:
        record = pipeline.run(_job(args), progress)
    _show(record, args.out, as_json=args.json)
    return _exit_code(record)


def _ingest(args: Namespace) -> int:
    with _progress() as progress:
        record = pipeline.ingest(_job(args), progress)
    _show(record, args.out, as_json=args.json)
    return _exit_code(record)


def _stage(stage: str, args: Namespace) -> int:
    record = pipeline.run_stage(stage, args.out, args.registry)
    _show(record, args.out, as_json=args.json)
    return console.DONE


def _report(args: Namespace) -> int:
    path = pipeline.write_report(args.out)
    record = read_curation(args.out)
    _show(record, args.out, as_json=args.json)
    if not args.json:
        console.emit_text(f"report: {path}")
    return console.DONE


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
    "list": _list,
    **{stage: partial(_stage, stage) for stage in STAGES},
}


def _job(args: Namespace) -> pipeline.Job:
    if args.workers < 1:
        raise UsageError(f"--workers must be 1 or more (got {args.workers})")
    return pipeline.Job(args.name, args.out, args.registry, args.root, args.workers, args.engine)


@contextmanager
def _progress() -> Iterator[pipeline.Progress]:
    with console.progress_bar() as bar:
        task = bar.add_task("work units", note="", total=None)
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)


def _exit_code(record: Record) -> int:
    return console.DONE_WITH_FAILURES if any(unit["error"] for unit in record["units"]) else console.DONE


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
    if record.get("balance", {}).get("classes"):
        columns = ("label", "before", "kept", "shown")
        classes = [[row[name] for name in columns] for row in record["balance"]["classes"]]
        console.emit_table("Classes of the training part, faces and showings an epoch", columns, classes)
    for note in record.get("split", {}).get("notes", ()):
        console.notice(f"note: {note}")
    for unit in record["units"]:
        for error in (unit["error"] or "").splitlines():
            console.notice(f"failed: {error}")
    console.emit_text(f"set: {out}")
