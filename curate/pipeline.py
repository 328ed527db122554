"""From a dataset's name to a curated set: plans the work units, resumes, and runs the stages one after another."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from align import EyelineError, UsageError, locked

from . import report
from .config import Dataset
from .ingest import UnitRecord
from .job import Job
from .link import link
from .manifest import (
    CURATION,
    SCHEMA_VERSION,
    assemble,
    read_curation,
    read_manifest,
    write_curation,
    write_manifest,
)
from .outcome import FrameCounts, count_rows
from .registry import load_dataset
from .sources import list_units
from .stages import STAGES
from .units import (
    Progress,
    ingest_settings,
    models,
    notice_changes,
    require_distinct_sources,
    require_known_labels,
    run_units,
    sweep,
    versions,
)

Record = dict[str, Any]


Notice = Callable[[str], None]


def _keep_quiet(_: str) -> None:
    """Take no notice."""


def run(job: Job, progress: Progress, notice: Notice = _keep_quiet) -> Record:
    """Run every stage and write the report; running it again resumes.

    Returns:
        The set's record, as it stands in curation.json.
    """
    ingest(job, progress, notice)
    for stage in STAGES:
        run_stage(stage, job.out, job.registry)
    write_report(job.out)
    return read_curation(job.out)


def ingest(job: Job, progress: Progress, notice: Notice = _keep_quiet) -> Record:
    """Decode, detect, align, crop and hash everything that is not done yet, and assemble the manifest.

    Args:
        job: What and where.
        progress: Told of each finished unit.
        notice: Told of sources that changed or went since the last run.

    Returns:
        The set's record.

    Raises:
        UsageError: The name, the registry, a path or the output folder does not fit.
        EyelineError: Nothing at all could be read.
    """
    started = time.perf_counter()
    dataset = load_dataset(job.name, job.registry)
    units = list(list_units(dataset, job.root, job.out))
    require_distinct_sources(units)
    require_known_labels(units, dataset)
    _claim(job, dataset)
    with _locked(job.out):
        for change in notice_changes(job.out, units):
            notice(change)
        records = run_units(job, dataset, units, progress)
        sweep(job.out, units)
        rows = assemble(job.out, [unit.unit_id for unit in units])
        rows = link(rows, dataset, zip(units, records, strict=True))
        write_manifest(job.out, rows)
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
        "timings": {
            "ingest_s": round(time.perf_counter() - started, 3),
            "ingest_stages_s": _stage_seconds(records),
            "ingest_frames": sum(record.frames.decoded for record in records if record.seconds),
        },
    }
    write_curation(job.out, record)
    return record


def _stage_seconds(records: Iterable[UnitRecord]) -> dict[str, float]:
    """Add up where the time of the units went that were done now; those of earlier runs have none."""
    seconds: dict[str, float] = defaultdict(float)
    for stage, spent in (pair for record in records for pair in record.seconds.items()):
        seconds[stage] += spent
    return {stage: round(spent, 3) for stage, spent in sorted(seconds.items())}


def run_stage(stage: str, out: Path, registry: Path | None = None, fold: int | None = None) -> Record:
    """Run one stage after ingest on a set; its settings are those that the registry has now.

    Args:
        stage: A key of `STAGES`.
        out: The set.
        registry: A datasets.toml of your own.
        fold: For the stage `split`: the test fold, in place of the registry's.

    Returns:
        The set's record.

    Raises:
        UsageError: There is no such fold, the folder holds no set, a stage before was not run, or what ingest depends
            on has changed.
    """
    started = time.perf_counter()
    record = _read_finished(out)
    dataset = _with_fold(load_dataset(record["dataset"], registry), fold)
    config = json.loads(json.dumps(dataset.resolved()))
    if ingest_settings(config) != ingest_settings(record["config"]):
        raise UsageError(
            f"[{record['dataset']}]: the settings that ingest depends on changed since {out} was made; "
            f"run eyeline-curate run again"
        )
    order = list(STAGES)
    for before in order[: order.index(stage)]:
        if before not in record or _but_fold(config[before]) != _but_fold(record["config"][before]):
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


def _with_fold(dataset: Dataset, fold: int | None) -> Dataset:
    """Give the dataset with another test fold.

    Raises:
        UsageError: There are not so many folds, or none.
    """
    if fold is None:
        return dataset
    folds = dataset.split.folds
    if folds is None or not 0 <= fold < folds:
        known = "split.folds in the registry (found none)" if folds is None else f"a fold from 0 to {folds - 1}"
        raise UsageError(f"--fold {fold}: expected {known}; mend the one or the other")
    return replace(dataset, split=replace(dataset.split, fold=fold))


def _but_fold(settings: Record) -> Record:
    """Give a stage's settings without the test fold, which `split --fold` changes for one set."""
    return {key: value for key, value in settings.items() if key != "fold"}


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


def _identity(name: str, dataset: Dataset) -> Record:
    return {
        "schema": SCHEMA_VERSION,
        "dataset": name,
        "title": dataset.title,
        "config": dataset.resolved(),
        "versions": versions(),
        "models": models(dataset),
    }


def _unit_summary(record: UnitRecord) -> Record:
    return {
        "unit_id": record.unit_id,
        "source": record.source,
        "frames": asdict(record.frames),
        "rows": record.rows,
        "error": "\n".join(record.errors) or None,
    }
