"""Decodes the crops of a set into a pack: resumable, by one process at a time, only what changed."""

import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from align import EyelineError, load_image, locked

from . import pack_format as form
from .console import notice
from .pack_format import IMAGES, INDEX, META, Meta, PackRow, Stamp

_BUILDING, _JOURNAL = ".building", "blocks.txt"
_MANIFEST = "manifest.parquet"
_PAUSE_S = 0.1

Progress = Callable[[int, int], None]
"""Is told how many faces are done, and of how many."""


@dataclass(frozen=True)
class Plan:
    """The pack that a set should have, from its files as they are now.

    Attributes:
        folder: Of the pack.
        size_px: Height and width to decode to.
        rows: In the order of the face ids.
        crops: Of each row, relative to the set's folder.
        stamps: Of each row's crop.
        seen: When the manifest and the folders of crops were last written.
    """

    folder: Path
    size_px: int
    rows: Sequence[PackRow]
    crops: Sequence[str]
    stamps: Sequence[Stamp]
    seen: dict[str, int]

    @property
    def name(self) -> str:
        """A digest of all that decides the bytes of `images.npy`."""
        lines = (f"{row.face_id} {crop} {stamp}" for row, crop, stamp in self._zipped())
        return form.digest([f"{form.VERSION} {self.size_px} {form.block_faces(self.size_px)}", *lines])

    def is_held_by(self, index: Mapping[str, tuple[int, str, Stamp]]) -> bool:
        """Tell whether a pack with this index has every row as its crop is now."""
        return all(index.get(row.face_id, (0, "", None))[1:] == (crop, stamp) for row, crop, stamp in self._zipped())

    def _zipped(self) -> Iterator[tuple[PackRow, str, Stamp]]:
        return zip(self.rows, self.crops, self.stamps, strict=True)


def make_plan(root: Path, folder: Path, rows: Sequence[PackRow], size_px: int) -> Plan:
    """Look at every crop of a set, and at the folders before that, so that no later change goes unnoticed.

    Raises:
        EyelineError: A crop is missing.
    """
    top = f"{root}{os.sep}"
    paths = [str(row.path) for row in rows]
    crops = [path.removeprefix(top) if path.startswith(top) else os.path.relpath(path, root) for path in paths]
    seen = form.last_written(root, [_MANIFEST, *sorted({os.path.dirname(crop) for crop in crops})])  # noqa: PTH120
    return Plan(folder, size_px, rows, crops, [form.stamp_crop(row.path) for row in rows], seen)


def read_crop(path: Path, size_px: int) -> NDArray[np.uint8]:
    """Read one crop as uint8 [size_px, size_px, 3], RGB; other sizes are resized with an antialiased bilinear filter.

    Raises:
        EyelineError: The file is missing.
        ImageError: The file is not a whole picture.
    """
    if not path.is_file():
        raise EyelineError(f"{path}: expected a crop that the manifest lists (no such file); curate the set again")
    return fit_crop(load_image(path), size_px)


