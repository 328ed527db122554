"""The decoded crops of a set as one memory-mapped uint8 array, made once for each size and shared by all splits."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from align import EyelineError, UsageError

from . import pack_format as form
from .pack_build import Plan, Progress, build, building, finish, make_plan, read_crop
from .pack_format import IMAGES, Meta, PackRow
from .rows import read_rows, select

__all__ = [
    "Pack",
    "PackReport",
    "PackRow",
    "Place",
    "open_pack",
    "pack",
    "pack_folder",
    "pack_set",
    "read_crop",
    "set_rows",
]

Place = Literal["auto", "memory-map", "device"]
"""Where the crops are while training: on the device where they fit, on the disk, or on the device in any case."""

_DEVICE_SHARE = 0.4
"""Of a GPU's free memory; the rest is for the network."""


@dataclass(frozen=True)
class Pack:
    """The decoded crops of a set.

    Attributes:
        folder: Where it is kept.
        face_ids: Of each row, in order.
        images: uint8 [N, 3, S, S], RGB: mapped from the file, or on a device. Planes of a colour are what augmentation
            reads fastest; its output is brought to channels last for the network.
    """

    folder: Path
    face_ids: tuple[str, ...]
    images: Tensor

    def __len__(self) -> int:
        return len(self.face_ids)

    def gather(self, indices: Tensor) -> Tensor:
        """Copy rows out.

        Args:
            indices: int64 [n], on any device.

        Returns:
            uint8 [n, 3, S, S], on the device of `images`.
        """
        if self.images.device.type == "cpu":
            # torch's threads wait for each other: on a busy machine many times as long as copying takes
            return torch.from_numpy(self.images.numpy()[indices.cpu().numpy()])
        return self.images.index_select(0, indices.to(self.images.device, non_blocking=True))

    def rows_of(self, face_ids: Sequence[str]) -> Tensor:
        """Find the rows of faces, int64 [n].

        Raises:
            EyelineError: The pack has no such face.
        """
        rows = pd.Index(self.face_ids).get_indexer(pd.Index(face_ids, dtype=object))
        if (rows < 0).any():
            missing = face_ids[int(np.argmax(rows < 0))]
            raise EyelineError(
                f"{self.folder}: expected face {missing} among its {len(self)} (not found); pack it again"
            )
        return torch.from_numpy(rows.astype(np.int64))

    def placed(self, device: torch.device, place: Place = "auto") -> "Pack":
        """Bring the crops to a device, so that `gather` works there.

        Args:
            device: That trains.
            place: `auto` moves them to a GPU where they take less than 40 % of its free memory; `device` moves them
                in any case, on a CPU into memory; `memory-map` leaves them in their file.

        Raises:
            UsageError: They must be moved, but do not fit.
        """
        if place == "memory-map" or (place == "auto" and device.type != "cuda"):
            return self
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
            if place == "auto" and self.images.nbytes > _DEVICE_SHARE * free:
                return self
            if self.images.nbytes > free:
                raise UsageError(
                    f"data.device must be memory-map for these crops: they take {self.images.nbytes / 1e9:.1f} GB "
                    f"(found {free / 1e9:.1f} GB free on {device})"
                )
        return replace(self, images=self.images.to(device, copy=True))


@dataclass(frozen=True)
class PackReport:
    """What packing a set did.

    Attributes:
        folder: Where the pack is kept.
        faces: Number of crops in it.
        decoded: How many of them were decoded now; the others were there already.
        size_px: Their height and width.
        bytes: Of the decoded crops.
    """

    folder: Path
    faces: int
    decoded: int
    size_px: int
    bytes: int


def pack_folder(root: Path, size_px: int, pack_dir: Path | None = None) -> Path:
    """Name the folder of a set's pack: in the set, or in a folder of its own below `pack_dir`."""
    if pack_dir is None:
        return root / "pack" / str(size_px)
    place = blake2b(os.fsencode(root.resolve()), digest_size=4).hexdigest()
    return pack_dir / f"{root.resolve().name}-{place}" / str(size_px)


def open_pack(root: Path, rows: Sequence[PackRow], size_px: int, pack_dir: Path | None = None) -> Pack:
    """Open the pack of a set; make it first, or decode anew what changed, where that is needed.

    Where neither the manifest nor a folder of crops was written since, this costs milliseconds. Else every crop is
    looked at (size and time of change), and those that changed are decoded again. A crop that is overwritten in place,
    which no stage of curation does, is noticed by `pack_set`. Other processes that need the same pack wait.

    Args:
        root: The set's folder.
        rows: All the faces of the set that any split uses. A pack with more than these is opened as it is.
        size_px: Height and width to decode to.
        pack_dir: A folder for packs in place of the set's.

    Raises:
        EyelineError: A crop is missing, or a pack must be made and its folder cannot be written.
        ImageError: A crop is not a whole picture.
    """
    return _open(root, _in_order(root, rows), size_px, pack_dir)


