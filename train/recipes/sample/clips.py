"""Clips of made people: still pictures that a hand holds the camera for, and the files they are kept in."""

from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def shaken(picture: NDArray[np.uint8], rng: np.random.Generator, much: float = 1.0) -> NDArray[np.uint8]:
    """Take a picture once more: the camera has moved a little, the light is another, and the sensor has its noise.

    Args:
        picture: uint8 [H, W, 3], RGB.
        rng: Draws it.
        much: 1 turns by some 0.5 degrees, moves by 0.5 % of the width and lights by 2 %.

    Returns:
        uint8, of the same size.
    """
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 0.5 * much)), 1.0)
    turn[:, 2] += rng.normal(0, 0.005 * much * width, 2)
    moved = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    light = float(rng.normal(1, 0.02 * much))
    noisy = rng.standard_normal(moved.shape, np.float32)
    noisy += moved * np.float32(light)
    return np.asarray(np.clip(noisy, 0, 255, out=noisy), np.uint8)


def write_clip(path: Path, pictures: Iterable[NDArray[np.uint8]], rate: int = 20) -> None:
    """Write a video as MPEG-4.

    Args:
        path: Its suffix says which container.
        pictures: uint8 [H, W, 3], RGB, all of one size, height and width even.
        rate: Frames a second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate, options={"qscale": "3", "flags": "+bitexact"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes on any machine
        for number, picture in enumerate(pictures):
            if not number:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
