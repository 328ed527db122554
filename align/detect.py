"""Detectors behind one protocol; each adapter lives in `detectors/` and is imported when it is asked for."""

import difflib
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .face import Face

DETECTORS = {"hog": "hog"}
"""Name of each detector -> its module in `align.detectors`."""


class Detector(Protocol):
    """Finds faces in one picture."""

    name: str

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Find faces, best first, [] when there is none.

        Args:
            image: uint8 [H, W, 3], RGB, or [H, W], luma.

        Returns:
            Faces with their box and score in source pixels, no landmarks yet.
        """
        ...


@lru_cache(maxsize=8)
def open_detector(name: str) -> Detector:
    """Open a detector by name, once a process.

    Raises:
        UsageError: There is no such detector.
        ModelError: Its model file is missing or wrong.
    """
    detector: Detector = open_adapter("detector", "detectors", name, DETECTORS)
    return detector


def open_adapter(what: str, folder: str, name: str, known: dict[str, str]) -> Any:
    """Import the module that `known` names for `name` from `align.<folder>`, and open it.

    Raises:
        UsageError: There is no such name; the nearest ones are offered.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"{what} must be one of {', '.join(sorted(known))} (got {name!r}){hint}")
    return import_module(f".{folder}.{known[name]}", __package__).open()
