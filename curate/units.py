"""Which work units are to be done, and their doing: fingerprints, finished parts, what is noticed between two runs."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

from align import MODELS, UsageError, WorkerDiedError, model_sha256, wait_for_workers

from .config import NO_DETECTOR, Dataset
from .engine import ENGINES
from .ingest import Task, UnitRecord, run_unit, without_deadly_item
from .job import Job
from .manifest import SCHEMA_VERSION, read_crop_names, read_part_meta
from .outcome import FrameCounts
from .sources import Unit

Progress = Callable[[int, int, str], None]
"""Called with units done, units in all, and the source that was finished."""

_VERSIONS_OF = ("eyeline", "av", "dlib-bin", "imagehash", "numpy", "opencv-python-headless", "pillow")


def run_units(job: Job, dataset: Dataset, units: list[Unit], progress: Progress) -> list[UnitRecord]:
    """Run the units whose parts are missing or out of date; give the records of all, in order.

    A unit whose process dies twice is done without the item that the process was at, which is recorded as corrupt.
    """
    prints = {unit.unit_id: _fingerprint(unit, dataset) for unit in units}
    done = {
        unit.unit_id: record
        for unit in units
        if (record := _finished(job.out, unit, prints[unit.unit_id], again=job.retry))
    }
    todo = [Task(unit, prints[unit.unit_id]) for unit in units if unit.unit_id not in done]
    progress(len(done), len(units), "resuming" if done else "")
    patience_s = job.patience_s if job.workers > 1 or job.engine != "local" else None
    work = partial(run_unit, dataset=dataset, name=job.name, out=job.out, patience_s=patience_s)
    (job.out / "parts").mkdir(exist_ok=True)
    wait_for_workers(job.out / "parts")
    while todo:
        again = []
        for number, result in ENGINES[job.engine](work, todo, job.workers, job.out / "parts"):
            if isinstance(result, WorkerDiedError):
                again.append(without_deadly_item(todo[number], job.out))
                continue
            done[result.unit_id] = result
            progress(len(done), len(units), result.source)
        todo = again
    return [done[unit.unit_id] for unit in units]


def _finished(out: Path, unit: Unit, fingerprint: str, *, again: bool) -> UnitRecord | None:
    """Give the record of a unit that is done: its part is whole and up to date, and its crops are there.

    With `again`, a unit in which something failed is not done.
    """
    part = out / "parts" / f"{unit.unit_id}.parquet"
    meta = read_part_meta(part)
    if meta is None or meta["fingerprint"] != fingerprint or (again and meta["errors"]):
        return None
    if not all((out / crop).is_file() for crop in read_crop_names(part)):
        return None
    lists = {key: tuple(meta[key]) for key in ("errors", "edges")}
    del meta["stamp"]
    return UnitRecord(**{**meta, **lists, "frames": FrameCounts(**meta["frames"])})


def _fingerprint(unit: Unit, dataset: Dataset) -> str:
    """Digest what a unit's part depends on: settings, files, labels, the schema, libraries and models."""
    config = ingest_settings(dataset.resolved())
    config["sample"] = {key: config["sample"][key] for key in ("every", "per_second", "unchanged")}
    for of_the_whole_set in ("source", "tracking"):
        del config[of_the_whole_set]
    items = [{**asdict(item), "path": None} for item in unit.items]
    depends_on = (SCHEMA_VERSION, config, items, unit.stamp, versions(), models(dataset))
    return blake2b(json.dumps(depends_on, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def ingest_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Give the settings on which the manifest that ingest writes depends."""
    kept = {key: config[key] for key in ("source", "sample", "tracking", "align", "gates", "labels")}
    return kept | {"hash": config["dedup"]["hash"], "mirrored": config["dedup"]["mirrored"]}


MOST_NOTICES = 20
"""So many changed files are named one by one."""


def notice_changes(out: Path, units: Iterable[Unit]) -> Iterator[str]:
    """Say which files of the last run changed since, or are gone."""
    metas = (read_part_meta(path) for path in sorted((out / "parts").glob("[!.]*.parquet")))
    now = _marks(unit.stamp for unit in units)
    then = _marks(meta["stamp"] for meta in metas if meta is not None)
    changes = [
        f"{name}: gone since the last run; its rows leave the set"
        if name not in now
        else f"{name}: changed since the last run; it is read again"
        for name, marks in sorted(then.items())
        if not marks <= now.get(name, set())
    ]
    yield from changes[:MOST_NOTICES]
    if len(changes) > MOST_NOTICES:
        yield f"and {len(changes) - MOST_NOTICES:,} more files that changed or are gone since the last run"


def _marks(stamps: Iterable[Iterable[Iterable[Any]]]) -> dict[str, set[tuple[Any, ...]]]:
    """Give the sizes and times by file; files of one name in two places share an entry."""
    marks: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for name, *mark in (one for stamp in stamps for one in stamp):
        marks[str(name)].add(tuple(mark))
    return marks


def sweep(out: Path, units: Iterable[Unit]) -> None:
    """Remove parts and crops of sources that are no longer in the set, and what a killed run left unfinished."""
    for path in (*out.glob(".*.tmp*"), *(out / "parts").glob(".*")):
        path.unlink()
    parts = set()
    crops = set()
    for unit in units:
        parts.add(f"{unit.unit_id}.parquet")
        crops |= {item.source_id for item in unit.items}
    for path in (out / "parts").iterdir():
        if path.name not in parts:
            path.unlink()
    for path in (out / "crops").iterdir() if (out / "crops").is_dir() else ():
        if path.name not in crops:
            shutil.rmtree(path)


def require_distinct_sources(units: Iterable[Unit]) -> None:
    """Refuse a file that two sources of the set match: its faces would stand in the set twice, under one id."""
    seen: set[str] = set()
    for item in (item for unit in units for item in unit.items):
        if item.part is not None and item.part.before_pts is not None:
            continue  # of a video that was met in its first part
        if item.source_id in seen:
            raise UsageError(f"{item.source}: expected each file in one source (found it in two); mend the paths")
        seen.add(item.source_id)


def require_known_labels(units: Iterable[Unit], dataset: Dataset) -> None:
    """Refuse a label that is not in the set's vocabulary, before any work is done."""
    if not dataset.labels:
        return
    for item in (item for unit in units for item in unit.items):
        found = item.labels.vocabulary()
        found |= {item.background.label} if item.background else set()
        if unknown := found - set(dataset.labels):
            raise UsageError(
                f"{item.source}: expected a label of {list(dataset.labels)} (found {sorted(map(str, unknown))}); "
                f"mend it, or name it in label_names or labels"
            )


def versions() -> dict[str, str]:
    """Name the libraries on which a part's bytes depend, with their versions."""
    return {package: version(package) for package in _VERSIONS_OF}


def models(dataset: Dataset) -> dict[str, str]:
    """Name the model files that ingest uses, with their sha256."""
    if dataset.align.detector == NO_DETECTOR:
        return {}
    users = {dataset.align.detector, dataset.align.landmarks}
    return {name: model_sha256(name) for name, card in MODELS.items() if users.intersection(card.used_by)}
