"""Frames -> rows and crops; one work unit is read, and its part written, inside one process."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from align import EyelineError, encode

from . import hashing
from .beside import Beside
from .clock import Clock
from .config import Dataset, Dedup
from .frames import Frame, Reader
from .look import Cut, Looker
from .manifest import write_part
from .outcome import DropReason, FrameCounts
from .scenes import SceneWatch, thumbnail
from .sources import Item, Unit, open_item
from .unchanged import ChangeGate
from .watchdog import Watchdog

Row = dict[str, Any]

_END_SLACK_S = 5.0
"""The last frame that was sampled stands before the end of its video."""

HASH_BATCH = 256
"""Crops that are hashed together."""

_MOST_WAITING = 16  # crops that wait to be written


@dataclass(frozen=True)
class UnitRecord:
    """What became of a work unit; kept in its part's metadata.

    Attributes:
        unit_id: Name of the part.
        source: The unit's source, or its first one.
        fingerprint: Of the configuration and the files; a unit whose fingerprint changed is done again.
        frames: What became of its frames.
        rows: How many.
        errors: One sentence for each item that could not be read to its end.
        edges: Of a part of a video, the thumbnails of its first and last frame, by which a change of scene between
            two parts is told.
        seconds: Where the time went, by stage; not kept with the part, whose bytes do not depend on it.
    """

    unit_id: str
    source: str
    fingerprint: str
    frames: FrameCounts
    rows: int
    errors: tuple[str, ...]
    edges: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A work unit that is to be done.

    Attributes:
        unit: What to read.
        fingerprint: Kept with the part.
        given_up: Items that are not tried again -> why.
    """

    unit: Unit
    fingerprint: str
    given_up: Mapping[str, str] = field(default_factory=dict)


def run_unit(task: Task, dataset: Dataset, name: str, out: Path, patience_s: float | None = None) -> UnitRecord:
    """Read a unit's items, write their crops and, at the end, its part.

    Args:
        task: What to read.
        dataset: How.
        name: The dataset's key.
        out: The set's folder.
        patience_s: This process is ended when it is at one frame for as long; None lets it wait.

    Returns:
        What became of it. Memory is bounded by one frame and twice `HASH_BATCH` crops, and the unit's rows.
    """
    unit = task.unit
    frames, rows, errors, edges = FrameCounts(), [], [], []
    clock, watchdog = Clock(), Watchdog(patience_s)
    with Beside(_MOST_WAITING) as beside:
        for item in unit.items:
            if len(unit.items) > 1 or patience_s is not None:
                _at(out, unit).write_text(item.source_id)
            _remove_crops(out, item)  # of a run that was killed
            reading = _ItemIngest(item, dataset, name, out, (clock, beside))
            reason = task.given_up.get(item.source_id)
            rows.extend(reading.run(watchdog) if reason is None else reading.give_up(reason))
            frames += reading.counts
            errors.extend([reading.error] if reading.error else [])
            if item.part is not None:
                edges = [np.rint(small).astype(np.uint8).tobytes().hex() for small in reading.edges]
    watchdog.rest()
    lists = tuple(errors), tuple(edges)
    record = UnitRecord(unit.unit_id, unit.items[0].source, task.fingerprint, frames, len(rows), *lists)
    meta = asdict(record) | {"stamp": unit.stamp}
    del meta["seconds"]
    write_part(out / "parts" / f"{unit.unit_id}.parquet", rows, meta)
    _at(out, unit).unlink(missing_ok=True)
    clock.lap("write")
    return replace(record, seconds=dict(clock.seconds))


def without_deadly_item(task: Task, out: Path) -> Task:
    """Give a task, in which a process died as often as it was tried, without the item that the process was at."""
    known = {item.source_id: item.source for item in task.unit.items}
    try:
        last = _at(out, task.unit).read_text()
    except FileNotFoundError:
        last = ""
    if last not in known or last in task.given_up:  # it died before the first item, or after the last one
        left = [source_id for source_id in known if source_id not in task.given_up]
        if not left:
            raise EyelineError(f"{task.unit.items[0].source}: the process that writes its part dies; free some memory")
        last = left[0]
    reason = f"{known[last]}: the process that read it died twice, or hung; it is left out"
    return replace(task, given_up={**task.given_up, last: reason})


