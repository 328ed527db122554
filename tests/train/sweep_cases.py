"""Sweeps for tests: a file of one, and one that was carried out."""

import contextlib
import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from train.cli import main
from train.console import quiet

BASE = {
    "model.backbone": {"name": "test_resnet", "size_px": 48},
    "model.finetune.freeze": "none",
    "data.batch_size": 8,
    "trainer": {"accelerator": "cpu", "max_epochs": 4},
}
QUICK = {"rounds": 1, "round_s": 0.01, "batch": 2}


@dataclass(frozen=True)
class Swept:
    """A sweep with a run that can be done and one that cannot, `fair` and `wrong`; a further set, `trick`; and costs.

    Attributes:
        args: The command line, without the further set.
        trick: The further set.
        code: The exit code.
        runs: The runs of the JSON result.
        rows: Of sweep.csv.
        markdown: Of sweep.md.
    """

    args: list[str]
    trick: Path
    code: int
    runs: list[dict[str, Any]]
    rows: list[dict[str, str]]
    markdown: str

    @property
    def out(self) -> Path:
        return Path(self.args[self.args.index("--out") + 1])


def write(folder, **asked):
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(asked, sort_keys=False))
    return file


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def run_sweep(args):
    with contextlib.redirect_stdout(io.StringIO()) as said, quiet():
        code = main(args)
    return code, json.loads(said.getvalue())["runs"]


def carry_out(folder, root, trick):
    rates = {"fair": 0.003, "wrong": -1.0}
    file = write(folder, base=BASE, grid={"model.optimizer.lr": rates}, seeds=[5], costs=QUICK)
    out = folder / "out"
    args = ["sweep", str(file), "--root", str(root), "--out", str(out), "--json"]
    code, runs = run_sweep([*args, "--also", f"trick={trick}", "--jobs", "2"])
    return Swept(args, trick, code, runs, rows_of(out / "sweep.csv"), (out / "sweep.md").read_text())
