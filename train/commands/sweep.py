"""Train every combination of a grid, each in a process of its own; end in one table and plot, and resume."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from align import UsageError, console

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..sweep import Asked, Plan


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add(
        "file",
        type=str,
        help="YAML, or a shipped grid's name: base (a recipe or values), set, grid, seeds, checkpoint, also, costs",
    )
    add("--out", type=Path, required=True, help="the folder of the runs, the table and the plot")
    add("--root", type=Path | None, default=None, help="the curated set, in place of data.root")
    pairs = {
        "--set": "KEY=VALUE over the file's own, which all runs share",
        "--grid": "KEY=[VALUES] in place of the file's grid of that key",
        "--also": "NAME=SET, whose test part each checkpoint is scored on too",
    }
    for flag, said in pairs.items():
        add(flag, nargs="+", action="extend", type=str, default=[], help=said)  # given twice, both count
    add("--costs", type=str | None, default=None, help="true, or {round_s: 0.5, ...}: measure each network's speed")
    add("--jobs", type=int, default=1, help="runs at a time")
    add("--dry_run", action="store_true", help="list the runs, and which of them are done; train nothing")
    add("--json", action="store_true", help="print one JSON result instead of a table")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..recipes import grid_path
    from ..sweep import as_table, claimed, over_seeds, read_plan, with_spread, write_report

    if arguments.jobs < 1:
        raise UsageError(f"--jobs must be an integer >= 1 (got {arguments.jobs})")
    plan = read_plan(grid_path(arguments.file), arguments.root, _asked(arguments))
    if arguments.dry_run:
        return _list(plan, arguments)
    with claimed(arguments.out):
        results = _carry_out(plan, arguments)
        files = write_report(plan, results, arguments.out)
    failed = [result for result in results if "error" in result]
    if arguments.json:
        console.emit_json({"runs": results, "files": files})
    else:
        console.emit_table("runs", *as_table(plan, results))
        if len(plan.seeds) > 1:
            console.emit_table("over seeds", *with_spread(over_seeds(plan, results)))
        for path in files:
            console.emit_text(path)
    for result in failed:
        console.notice(f"error: {result['run']}: {result['error']}")
    return console.DONE_WITH_FAILURES if failed else console.DONE


def _carry_out(plan: "Plan", arguments: Namespace) -> list[dict[str, Any]]:
    """Train what is not trained yet, then measure what is not measured yet."""
    from ..sweep import sweep
    from ..sweep.costs import measure_costs, with_costs

    with console.progress_bar() as bar:

        def told(name: str, total: int | None) -> "Callable[[int, int, str], None]":
            task = bar.add_task(name, total=total, note="")
            return lambda done, of, note: bar.update(task, completed=done, total=of, note=note)

        results = sweep(plan, arguments.out, arguments.jobs, told("runs", len(plan.runs)))
        if plan.costs:
            results = with_costs(results, measure_costs(plan, arguments.out, told("costs", None)))
    return results


def _asked(arguments: Namespace) -> "Asked":
    """Read what the command line says beside the file."""
    from ..sweep import Asked, parse, parse_pairs, split_pairs

    return Asked(
        parse_pairs(arguments["set"], "--set"),
        parse_pairs(arguments.grid, "--grid"),
        split_pairs(arguments.also, "--also"),
        None if arguments.costs is None else parse(arguments.costs, "--costs"),
    )


def _list(plan: "Plan", arguments: Namespace) -> int:
    from ..sweep import state_of

    listed = [(run.name, state_of(run, arguments.out, plan), run) for run in plan.runs]
    if arguments.json:
        console.emit_json({"runs": [{"run": n, "state": s, "values": r.values, "seed": r.seed} for n, s, r in listed]})
    else:
        rows = [(name, state, *run.values.values(), run.seed) for name, state, run in listed]
        console.emit_table(f"{len(rows)} runs", ("run", "state", *plan.keys, "seed"), rows)
    return console.DONE
