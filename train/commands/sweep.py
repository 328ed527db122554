"""Train every combination of a grid, each in a process of its own; end in one table and plot, and resume."""

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from align import UsageError, console

if TYPE_CHECKING:
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
    from ..sweep import as_table, over_seeds, read_plan, sweep, with_spread, write_report
    from ..sweep.costs import measure_costs, with_costs

    if arguments.jobs < 1:
        raise UsageError(f"--jobs must be an integer >= 1 (got {arguments.jobs})")
    plan = read_plan(grid_path(arguments.file), arguments.root, _asked(arguments))
    if arguments.dry_run:
        return _list(plan, arguments)
    with console.progress_bar() as bar:
        task = bar.add_task("runs", total=len(plan.runs), note="")
        told = lambda done, total, name: bar.update(task, completed=done, total=total, note=name)  # noqa: E731
        results = sweep(plan, arguments.out, arguments.jobs, told)
        if plan.costs:
            costs = bar.add_task("costs", total=None, note="")
            told = lambda done, total, name: bar.update(costs, completed=done, total=total, note=name)  # noqa: E731
            results = with_costs(results, measure_costs(plan, arguments.out, told))
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


def _asked(arguments: Namespace) -> "Asked":
    """Read what the command line says beside the file."""
    from ..sweep import Asked, parse_pairs

    given = {f"--{name}": parse_pairs(arguments[name], f"--{name}") for name in ("set", "grid", "also")}
    costs = parse_pairs([f"costs={arguments.costs}"], "--costs")["costs"] if arguments.costs is not None else None
    return Asked(given["--set"], given["--grid"], given["--also"], costs)


def _list(plan: "Plan", arguments: Namespace) -> int:
    from ..sweep import state_of

    listed = [(run.name, state_of(run, arguments.out, plan), run) for run in plan.runs]
    if arguments.json:
        console.emit_json({"runs": [{"run": n, "state": s, "values": r.values, "seed": r.seed} for n, s, r in listed]})
    else:
        rows = [(name, state, *run.values.values(), run.seed) for name, state, run in listed]
        console.emit_table(f"{len(rows)} runs", ("run", "state", *plan.keys, "seed"), rows)
    return console.DONE
