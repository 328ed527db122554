"""From a dataset's name to a curated set: plans the work units, resumes, and runs the stages one after another."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from align import MODELS, EyelineError, UsageError, locked, model_sha256

from . import report
from .config import NO_DETECTOR, Dataset
from .engine import ENGINES
from .ingest import UnitRecord, run_unit
from .manifest import (
    CURATION,
    SCHEMA_VERSION,
    assemble,
    read_crop_names,
    read_curation,
    read_manifest,
    read_part_meta,
    write_curation,
    write_manifest,
)
from .outcome import FrameCounts, count_rows
from .registry import load_dataset
from .sources import Unit, list_units
from .stages import STAGES

Record = dict[str, Any]
Progress = Callable[[int, int, str], None]
"""Called with units done, units in all, and the source that was finished."""

_VERSIONS_OF = ("eyeline", "av", "dlib-bin", "imagehash", "numpy", "opencv-python-headless", "pillow")


@dataclass(frozen=True)
class Job:
    """What is curated, from where, and into which folder."""

    name: str
    out: Path
    registry: Path | None = None
    root: Path = Path()
    workers: int = 1
    engine: str = "local"


def run(job: Job, progress: Progress) -> Record:
    """Run every stage and write the report; running it again resumes.

    Returns:
        The set's record, as it stands in curation.json.
    """
    ingest(job, progress)
    for stage in STAGES:
        run_stage(stage, job.out, job.registry)
    write_report(job.out)
    return read_curation(job.out)


def ingest(job: Job, progress: Progress) -> Record:
    """Decode, detect, align, crop and hash everything that is not done yet, and assemble the manifest.

    Args:
        job: What and where.
        progress: Told of each finished unit.

    Returns:
        The set's record.

    Raises:
        UsageError: The name, the registry, a path or the output folder does not fit.
        EyelineError: Nothing at all could be read.
    """
    started = time.perf_counter()
    dataset = load_dataset(job.name, job.registry)
    units = list(list_units(dataset, job.root, job.out))
    _require_distinct_sources(units)
    _require_known_labels(units, dataset)
    _claim(job, dataset)
    with _locked(job.out):
        records = _run_units(job, dataset, units, progress)
        _sweep(job.out, units)
        rows = assemble(job.out, [unit.unit_id for unit in units])
        return _record_ingest(job, dataset, records, rows, started)


def _record_ingest(job: Job, dataset: Dataset, records: list[UnitRecord], rows: pd.DataFrame, started: float) -> Record:
    """Check that the counts reconcile and write the set's record."""
    frames = sum((record.frames for record in records), FrameCounts())
    if not frames.reconciles or frames.with_rows != len(rows.drop_duplicates(["source_id", "frame"])):
        raise EyelineError(f"{job.out}: the counts of frames do not reconcile ({frames}); please report this as a bug")
    failures = [error for record in records for error in record.errors]
    if len(failures) == frames.decoded:  # each counts as the frame at which it broke off
        raise EyelineError(f"{job.out}: nothing could be read; the first reason: {failures[0]}")
    record = {
        **_identity(job.name, dataset),
        "labels": list(dataset.labels) or sorted(rows["label"].dropna().unique().tolist()),
        "frames": asdict(frames),
        "rows": count_rows(rows),
        "units": [_unit_summary(record) for record in records],
        "timings": {"ingest_s": round(time.perf_counter() - started, 3)},
    }
    write_curation(job.out, record)
    return record


def run_stage(stage: str, out: Path, registry: Path | None = None) -> Record:
    """Run one stage after ingest on a set; its settings are those that the registry has now.

    Args:
        stage: A key of `STAGES`.
        out: The set.
        registry: A datasets.toml of your own.

    Returns:
        The set's record.

    Raises:
        UsageError: The folder holds no set, a stage before was not run, or what ingest depends on has changed.
    """
    started = time.perf_counter()
    record = _read_finished(out)
    dataset = load_dataset(record["dataset"], registry)
    config = json.loads(json.dumps(dataset.resolved()))
    if _ingest_settings(config) != _ingest_settings(record["config"]):
        raise UsageError(
            f"[{record['dataset']}]: the settings that ingest depends on changed since {out} was made; "
            f"run eyeline-curate run again"
        )
    order = list(STAGES)
    for before in order[: order.index(stage)]:
        if before not in record or config[before] != record["config"][before]:
            why = "to come first" if before not in record else "with the settings that it has now to come first"
            raise UsageError(f"{out}: expected the stage {before} {why}; run eyeline-curate {before} {out}")
    with _locked(out):
        rows, said = STAGES[stage](read_manifest(out), dataset, out)
        write_manifest(out, rows)
        for after in order[order.index(stage) + 1 :]:
            record.pop(after, None)
        record |= {stage: said, "config": record["config"] | {stage: config[stage]}, "rows": count_rows(rows)}
        record["timings"][f"{stage}_s"] = round(time.perf_counter() - started, 3)
        write_curation(out, record)
    return record


def write_report(out: Path) -> Path:
    """Write `report/index.html` of a set and return its path."""
    started = time.perf_counter()
    record = _read_finished(out)
    path = report.write_report(out)
    record["timings"]["report_s"] = round(time.perf_counter() - started, 3)
    write_curation(out, record)
    return path


def _read_finished(out: Path) -> Record:
    """Read the record of a set whose ingest came to its end."""
    record = read_curation(out)
    if "frames" not in record:
        raise UsageError(
            f"{out}: expected a set whose ingest is finished (it was broken off); run eyeline-curate run again"
        )
    return record


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the set's folder.

    Raises:
        UsageError: Another run is at work in it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(out))
        except BlockingIOError:
            raise UsageError(f"{out}: expected a free folder (another run is at work in it); wait for it") from None
        yield


