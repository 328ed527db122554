"""The set `small`, made by the command, and what is compared of it."""

from pathlib import Path

import curate
from curate.cli import main
from train.recipes.systems import load_system, system_names


def run_small(root: Path, out: Path, *more: str, command: str = "run") -> int:
    where = ["--registry", str(root / "datasets.toml"), "--root", str(root)]
    return main([command, "small", "--out", str(out), *where, *more])


def snapshot(out: Path) -> dict[str, bytes]:
    """Every file of a set but the record and the page, which hold timings."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    kept = [path for path in files if path.name != "curation.json" and "report" not in path.parts]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


def record_without_timings(out: Path) -> dict:
    return {key: value for key, value in curate.read_curation(out).items() if key != "timings"}


def tables_of_recipes() -> set[str]:
    """The tables of datasets.toml that systems read; their runs on made sets are the recipes' tests."""
    return {table for name in system_names() for table in load_system(name).data}
