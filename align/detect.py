"""Detectors behind one protocol; each adapter lives in `detectors/` and is imported when it is asked for."""

import difflib
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .face import Face
from .ladder import LadderDetector, Search

DETECTORS = {
    "blazeface": "torch_blazeface",
    "cnn": "dlib_cnn",
    "haar": "opencv_haar",
    "hog": "dlib_hog",
    "retinaface": "torch_retinaface",
    "scrfd": "onnx_scrfd",
    "sfd": "torch_sfd",
    "yunet": "opencv_yunet",
}
"""Name of each detector -> its module in `align.detectors`."""


class Detector(Protocol):
    """Finds faces in pictures.

    Attributes:
        name: What faces are recorded under.
        colour: Whether RGB helps it; else luma is all that it looks at.
    """

    name: str
    colour: bool

    def detect(self, image: NDArray[np.uint8], search: Search | None = None) -> list[Face]:
        """Find faces, best first, [] when there is none.

        Args:
            image: uint8 [H, W, 3], RGB, or [H, W], luma.
            search: How hard to look; `Search()` when left out.

        Returns:
            Faces with their box and score in source pixels, no landmarks yet.
        """
        ...

    def detect_batch(self, images: Sequence[NDArray[np.uint8]], search: Search | None = None) -> list[list[Face]]:
        """Find faces in several pictures at once, as `detect` does in each."""
        ...


@lru_cache(maxsize=8)
def open_detector(name: str, device: str = "cpu", models: Path | None = None) -> Detector:
    """Open a detector by name, once a process.

    Args:
        name: A key of `DETECTORS`.
        device: Where the network runs, for example `cuda`; only those of torch and ONNX can leave the CPU.
        models: A model file, or a folder with model files, that is looked at first; see `find_model`.

    Raises:
        UsageError: There is no such detector, it needs a package that is not installed, or cannot run on `device`.
        ModelError: Its model file is missing or wrong.
    """
    return LadderDetector(open_adapter("detector", "detectors", name, DETECTORS).open(device, models and Path(models)))


def open_adapter(what: str, folder: str, name: str, known: dict[str, str]) -> Any:
    """Import the module that `known` names for `name` from `align.<folder>`.

    Raises:
        UsageError: There is no such name, and the nearest ones are offered; or a package that it needs is missing.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"{what} must be one of {', '.join(sorted(known))} (got {name!r}){hint}")
    return import_module(f".{folder}.{known[name]}", __package__)


def require_cpu(name: str, device: str) -> None:
    """Refuse any device but the CPU for an adapter that knows no other.

    Raises:
        UsageError: `device` is another.
    """
    if device != "cpu":
        raise UsageError(f"{name} runs on the CPU alone (got device {device!r}); use device cpu, or another detector")
