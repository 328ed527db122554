"""The subcommand `eyeline-curate export`: its options, and what it prints."""

from pathlib import Path
from typing import get_args

from jsonargparse import ArgumentParser, Namespace

from align import console

from .export import Result, export_set
from .spec import SIDES, Export, Format, Link, Order, Paths, Shards, refuse_options


def export_parser() -> ArgumentParser:
    """Make the parser of the subcommand."""
    shards = Shards()
    parser = ArgumentParser()
    add = parser.add_argument
    add("out", type=Path, help="the set's folder")
    add("--to", choices=get_args(Format), required=True, help="the form")
    add("--dest", type=Path, required=True, help="the folder to write: new or empty; it appears whole or not at all")
    add("--splits", type=str, help=f"some of {','.join(SIDES)}; default: those that the set has")
    add(
        "--repeat", action="store_true", help="write a face as often as an epoch shows it; else the number stands there"
    )
    add("--link", choices=get_args(Link), help="folders, fiftyone: how crops come in; default: hard, else copy")
    add("--paths", choices=get_args(Paths), help="csv: of the crops; default: relative to --dest")
    add("--per-shard", type=int | None, help=f"webdataset, hf: faces in a file at the most; default: {shards.faces}")
    add("--shard-mb", type=int | None, help=f"webdataset, hf: megabytes of a file; default: {shards.megabytes}")
    add("--order", choices=get_args(Order), help=f"webdataset, hf: of the faces in the files; default: {shards.order}")
    add("--seed", type=int | None, help=f"webdataset, hf: of the shuffle; default: {shards.seed}")
    add("--json", action="store_true", help="print one JSON result instead of tables")
    return parser


def export(args: Namespace) -> int:
    """Run the subcommand."""
    given = {name: args[name] for name in ("link", "paths", "per_shard", "shard_mb", "order", "seed")}
    given = {name: value for name, value in given.items() if value is not None}
    refuse_options(args.to, list(given))
    renamed = {"per_shard": "faces", "shard_mb": "megabytes", "order": "order", "seed": "seed"}
    shards = Shards(**{ours: given.pop(name) for name, ours in renamed.items() if name in given})
    sides = tuple(side.strip() for side in args.splits.split(",")) if args.splits is not None else ()
    asked = Export(args.out, args.to, args.dest, sides, args.repeat, shards=shards, **given)
    with console.progress_bar() as bar:
        task = bar.add_task("faces", note="", total=None)
        found = export_set(asked, lambda done, total: bar.update(task, completed=done, total=total))
    if args.json:
        console.emit_json(found.record())
    else:
        _show(found)
    return console.DONE


def _show(found: Result) -> None:
    rows = [(side, said["faces"], said["showings"]) for side, said in found.splits.items()]
    console.emit_table("Exported faces, and showings an epoch", ("side", "faces", "showings"), rows)
    for name in ("linked", "copied"):
        if found.details.get(name):
            console.emit_text(f"{name}: {found.details[name]:,} files")
    for note in found.notes:
        console.notice(f"note: {note}")
    console.emit_text(f"export: {found.dest}")