def _run_units(job: Job, dataset: Dataset, units: list[Unit], progress: Progress) -> list[UnitRecord]:
    """Run the units whose parts are missing or out of date; give the records of all, in order."""
    prints = {unit.unit_id: _fingerprint(unit, dataset) for unit in units}
    done = {unit.unit_id: record for unit in units if (record := _finished(job.out, unit, prints[unit.unit_id]))}
    todo = [(unit, prints[unit.unit_id]) for unit in units if unit.unit_id not in done]
    progress(len(done), len(units), "resuming" if done else "")
    work = partial(_run_one, dataset=dataset, name=job.name, out=job.out)
    for record in ENGINES[job.engine](work, todo, job.workers):
        done[record.unit_id] = record
        progress(len(done), len(units), record.source)
    return [done[unit.unit_id] for unit in units]


def _run_one(task: tuple[Unit, str], dataset: Dataset, name: str, out: Path) -> UnitRecord:
    unit, fingerprint = task
    return run_unit(unit, dataset, name, out, fingerprint)


def _finished(out: Path, unit: Unit, fingerprint: str) -> UnitRecord | None:
    """Give the record of a unit that is done: its part is whole and up to date, and its crops are there."""
    part = out / "parts" / f"{unit.unit_id}.parquet"
    meta = read_part_meta(part)
    if meta is None or meta["fingerprint"] != fingerprint:
        return None
    if not all((out / crop).is_file() for crop in read_crop_names(part)):
        return None
    return UnitRecord(**{**meta, "frames": FrameCounts(**meta["frames"]), "errors": tuple(meta["errors"])})


def _fingerprint(unit: Unit, dataset: Dataset) -> str:
    """Digest what a unit's part depends on: settings, files, labels, the schema, libraries and models."""
    config = {key: value for key, value in _ingest_settings(dataset.resolved()).items() if key != "source"}
    items = [{**asdict(item), "path": None} for item in unit.items]
    depends_on = (SCHEMA_VERSION, config, items, unit.stamp, _versions(), _models(dataset))
    return blake2b(json.dumps(depends_on, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def _ingest_settings(config: Record) -> Record:
    kept = {key: config[key] for key in ("source", "sample", "tracking", "align", "gates", "labels")}
    return kept | {"hash": config["dedup"]["hash"], "mirrored": config["dedup"]["mirrored"]}


def _claim(job: Job, dataset: Dataset) -> None:
    """Take the output folder, or refuse one that holds something else.

    Raises:
        UsageError: The folder holds files of another set, or files that are not a set's.
    """
    if job.out.exists() and not job.out.is_dir():
        raise UsageError(f"{job.out}: expected a folder for the set (found a file); choose another --out")
    if (job.out / CURATION).is_file():
        found = read_curation(job.out).get("dataset")
        if found != job.name:
            raise UsageError(f"{job.out}: expected the set {job.name!r} (found {found!r}); choose another --out")
    elif job.out.is_dir() and any(job.out.iterdir()):
        raise UsageError(f"{job.out}: expected an empty folder or a set (found other files); choose another --out")
    with _explained(job.out):
        write_curation(job.out, {**_identity(job.name, dataset), "timings": {}})


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{out}: expected a folder that can be written ({error.strerror}); choose another --out"
        ) from None


def _sweep(out: Path, units: Iterable[Unit]) -> None:
    """Remove parts and crops of sources that are no longer in the set, and what a killed run left unfinished."""
    for path in out.glob(".*.tmp*"):
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


def _require_distinct_sources(units: Iterable[Unit]) -> None:
    """Refuse a file that two sources of the set match: its faces would stand in the set twice, under one id."""
    seen: set[str] = set()
    for item in (item for unit in units for item in unit.items):
        if item.source_id in seen:
            raise UsageError(f"{item.source}: expected each file in one source (found it in two); mend the paths")
        seen.add(item.source_id)


def _require_known_labels(units: Iterable[Unit], dataset: Dataset) -> None:
    """Refuse a label that is not in the set's vocabulary, before any work is done."""
    if not dataset.labels:
        return
    for item in (item for unit in units for item in unit.items):
        labels = item.labels
        values = [labels.whole, *labels.frames.values(), *(interval.given for interval in labels.intervals)]
        found = {value["label"] for value in values if "label" in value}
        found |= {item.background.label} if item.background else set()
        if unknown := found - set(dataset.labels):
            raise UsageError(
                f"{item.source}: expected a label of {list(dataset.labels)} (found {sorted(map(str, unknown))}); "
                f"mend it, or name it in label_names or labels"
            )


def _identity(name: str, dataset: Dataset) -> Record:
    return {
        "schema": SCHEMA_VERSION,
        "dataset": name,
        "title": dataset.title,
        "config": dataset.resolved(),
        "versions": _versions(),
        "models": _models(dataset),
    }


def _versions() -> dict[str, str]:
    return {package: version(package) for package in _VERSIONS_OF}


def _models(dataset: Dataset) -> dict[str, str]:
    """Name the model files that ingest uses, with their sha256."""
    if dataset.align.detector == NO_DETECTOR:
        return {}
    users = {dataset.align.detector, dataset.align.landmarks}
    return {name: model_sha256(name) for name, card in MODELS.items() if users.intersection(card.used_by)}


def _unit_summary(record: UnitRecord) -> Record:
    return {
        "unit_id": record.unit_id,
        "source": record.source,
        "frames": asdict(record.frames),
        "rows": record.rows,
        "error": "\n".join(record.errors) or None,
    }