def _at(out: Path, unit: Unit) -> Path:
    """Name the file that holds which item a unit's process is at."""
    return out / "parts" / f".{unit.unit_id}.at"


def _remove_crops(out: Path, item: Item) -> None:
    """Remove the crops that an item's unit may have written; those of the other parts of a video stay."""
    folder = out / "crops" / item.source_id
    if item.part is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    first = item.part.first_index
    for path in folder.glob(f"{item.source_id}-*"):
        if first <= int(path.stem.split("-")[1]) < first + item.part.frames:
            path.unlink()


class _ItemIngest:
    """Everything about one item on its way to rows; crops are written and hashed beside the search for faces."""

    def __init__(self, item: Item, dataset: Dataset, name: str, out: Path, means: tuple[Clock, Beside]) -> None:
        self.counts = FrameCounts()
        self.error: str | None = None
        self._scenes = SceneWatch()
        self._end_s: float | None = None
        self._item = item
        self._dataset = dataset
        self._name = name
        self._folder = out / "crops" / item.source_id
        self._clock, self._beside = means
        self._gate = ChangeGate(dataset.sample.unchanged_levels)
        self._looker = Looker(dataset.align, item.source_id, item.box, item.background)
        self._pending: list[tuple[Row, NDArray[np.uint8]]] = []

    def give_up(self, reason: str) -> list[Row]:
        """Give the one row of an item that cannot be read."""
        self.error = reason
        self.counts = FrameCounts(decoded=1, with_rows=1)
        index = self._item.part.first_index if self._item.part else 0
        return [self._row(index, None, self._item.labels.at(index, None), drop_reason=str(DropReason.CORRUPT))]

    def run(self, watchdog: Watchdog) -> list[Row]:
        """Read the item and give its rows."""
        rows: list[Row] = []
        last_labels: Mapping[str, str | float] | None = None
        looked_at = near_identical = 0
        self._clock.lap("other")
        watchdog.beat()
        with open_item(self._item, self._dataset.sample) as reader:
            for frame in reader:
                watchdog.beat()
                self._clock.lap("decode")
                self._end_s = frame.since_first_s
                small = thumbnail(frame.luma)
                new_scene = frame.pts is not None and self._scenes.is_new(small)
                labels = self._item.labels.at(frame.index, frame.since_first_s)
                if not new_scene and labels == last_labels and self._gate.is_unchanged(frame.luma, small):
                    near_identical += 1
                    self._clock.lap("compare")
                    continue
                last_labels = labels
                looked_at += 1
                self._clock.lap("compare")
                rows.extend(self._look(frame, labels, new_scene=new_scene))
                self._gate.looked_at(frame.luma, small, self._looker.boxes)
                self._clock.lap("compare")
                self._hash(at_least=HASH_BATCH)
            self._clock.lap("decode")
        self._hash(at_least=1)
        self._beside.finish()
        self._clock.lap("write")
        self.error = self.error or reader.error or self._labels_beyond(reader)
        broken = int(reader.error is not None)
        if reader.error is not None:  # the frame at which reading broke off gets a row, too
            index = reader.first_index + reader.decoded
            rows.append(self._row(index, None, self._item.labels.at(index, None), drop_reason=str(DropReason.CORRUPT)))
        decoded = reader.decoded
        self.counts = FrameCounts(
            decoded=decoded + broken,
            sampled_out=decoded - looked_at - near_identical,
            near_identical=near_identical,
            with_rows=looked_at + broken,
        )
        return rows

    def _labels_beyond(self, reader: Reader) -> str | None:
        """Notice labels of frames that the video has not: numbers off by a factor, or of another video."""
        is_last = self._item.part is None or self._item.part.end_pts is None
        end = reader.first_index + reader.decoded
        beyond = [index for index in self._item.labels.frames if index >= end] if is_last else []
        latest_s = np.inf if self._end_s is None else self._end_s + _END_SLACK_S
        late = [interval.start_s for interval in self._item.labels.intervals if interval.start_s > latest_s]
        if not beyond and not (late and is_last):
            return None
        what = f"frame {max(beyond)}" if beyond else f"{max(late):g} s"
        return (
            f"{self._item.source}: expected labels of its {end} frames (found {len(beyond) + len(late)} beyond its "
            f"end, up to {what}); mend the annotations"
        )

    @property
    def edges(self) -> list[NDArray[np.float32]]:
        """Thumbnails of the first and the last frame, where there are any."""
        return [small for small in (self._scenes.first, self._scenes.last) if small is not None]

    def _look(self, frame: Frame, labels: Mapping[str, str | float], *, new_scene: bool) -> list[Row]:
        """Look at a frame; one that OpenCV or dlib cannot take is recorded as corrupt, and the job goes on."""
        try:
            rows = []
            for number, found in enumerate(self._looker.look(frame, new_scene=new_scene)):
                self._clock.lap("find")
                rows.append(self._judged(frame, number, found, labels))
                self._clock.lap("write")
        except EyelineError:
            raise
        except (cv2.error, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            self.error = f"{self._item.source}: frame {frame.index} cannot be processed ({reason})"
            rows = [self._row(frame.index, frame, labels, drop_reason=str(DropReason.CORRUPT))]
        for row in rows:
            row["scene_cut"] = None if frame.pts is None else new_scene
        return rows

    def _judged(self, frame: Frame, number: int, found: Cut, labels: Mapping[str, str | float]) -> Row:
        """Judge a cut by what was measured of it, write it, and make its row."""
        row = self._row(frame.index, frame, labels, number) | found.columns | {"drop_reason": found.drop_reason}
        if found.label is not None:
            row["label"] = found.label
        if found.image is None or found.quality is None:
            return row
        reason = self._dataset.gates.reason(found.quality, row.get("interocular_px"), row.get("yaw_deg"))
        if reason is None and self._dataset.labels and row.get("label") is None:
            reason = str(DropReason.UNLABELLED)
        row |= {**vars(found.quality), "drop_reason": reason}
        spec = self._dataset.align
        row["crop"] = f"crops/{self._item.source_id}/{row['face_id']}.{spec.format}"
        self._beside.do(_write_crop, self._folder / row["crop"].rpartition("/")[2], found.image)
        self._pending.append((row, found.image))
        return row

    def _row(
        self, index: int, frame: Frame | None, labels: Mapping[str, str | float], number: int = 0, **values: Any
    ) -> Row:
        """Make a row with its identity, time and labels; `values` win."""
        item = self._item
        return {
            "face_id": f"{item.source_id}-{index:08d}-{number:02d}",
            "dataset": self._name,
            "source": item.source,
            "source_id": item.source_id,
            "frame": index,
            "pts": frame.pts if frame else None,
            "time_base": str(frame.time_base) if frame and frame.time_base else None,
            "time_s": frame.time_s if frame else None,
            **labels,
            **values,
        }

    def _hash(self, at_least: int) -> None:
        """Have the crops hashed that came together."""
        pending = self._pending
        if len(pending) < at_least:
            return
        self._pending = []
        self._beside.do(_write_hashes, pending, self._dataset.dedup)
        self._clock.lap("hash")


def _write_crop(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a crop, not by way of another name: until its part is written, nobody reads it."""
    data = encode(image, path.suffix)
    try:
        path.write_bytes(data)
    except FileNotFoundError:  # the first crop of an item makes the folder
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _write_hashes(pending: list[tuple[Row, NDArray[np.uint8]]], dedup: Dedup) -> None:
    """Write the perceptual hash of each crop into its row; flat crops get none, theirs would all be alike."""
    crops = np.stack([crop for _, crop in pending])
    algorithm = hashing.ALGORITHMS[dedup.algorithm]
    hashes = hashing.to_bytes(algorithm(crops, dedup.bits))
    mirrored = hashing.to_bytes(algorithm(crops[:, :, ::-1], dedup.bits)) if dedup.mirrored else [None] * len(crops)
    kind = hashing.hash_kind(dedup.algorithm, dedup.bits)
    flat = hashing.is_flat(crops)
    for (row, _), encoded, mirror, is_flat in zip(pending, hashes, mirrored, flat, strict=True):
        if not is_flat:
            row |= {"hash": encoded, "mirrored_hash": mirror, "hash_kind": kind}
