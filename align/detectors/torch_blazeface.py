"""BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047), of face-alignment: a square of 128 pixels at a time."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..ladder import Reach
from ..models import find_model
from ..torch_backend import as_batch, as_rows, import_face_alignment

TILE = 128
"""What the network sees; larger views are cut into tiles that overlap by half."""

BATCH = 64
"""Tiles that the network sees at once."""


class BlazeFace:
    """BlazeFace in torch. It was made for selfies: the tiles let it see smaller faces, too."""

    name = "blazeface"
    colour = True
    reach = Reach(window=32, sure_score=0.8, long_side=TILE, max_side=1280)

    def __init__(self, device: str, models: Path | None) -> None:
        module = import_face_alignment(self.name, device, ".detection.blazeface")
        self._device = device
        self._detector = module.FaceDetector(
            device,
            path_to_detector=str(find_model("blazeface.pth", models)),
            path_to_anchor=str(find_model("blazeface_anchors.npy", models)),
        )

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces; see `Backend.boxes`."""
        return [self._one(picture) for picture in pictures]

    def _one(self, rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        height, width = rgb.shape[:2]
        framed = cv2.copyMakeBorder(rgb, 0, max(TILE - height, 0), 0, max(TILE - width, 0), cv2.BORDER_REPLICATE)
        corners = [(x, y) for y in _starts(framed.shape[0]) for x in _starts(framed.shape[1])]
        rows = [np.empty((0, 5))]
        for start in range(0, len(corners), BATCH):
            part = corners[start : start + BATCH]
            tiles = as_batch([framed[y : y + TILE, x : x + TILE] for x, y in part], self._device)
            for (x, y), found in zip(part, self._detector.detect_from_batch(tiles), strict=True):
                rows.append(as_rows(found) + np.array([x, y, x, y, 0]))
        return np.concatenate(rows)


def _starts(length: int) -> list[int]:
    """Where the tiles begin along a side; the last one ends with it."""
    return [*range(0, length - TILE, TILE // 2), length - TILE]


def open(device: str, models: Path | None) -> BlazeFace:  # noqa: A001  every adapter is opened by this name
    """Load the detector from its verified files."""
    return BlazeFace(device, models)