def fit_crop(image: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Resize a crop, uint8 [H, W, 3], to uint8 [size_px, size_px, 3] with an antialiased bilinear filter."""
    if image.shape[:2] == (size_px, size_px):
        return image
    resized = Image.fromarray(image).resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


@contextmanager
def building(folder: Path, bytes_needed: int) -> Iterator[None]:
    """Hold a pack's folder while it is written; wait for the process that holds it.

    Raises:
        EyelineError: The folder cannot be written, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            _enter(stack, folder)
            yield
    except OSError as error:
        raise EyelineError(
            f"{folder}: expected a folder to write {bytes_needed / 1e6:,.0f} MB of decoded crops to "
            f"({error.strerror or error}); make room, or name another folder by data.pack_dir"
        ) from error


def _enter(stack: ExitStack, folder: Path) -> None:
    waits = False
    while True:
        try:
            stack.enter_context(locked(folder))
        except BlockingIOError:
            if not waits:
                notice(f"{folder}: waiting for another process that decodes these crops")
            waits = True
            time.sleep(_PAUSE_S)
        else:
            return


class _OldPack:
    """What stands in the folder already: rows whose crop did not change are copied from its whole blocks."""

    def __init__(self, plan: Plan) -> None:
        self._index: Mapping[str, tuple[int, str, Stamp]] = {}
        meta = form.read_meta(plan.folder, plan.size_px)
        index = form.read_index(plan.folder)
        images = plan.folder / IMAGES
        if meta is None or index is None or not images.is_file():
            return
        self._whole = form.whole_blocks(images, meta)
        if not all(self._whole):
            damaged = len(self._whole) - sum(self._whole)
            notice(f"{images}: {damaged} of {len(self._whole)} blocks were altered or cut off and are decoded again")
        if any(self._whole):
            self._index = index
            start = len(form.header(meta.faces, meta.size_px))
            shape = (images.stat().st_size - start) // form.row_bytes(meta.size_px), 3, meta.size_px, meta.size_px
            self._images = np.memmap(images, np.uint8, "r", offset=start, shape=shape)

    def get(self, face_id: str, crop: str, stamp: Stamp) -> NDArray[np.uint8] | None:
        """Give the decoded crop where it is held as it is now."""
        at, *held = self._index.get(face_id, (0, "", None))
        if held != [crop, stamp]:
            return None
        size_px = self._images.shape[-1]
        return self._images[at] if self._whole[at // form.block_faces(size_px)] else None


def build(plan: Plan, progress: Progress | None = None) -> int:
    """Write the pack; a build that was killed goes on where it was. Hold the folder by `building`.

    Args:
        plan: From `make_plan`.
        progress: Is told after each block.

    Returns:
        Number of crops that were decoded; the others were there already.

    Raises:
        EyelineError: A crop is missing.
        ImageError: A crop is not a whole picture.
    """
    place = plan.folder / _BUILDING
    place.mkdir(exist_ok=True)
    old = _OldPack(plan)
    step, decoded = form.block_faces(plan.size_px), 0
    with (place / IMAGES).open("ab+") as images, (place / _JOURNAL).open("a+") as journal:
        checksums = _resume(images, journal, plan)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for first in range(len(checksums) * step, len(plan.rows), step):
                block, fresh = _decode(plan, old, slice(first, first + step), threads)
                images.write(block.data)
                images.flush()
                os.fsync(images.fileno())  # the journal must never be ahead of the pictures
                checksums.append(zlib.crc32(block.data))
                journal.write(f"{checksums[-1]}\n")
                journal.flush()
                decoded += fresh
                if progress is not None:
                    progress(min(first + step, len(plan.rows)), len(plan.rows))
    ids = form.digest(row.face_id for row in plan.rows)
    form.write_index(place, plan.rows, plan.crops, plan.stamps)
    form.write_meta(place, Meta(form.VERSION, plan.size_px, len(plan.rows), ids, plan.seen, checksums))
    finish(plan.folder, plan.size_px)
    return decoded


def _resume(images: BinaryIO, journal: TextIO, plan: Plan) -> list[int]:
    """Keep the blocks of an interrupted build of the same plan that are whole; give their checksums."""
    journal.seek(0)
    name, *lines = (journal.read() or "\n").split("\n")[:-1]  # a line without its end was cut off
    start = form.header(len(plan.rows), plan.size_px)
    images.seek(0)
    checksums: list[int] = []
    end = len(start)
    if name == plan.name and images.read(len(start)) == start:
        size = form.block_faces(plan.size_px) * form.row_bytes(plan.size_px)
        for line in lines:
            block = images.read(size)
            if str(zlib.crc32(block)) != line:
                break
            checksums.append(int(line))
            end += len(block)
        images.truncate(end)
    else:
        images.truncate(0)
        images.write(start)
    journal.truncate(0)
    journal.write("".join(f"{line}\n" for line in [plan.name, *checksums]))
    journal.flush()
    return checksums


def _decode(plan: Plan, old: _OldPack, part: slice, threads: ThreadPoolExecutor) -> tuple[NDArray[np.uint8], int]:
    """Copy what the old pack holds of a block of rows, and decode the rest; give how many those were."""
    rows = plan.rows[part]
    block = np.empty((len(rows), 3, plan.size_px, plan.size_px), np.uint8)
    missing = []
    for i, (row, crop, stamp) in enumerate(zip(rows, plan.crops[part], plan.stamps[part], strict=True)):
        held = old.get(row.face_id, crop, stamp)
        if held is None:
            missing.append(i)
        else:
            block[i] = held
    read = partial(read_crop, size_px=plan.size_px)
    for i, image in zip(missing, threads.map(read, [rows[i].path for i in missing]), strict=True):
        block[i] = image.transpose(2, 0, 1)
    return block, len(missing)


def finish(folder: Path, size_px: int) -> None:
    """Put the files of a build that is done in their place; after a kill in between, go on with it."""
    place = folder / _BUILDING
    if not (place / META).is_file():
        return
    for name in (IMAGES, INDEX):
        if (place / name).is_file():
            (place / name).replace(folder / name)
    meta = form.read_meta(place, size_px)
    if meta is not None:
        form.mark_checked(folder, meta)
    (place / META).replace(folder / META)
    shutil.rmtree(place)
