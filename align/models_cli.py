"""eyeline-align models: what model files there are, where they are, and getting and checking them."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from . import console, store
from .errors import ModelError
from .files import printable
from .models import MODELS, models_used_by


def add_models_command(parent: Any) -> None:
    """Add `models` to the subcommands of a parser, which jsonargparse must know before those below are added.

    Args:
        parent: What `ArgumentParser.add_subcommands` gave.
    """
    parser = ArgumentParser(description=__doc__)
    parent.add_subcommand("models", parser, help="list, fetch and verify the model files")
    commands = parser.add_subcommands(required=True)
    listing = _make_parser()
    listing.add_argument("--folder", type=Path, help="a folder of model files that comes before the usual places")
    commands.add_subcommand("list", listing, help="list the model files, their licences and where they are")
    fetching = _make_parser()
    fetching.add_argument("names", nargs="+", type=str, help="model files, or detectors and landmarkers that read them")
    fetching.add_argument(
        "--to", type=Path, help="the folder to put them into; default: EYELINE_MODELS, else the cache"
    )
    commands.add_subcommand("fetch", fetching, help="get model files and check their sha256")
    verifying = _make_parser()
    verifying.add_argument(
        "names", nargs="*", type=str, help="model files, or what reads them; none: all that are here"
    )
    verifying.add_argument("--folder", type=Path, help="a folder of model files that comes before the usual places")
    commands.add_subcommand("verify", verifying, help="check every model file that is here; exit 1 if one is wrong")


def run_models(args: Namespace) -> int:
    """Run one of the subcommands that `add_models_command` added, and give its exit code.

    Args:
        args: What was parsed below `models`.

    Returns:
        The exit code.

    Raises:
        UsageError: There is no such model file, detector or landmarker.
    """
    return _COMMANDS[args.subcommand](args[args.subcommand])


def _make_parser() -> ArgumentParser:
    parser = ArgumentParser()
    parser.add_argument("--json", action="store_true", help="print one JSON result instead of a table")
    return parser


def _list(args: Namespace) -> int:
    rows = []
    for name, card in MODELS.items():
        first = next(iter(store.check_models([name], args.folder)))  # the one that find_model takes
        rows.append(asdict(card) | _plain(first))
    if args.json:
        console.emit_json({"models": rows})
        return console.DONE
    columns = ("name", "bytes", "licence", "commercial use", "where", "checked")
    cells = [
        (r["name"], r["size"], r["licence"], r["commercial"], r["place"] or "not here", r["state"] or "") for r in rows
    ]
    console.emit_table(f"{len(rows)} model files", columns, cells)
    _tell_wrong(row["error"] for row in rows)
    return console.DONE


def _fetch(args: Namespace) -> int:
    names = list(dict.fromkeys(model for name in args.names for model in models_used_by(name)))
    fetched: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    with console.download_bar() as bar:
        for name in names:
            task = bar.add_task(name, total=MODELS[name].size)

            def show(here: int, total: int | None, task: Any = task) -> None:
                bar.update(task, completed=here, total=total)

            try:
                got = store.fetch(name, args.to, progress=show)
            except ModelError as error:
                failed.append({"name": name, "error": str(error)})
                continue
            size = got.path.stat().st_size if got.path else None
            bar.update(task, completed=size, total=size)
            fetched.append(_plain(got))
    if args.json:
        console.emit_json({"fetched": fetched, "failed": failed})
    else:
        for row in fetched:
            console.emit_text(f"{row['path']} ({row['state']}; commercial use: {MODELS[row['name']].commercial})")
    for failure in failed:
        console.notice(f"error: {failure['error']}")
    if failed:
        return console.DONE_WITH_FAILURES if fetched else console.FAILED
    return console.DONE


def _verify(args: Namespace) -> int:
    named = list(dict.fromkeys(model for name in args.names for model in models_used_by(name)))
    checked = list(store.check_models(named or list(MODELS), args.folder))
    here = [_plain(row) for row in checked if row.place]
    missing = [row.name for row in checked if not row.place]
    wrong = [row for row in here if row["error"]]
    if args.json:
        console.emit_json({"files": here, "missing": missing, "wrong": len(wrong)})
    else:
        cells = [(row["name"], row["place"], row["path"], row["state"]) for row in here]
        console.emit_table(f"{len(here)} model files are here", ("name", "where", "path", "checked"), cells)
    _tell_wrong(row["error"] for row in wrong)
    if named:  # what was asked for by name must be here
        _tell_wrong(f"model {name}: not here; run: eyeline-align models fetch {name}" for name in missing)
    return console.FAILED if wrong or (named and missing) else console.DONE


def _plain(row: store.Checked) -> dict[str, Any]:
    return asdict(row) | {"path": None if row.path is None else printable(row.path)}


def _tell_wrong(errors: Iterable[str | None]) -> None:
    for error in errors:
        if error:
            console.notice(f"error: {error}")


_COMMANDS: dict[str, Callable[[Namespace], int]] = {"list": _list, "fetch": _fetch, "verify": _verify}
