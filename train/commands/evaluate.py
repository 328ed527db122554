"""Evaluate a checkpoint on a set: one HTML page and one JSON file with every number, figure and leak."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt

from align import UsageError, console

SPLITS = ("val", "test")


def make_parser() -> ArgumentParser:
    """Make the parser of `eyeline-train evaluate`."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt", type=str, required=True, help="The checkpoint: a file, or last or best of --run.")
    parser.add_argument("--root", type=Path, required=True, help="The set: the folder that eyeline-curate wrote.")
    parser.add_argument("--run", type=Path | None, default=None, help="The run's folder; the default is the file's.")
    parser.add_argument("--splits", type=str | None, default=None, help="val, test or val,test; default: all it has.")
    parser.add_argument("--out", type=Path | None, default=None, help="Where to; the default is RUN/evaluate.")
    parser.add_argument("--tta", choices=["none", "flip", "ten_crop"], default="none", help="Views of each face.")
    parser.add_argument("--batch_size", type=int, default=64, help="Crops a step and device.")
    parser.add_argument("--accelerator", type=str, default="auto", help="As Lightning's trainer takes it: cpu, gpu.")
    parser.add_argument("--devices", type=str, default="1", help="Likewise: a number, a list, auto.")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, help="Of the resamples that the intervals come from.")
    parser.add_argument("--json", action="store_true", help="Print report.json on stdout instead of tables.")
    return parser


def run(arguments: Any) -> int:
    """Evaluate, write the report, print its tables or its JSON, and return the exit code."""
    splits = _splits(arguments.splits)  # before anything heavy is loaded
    from ..checkpoints import NAMES, resolve, run_folder_of
    from ..console import quiet
    from ..evaluate import Asked, make_report, render, run_checkpoint, write_report

    if arguments.ckpt in NAMES and arguments.run is None:
        raise UsageError(f"--ckpt {arguments.ckpt}: expected --run, the folder of the run; or give the file itself")
    checkpoint = resolve(arguments.ckpt, arguments.run or Path(), "--ckpt")
    run_folder = arguments.run or run_folder_of(checkpoint)
    asked = Asked(
        checkpoint,
        arguments.root,
        splits,
        arguments.tta,
        arguments.batch_size,
        arguments.accelerator,
        arguments.devices,
    )
    with quiet():
        evaluated = run_checkpoint(asked)
    if not evaluated.is_first:
        return console.DONE
    report = make_report(evaluated, run_folder, arguments.seed)
    files = write_report(report, render, arguments.out or (run_folder or checkpoint.parent) / "evaluate")
    if arguments.json:
        console.emit_json(report.record)
    else:
        _show(report.record, files)
    return console.DONE


def _splits(given: str | None) -> Any:
    names = tuple(given.split(",")) if given else ()
    if set(names) - set(SPLITS) or len(set(names)) != len(names):
        raise UsageError(f"--splits must be val, test or val,test (got {given!r})")
    return names


def _show(record: dict[str, Any], files: dict[str, str]) -> None:
    """Print the tables of each split, the intervals, the leaks and where the files are."""
    from ..evaluate import table

    for split in record["splits"].values():
        console.emit_text(f"{split['split']}: {split['rows']:,} faces, loss {split['loss']:.4f}")
        console.emit_text(table(split))
        found = split["intervals"]
        for name in found["main"]:
            if name in found["numbers"]:
                low, high = found["numbers"][name]
                said = f"{found['level']:.0%} interval of {name}: {low:.3f} to {high:.3f}, over {found['over']}"
                console.emit_text(said)
    for check in record["leaks"]:
        if check["level"] in ("failed", "warning"):
            console.notice(f"note: {check['text']}")
    for name, path in files.items():
        console.emit_text(f"{name}: {path}")
