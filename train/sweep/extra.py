"""The scores of a run on sets other than its own, a file a set; one of a set that has changed since does not count."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align import write_atomic

from .options import ExtraSet


def plain(sets: Mapping[str, ExtraSet]) -> dict[str, dict[str, str]]:
    """Give further sets as plain values, for a run's job."""
    return {name: {"root": str(extra.root), "digest": extra.digest} for name, extra in sets.items()}


def missing_sets(folder: Path, job: Mapping[str, Mapping[str, str]]) -> dict[str, ExtraSet]:
    """List the sets of a job that its run has no score of.

    Args:
        folder: Of the run.
        job: From `plain`.
    """
    sets = {name: ExtraSet(Path(said["root"]), said["digest"]) for name, said in job.items()}
    done = read_scores(folder, sets)
    return {name: extra for name, extra in sets.items() if name not in done}


def read_scores(folder: Path, sets: Mapping[str, ExtraSet]) -> dict[str, dict[str, Any]]:
    """Read the scores that a run has of sets as they are now, by name."""
    found = {}
    for name, extra in sets.items():
        if (file := _file(folder, name)).is_file():
            said = json.loads(file.read_text())
            if said["digest"] == extra.digest:
                found[name] = said["numbers"]
    return found


def write_score(folder: Path, name: str, extra: ExtraSet, numbers: Mapping[str, Any]) -> None:
    """Write the score of a run on a set."""
    said = {"root": str(extra.root), "digest": extra.digest, "numbers": numbers}
    write_atomic(_file(folder, name), json.dumps(said, indent=2) + "\n")


def _file(folder: Path, name: str) -> Path:
    return folder / f"also-{name}.json"