def _open(root: Path, rows: Sequence[PackRow], size_px: int, pack_dir: Path | None) -> Pack:
    folder = pack_folder(root, size_px, pack_dir)
    held = _unchanged(root, folder, rows, size_px)
    if held is not None:
        return held
    plan = make_plan(root, folder, rows, size_px)
    held = _up_to_date(plan)
    if held is not None:
        return held
    _make(plan, None)
    held = _up_to_date(plan)
    if held is None:
        raise EyelineError(f"{folder}: expected the crops that were just decoded (found others); leave it to one run")
    return held


def set_rows(root: Path) -> list[PackRow]:
    """List the kept faces of a set, whatever their split: what its pack holds."""
    faces = select(read_rows(root), root, "all", None)
    return [PackRow(*row) for row in zip(faces.face_ids, faces.paths, strict=True)]


def pack_set(root: Path, size_px: int, progress: Progress | None = None, pack_dir: Path | None = None) -> PackReport:
    """Make the pack of a set, or bring it up to date; every crop and every block's checksum is looked at.

    Args:
        root: The set's folder.
        size_px: Height and width to decode to.
        progress: Is told how many faces are done, and of how many.
        pack_dir: A folder for packs in place of the set's.

    Raises:
        EyelineError: A crop is missing, or the folder cannot be written.
        ImageError: A crop is not a whole picture.
    """
    rows = _in_order(root, set_rows(root))
    plan = make_plan(root, pack_folder(root, size_px, pack_dir), rows, size_px)
    (plan.folder / form.CHECKED).unlink(missing_ok=True)
    decoded = _make(plan, progress)
    return PackReport(plan.folder, len(rows), decoded, size_px, len(rows) * form.row_bytes(size_px))


def _make(plan: Plan, progress: Progress | None) -> int:
    """Build the pack unless another process has done it in the meantime; give the number of crops decoded."""
    with building(plan.folder, len(plan.rows) * form.row_bytes(plan.size_px)):
        finish(plan.folder, plan.size_px)
        return 0 if _up_to_date(plan) is not None else build(plan, progress)


def _in_order(root: Path, rows: Sequence[PackRow]) -> Sequence[PackRow]:
    ordered = sorted(rows)
    for a, b in pairwise(ordered):
        if a.face_id == b.face_id:
            raise EyelineError(f"{root}/manifest.parquet: expected each face_id once (found {a.face_id} twice)")
    return ordered


def _unchanged(root: Path, folder: Path, rows: Sequence[PackRow], size_px: int) -> Pack | None:
    """Open the pack by the manifest's and the folders' times alone; None where they tell of a change."""
    meta = form.read_meta(folder, size_px)
    if meta is None or meta.faces != len(rows) or form.last_written(root, meta.seen) != meta.seen:
        return None
    if meta.face_ids != form.digest(row.face_id for row in rows) or not form.is_intact(folder, meta):
        return None
    return _mapped(folder, meta, tuple(row.face_id for row in rows))


def _up_to_date(plan: Plan) -> Pack | None:
    """Open the pack by the state of each crop; None where one differs or is not held."""
    meta, index = form.read_meta(plan.folder, plan.size_px), form.read_index(plan.folder)
    if meta is None or index is None or not plan.is_held_by(index) or not form.is_intact(plan.folder, meta):
        return None
    if meta.faces == len(plan.rows) and meta.seen != plan.seen and os.access(plan.folder, os.W_OK):
        meta = replace(meta, seen=plan.seen)  # looked at: the next opening need not
        form.write_meta(plan.folder, meta)
    return _mapped(plan.folder, meta, tuple(index))


def _mapped(folder: Path, meta: Meta, face_ids: tuple[str, ...]) -> Pack:
    start = len(form.header(meta.faces, meta.size_px))
    size = start + meta.faces * form.row_bytes(meta.size_px)
    mapped = torch.from_file(str(folder / IMAGES), shared=False, size=size, dtype=torch.uint8)
    return Pack(folder, face_ids, mapped[start:].view(meta.faces, 3, meta.size_px, meta.size_px))


def pack(paths: Sequence[Path], size_px: int) -> Tensor:
    """Decode crops into memory, without a file.

    Args:
        paths: The crops.
        size_px: Height and width to resize to.

    Returns:
        uint8 [N, 3, size_px, size_px], RGB; `3 * N * size_px ** 2` bytes of memory.

    Raises:
        EyelineError: A file is missing or not a whole picture.
    """
    packed = torch.empty((len(paths), 3, size_px, size_px), dtype=torch.uint8)
    for i, path in enumerate(paths):
        packed[i] = torch.from_numpy(read_crop(path, size_px).copy()).permute(2, 0, 1)
    return packed
