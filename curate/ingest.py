"""Frames -> faces, aligned crops and rows; one work unit is read, and its part written, inside one process."""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from align import (
    AlignmentRefusedError,
    Box,
    EyelineError,
    Face,
    Quality,
    align_face,
    choose_faces,
    find_faces,
    measure,
    measure_face,
    open_detector,
    open_landmarker,
    warp,
    write_png,
)

from . import hashing
from .config import NO_DETECTOR, Dataset
from .frames import Frame
from .manifest import write_part
from .outcome import DropReason, FrameCounts
from .sources import Item, Unit, open_item
from .unchanged import ChangeGate

Row = dict[str, Any]

HASH_BATCH = 64
"""Crops that are hashed together."""


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
    """

    unit_id: str
    source: str
    fingerprint: str
    frames: FrameCounts
    rows: int
    errors: tuple[str, ...]


def run_unit(unit: Unit, dataset: Dataset, name: str, out: Path, fingerprint: str) -> UnitRecord:
    """Read a unit's items, write their crops and, at the end, its part.

    Args:
        unit: What to read.
        dataset: How.
        name: The dataset's key.
        out: The set's folder.
        fingerprint: Kept with the part.

    Returns:
        What became of it. Memory is bounded by one frame and `HASH_BATCH` crops, and the unit's rows.
    """
    for item in unit.items:
        shutil.rmtree(out / "crops" / item.source_id, ignore_errors=True)  # of a run that was killed
    frames, rows, errors = FrameCounts(), [], []
    for item in unit.items:
        reading = _ItemIngest(item, dataset, name, out)
        rows.extend(reading.run())
        frames += reading.counts
        errors.extend([reading.error] if reading.error else [])
    record = UnitRecord(unit.unit_id, unit.items[0].source, fingerprint, frames, len(rows), tuple(errors))
    write_part(out / "parts" / f"{unit.unit_id}.parquet", rows, asdict(record))
    return record


class _ItemIngest:
    """Everything about one item on its way to rows."""

    def __init__(self, item: Item, dataset: Dataset, name: str, out: Path) -> None:
        self.counts = FrameCounts()
        self.error: str | None = None
        self._item = item
        self._dataset = dataset
        self._name = name
        self._out = out
        self._gate = ChangeGate(dataset.sample.unchanged_levels)

    def run(self) -> list[Row]:
        rows: list[Row] = []
        pending: list[tuple[Row, NDArray[np.uint8]]] = []
        last_labels: Mapping[str, str | float] | None = None
        looked_at = near_identical = 0
        with open_item(self._item, self._dataset.sample.every) as reader:
            for frame in reader:
                labels = self._item.labels.at(frame.index, frame.since_first_s)
                if labels == last_labels and self._gate.is_unchanged(frame.luma):
                    near_identical += 1
                    continue
                last_labels = labels
                looked_at += 1
                found = self._look_safely(frame)
                rows.extend(row for row, _ in found)
                pending.extend((row, crop) for row, crop in found if crop is not None)
                if len(pending) >= HASH_BATCH:
                    self._hash(pending)
                    pending = []
        self._hash(pending)
        self.error = self.error or reader.error
        broken = int(reader.error is not None)
        if reader.error is not None:  # the frame at which reading broke off gets a row, too
            rows.append(self._row(reader.decoded, drop_reason=str(DropReason.CORRUPT)))
        decoded = reader.decoded
        self.counts = FrameCounts(
            decoded=decoded + broken,
            sampled_out=decoded - looked_at - near_identical,
            near_identical=near_identical,
            with_rows=looked_at + broken,
        )
        return rows

    def _look_safely(self, frame: Frame) -> list[tuple[Row, NDArray[np.uint8] | None]]:
        """Look at a frame; one that OpenCV or dlib cannot take is recorded as corrupt, and the job goes on."""
        try:
            return list(self._look(frame))
        except EyelineError:
            raise
        except (cv2.error, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            self.error = f"{self._item.source}: frame {frame.index} cannot be processed ({reason})"
            return [(self._row(frame.index, frame, drop_reason=str(DropReason.CORRUPT)), None)]

    def _look(self, frame: Frame) -> Iterator[tuple[Row, NDArray[np.uint8] | None]]:
        """Yield the rows of a frame, with the crop where one was written."""
        if self._dataset.align.detector == NO_DETECTOR:
            size = self._dataset.align.size
            picture = frame.rgb()
            scale = np.diag((size / picture.shape[1], size / picture.shape[0]))
            whole = Box(-0.5, -0.5, picture.shape[1], picture.shape[0])
            matrix = np.hstack([scale, scale @ np.full((2, 1), 0.5) - 0.5])
            crop = _resize(picture, size)
            yield self._cropped(frame, 0, crop, self._geometry(whole, matrix, NO_DETECTOR), measure(crop))
            return
        wanted = self._dataset.align
        detector, landmarker = open_detector(wanted.detector), open_landmarker(wanted.landmarks)
        seen = frame.rgb() if detector.colour or landmarker.colour else frame.luma
        found = find_faces(seen, detector, landmarker, wanted.search_spec())
        faces = choose_faces(found, wanted.faces, *frame.luma.shape)
        self._gate.looked_at(frame.luma, [face.box for face in faces])
        if faces:
            picture = frame.rgb()
            for number, face in enumerate(faces):
                yield self._face(frame, picture, number, face)
        elif self._item.background is not None:
            yield from self._background(frame)
        else:
            yield self._row(frame.index, frame, drop_reason=str(DropReason.NO_FACE)), None

    def _face(
        self, frame: Frame, picture: NDArray[np.uint8], number: int, face: Face
    ) -> tuple[Row, NDArray[np.uint8] | None]:
        geometry = face.record()
        try:
            crop = align_face(picture, face, self._dataset.align.crop_spec())
        except AlignmentRefusedError as refusal:
            return self._row(frame.index, frame, number, drop_reason=refusal.reason, **geometry), None
        geometry |= {"matrix": crop.matrix.ravel().tolist()}
        return self._cropped(frame, number, crop.image, geometry, measure_face(picture, face))

    def _background(self, frame: Frame) -> Iterator[tuple[Row, NDArray[np.uint8] | None]]:
        """Cut random boxes; where they lie depends on the seed, the source and the frame alone."""
        background = self._item.background
        if background is None:
            return
        seed = blake2b(f"{background.seed} {self._item.source_id} {frame.index}".encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(seed, "big"))
        picture = frame.rgb()
        size = self._dataset.align.size
        for number in range(background.boxes):
            box = _random_box(rng, *frame.luma.shape)
            scale = size / box.w
            matrix = np.array([[scale, 0, -scale * (box.x + 0.5) + 0.5 * scale - 0.5], [0, scale, 0]])
            matrix[1, 2] = -scale * (box.y + 0.5) + 0.5 * scale - 0.5
            crop = warp(picture, matrix, (size, size), self._dataset.align.border)
            geometry = self._geometry(box, matrix, "background")
            yield self._cropped(frame, number, crop, geometry, measure(crop), label=background.label)

    @staticmethod
    def _geometry(box: Box, matrix: NDArray[np.float64], detector: str) -> Row:
        return {**box.record(), "detector": detector, "matrix": matrix.ravel().tolist()}

    def _cropped(
        self, frame: Frame, number: int, crop: NDArray[np.uint8], geometry: Row, quality: Quality, **values: str
    ) -> tuple[Row, NDArray[np.uint8]]:
        """Judge a crop by what was measured of it, write it, and make its row."""
        reason = self._dataset.gates.reason(quality, geometry.get("interocular_px"), geometry.get("yaw_deg"))
        row = self._row(frame.index, frame, number, **geometry, **values)
        if reason is None and self._dataset.labels and row.get("label") is None:
            reason = str(DropReason.UNLABELLED)
        row |= {**asdict(quality), "drop_reason": reason}
        row["crop"] = f"crops/{self._item.source_id}/{row['face_id']}.png"
        write_png(self._out / row["crop"], crop)
        return row, crop

    def _row(self, index: int, frame: Frame | None = None, number: int = 0, **values: Any) -> Row:
        """Make a row with its identity, time and labels; `values` win."""
        item = self._item
        time_s = frame.time_s if frame else None
        known = item.labels.at(index, frame.since_first_s if frame else None)
        return {
            "face_id": f"{item.source_id}-{index:08d}-{number:02d}",
            "dataset": self._name,
            "source": item.source,
            "source_id": item.source_id,
            "frame": index,
            "pts": frame.pts if frame else None,
            "time_base": str(frame.time_base) if frame and frame.time_base else None,
            "time_s": time_s,
            **known,
            **values,
        }

    def _hash(self, pending: Sequence[tuple[Row, NDArray[np.uint8]]]) -> None:
        """Write the perceptual hash of each crop into its row; flat crops get none, theirs would all be alike."""
        if not pending:
            return
        dedup = self._dataset.dedup
        crops = np.stack([crop for _, crop in pending])
        hashes = hashing.to_bytes(hashing.ALGORITHMS[dedup.algorithm](crops, dedup.bits))
        kind = hashing.hash_kind(dedup.algorithm, dedup.bits)
        for (row, _), encoded, flat in zip(pending, hashes, hashing.is_flat(crops), strict=True):
            if not flat:
                row |= {"hash": encoded, "hash_kind": kind}


def _resize(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize a picture that is a face crop already."""
    shrinks = max(picture.shape[:2]) > size
    resized: NDArray[np.uint8] = cv2.resize(
        picture, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return resized


def _random_box(rng: np.random.Generator, height: int, width: int) -> Box:
    """Draw a square inside the picture, its side from a fifth to the whole of the short side, by logarithm."""
    short = min(height, width)
    side = math.exp(rng.uniform(math.log(short / 5), math.log(short)))
    return Box(rng.uniform(0, width - side) - 0.5, rng.uniform(0, height - side) - 0.5, side, side)
