"""dlib's frontal face detector: HOG features and a linear classifier, 80-px window (King 2009, JMLR 10).

dlib brings the weights; the search with them is ours (`hog_scan`): the same boxes in two fifths of the time.
"""

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import dlib
import numpy as np
from numpy.typing import NDArray

from ..detect import require_cpu
from ..errors import ModelError
from ..files import write_atomic
from ..ladder import Reach
from ..models import cache_folder
from .hog_model import read_hog
from .hog_scan import scan


class Hog:
    """dlib's HOG detector; it carries its model compiled in."""

    name = "hog"
    colour = False
    # the classifier's window has 80 pixels; heads that lean by more than 30 degrees are mostly missed
    reach = Reach(window=96, sure_score=0.3, long_side=480, turns=(90, -90, 45, -45, 180), upright_score=1.0)

    def __init__(self) -> None:
        self._model = read_hog(_read() or _unpack(), "dlib")

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`."""
        return [self._one(picture) for picture in pictures]

    def _one(self, luma: NDArray[np.uint8]) -> NDArray[np.float64]:
        found = scan(luma, self._model)
        rows = [(f.left - 0.5, f.top - 0.5, f.right + 0.5, f.bottom + 0.5, f.score) for f in found]
        return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _kept() -> Path | None:
    """Name the file that keeps the unpacked model; None where there is no home."""
    try:
        return cache_folder().parent / f"hog-{dlib.__version__}.bin"
    except ModelError:
        return None


def _unpack() -> bytes:
    """Have dlib unpack its model, which takes it half a second, and keep what comes out where a folder can be written.

    Each worker process opens the detector; so does each command.
    """
    (state,) = dlib.get_frontal_face_detector().__getstate__()
    if (path := _kept()) is not None:
        with suppress(OSError):  # a read-only home: the next process unpacks it again
            write_atomic(path, sha256(state).digest() + state)
    return bytes(state)


def _read() -> bytes | None:
    """Read the unpacked model; None where it is not kept, or the file is damaged."""
    try:
        data = path.read_bytes() if (path := _kept()) is not None else b""
    except OSError:
        return None
    digest, state = data[: sha256().digest_size], data[sha256().digest_size :]
    return state if sha256(state).digest() == digest else None


def open(device: str, models: Path | None) -> Hog:  # noqa: A001, ARG001  every adapter is opened by this name and so
    """Make the detector."""
    require_cpu("hog", device)
    return Hog()
