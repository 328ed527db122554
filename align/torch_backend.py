"""What the adapters of the face-alignment package share: the package, its device, and its detectors' boxes."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError


def import_face_alignment(name: str, device: str, module: str = "") -> Any:
    """Import the face-alignment package, or a module of it, for the adapter `name` on `device`.

    Raises:
        UsageError: It, or what it needs, is not installed; or there is no such device here.
    """
    try:
        imported = import_module(f"face_alignment{module}")
        import torch
    except ImportError as error:
        raise UsageError(
            f"{name} needs the face-alignment package ({error}); install eyeline with the extra face-alignment: "
            'pip install "eyeline[face-alignment]"'
        ) from None
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"{name} expected device {device} (torch sees no CUDA device here); use device cpu")
    if device.partition(":")[0] not in ("cpu", "cuda", "mps"):
        raise UsageError(f"{name} expected device cpu, cuda or mps (got {device!r})")
    return imported


def as_batch(pictures: Sequence[NDArray[np.uint8]], device: str) -> Any:
    """Stack pictures of one size: uint8 [H, W, 3] each -> torch float32 [N, 3, H, W] on `device`."""
    import torch

    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float()


def as_rows(found: Any) -> NDArray[np.float64]:
    """Turn what a detector of face-alignment gives for one picture into float64 [N, 5], pixel centres at integers."""
    rows = np.asarray(found, dtype=np.float64).reshape(-1, 5)
    rows[:, :4] -= 0.5  # it lays the middle of the first pixel at 0.5
    return rows[(rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])]
