"""Faces of pictures that are no curated set: found, and described, without anything being written."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from align import cut_chip, find_faces, load_image, open_embedder

_BATCH = 64


def describe_pictures(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find every face of some pictures and describe it.

    Args:
        paths: N pictures that can be read.
        progress: Told of pictures that are done.

    Returns:
        float32 [F, 128], and the picture of each face, int64 [F].
    """
    embedder = open_embedder()
    chips: list[NDArray[np.uint8]] = []
    found: list[NDArray[np.float32]] = [np.zeros((0, embedder.features), np.float32)]
    owner: list[int] = []
    for place, path in enumerate(paths):
        image = load_image(path)
        for face in find_faces(image):
            if face.landmarks is not None and face.landmark_scheme is not None:
                chips.append(cut_chip(image, face.landmarks, face.landmark_scheme))
                owner.append(place)
        if len(chips) >= _BATCH:
            found.append(embedder.embed(np.stack(chips)))
            chips.clear()
        if progress is not None:
            progress(place + 1, len(paths))
    if chips:
        found.append(embedder.embed(np.stack(chips)))
    return np.concatenate(found), np.array(owner, np.int64)
