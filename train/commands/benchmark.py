"""Measure what backbones cost: parameters, multiply-adds, size, training and inference speed, latency and memory."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from align import console


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--backbones", nargs="+", type=str, required=True, help="names, of ours or of timm's, also a,b,c")
    add("--sizes", nargs="*", type=int, default=[], help="heights and widths of the input; each backbone's own if none")
    add("--devices", nargs="+", type=str, default=["cpu"], help="cpu, cuda")
    add("--precisions", nargs="+", type=str, default=["32-true"], help="32-true, bf16-mixed")
    add("--batch", type=int, default=32, help="faces a step")
    add("--classes", type=int, default=7, help="outputs of the head, which counts as well")
    add("--freeze", action="store_true", help="leave the backbone alone in training, as model.finetune.freeze=all does")
    add("--channels", type=Literal[1, 3], default=3, help="of the network's input")
    add("--stem", choices=["stock", "small"], default="stock", help="small shrinks less at the start")
    add("--rounds", type=int, default=5, help="each speed is measured so many times; the median is shown")
    add("--round_s", type=float, default=1.0, help="seconds that a round takes at least")
    add("--threads", type=int | None, default=None, help="of torch on the CPU; its own choice if not given")
    add("--out", type=Path, default=Path("benchmark"), help="the folder of benchmark.json, .csv and .png")
    add("--json", action="store_true", help="print one JSON result instead of a table")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..benchmark import BenchmarkSpec, as_rows, benchmark, cases, write_report
    from ..benchmark.report import COLUMNS

    spec = BenchmarkSpec(
        backbones=[name for given in arguments.backbones for name in given.split(",") if name],
        sizes=arguments.sizes,
        devices=[name for given in arguments.devices for name in given.split(",") if name],
        precisions=[name for given in arguments.precisions for name in given.split(",") if name],
        common=replace(
            BenchmarkSpec(["any"]).common,
            **{name: arguments[name] for name in ("batch", "classes", "freeze", "channels", "stem")},
            **{name: arguments[name] for name in ("rounds", "round_s", "threads")},
        ),
    )
    total = len(cases(spec))  # what is wrong with them is said before the bar is drawn
    with console.progress_bar() as bar:
        task = bar.add_task("cases", total=total, note="")
        result = benchmark(spec, lambda done, total, now: bar.update(task, completed=done, total=total, note=now))
    files = write_report(result, arguments.out)
    if arguments.json:
        console.emit_json({**result, "files": files})
    else:
        on = result["machine"]["gpu"] or result["machine"]["processor"]
        console.emit_table(f"what backbones cost on {on}", COLUMNS, as_rows(result["cases"]))
        for path in files:
            console.emit_text(path)
    for failed in result["failed"]:
        console.notice(f"error: {failed['error']}")
    if not result["failed"]:
        return console.DONE
    return console.DONE_WITH_FAILURES if result["cases"] else console.FAILED
