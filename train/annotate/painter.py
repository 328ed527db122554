"""Draws boxes and what the model says about each face onto a picture."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from align import UsageError

from ..cascade import NOT_FACE
from ..tasks import AFFECT, Tasks
from .faces import FaceAnswer

_LINES_PX = 26
"""A picture is as high as so many lines of text; small pictures have fewer, larger ones no more than can be read."""

_FONT_PX = (9, 40)
_MOST_UNITS = 8

Colour = tuple[int, int, int]
_SHADE = 0.35
_COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0), (0, 114, 178))
"""Colours that colour-blind eyes tell apart (Okabe and Ito 2008)."""
_NO_ANSWER = (160, 160, 160)


def label_lines(face: FaceAnswer, tasks: Tasks, threshold: float) -> list[str]:
    """Say what the model tells about a face: the likeliest class, valence and arousal, and the units that are there."""
    if face.values is None:
        return ["not a face" if face.drop_reason == NOT_FACE else face.drop_reason or "not aligned"]
    values = face.values.tolist()
    lines, at = [], len(tasks.classes)
    if tasks.classes:
        best = int(np.argmax(face.values[:at]))
        lines.append(f"{tasks.classes[best]} {values[best]:.0%}")
    if tasks.affect:
        lines += [f"{name} {value:+.2f}" for name, value in zip(AFFECT, values[at : at + 2], strict=True)]
        at += 2
    units = zip(values[at:], tasks.units, strict=True)
    shown = sorted((pair for pair in units if pair[0] >= threshold), reverse=True)[:_MOST_UNITS]
    return lines + [f"{name.replace('au_', 'AU ')} {share:.0%}" for share, name in shown]


class Painter:
    """Draw on the pictures of one annotation.

    Args:
        tasks: What the model tells.
        threshold: Action units of this probability or more are shown.
        font: A TrueType file; None is the one that matplotlib ships.

    Raises:
        UsageError: The font cannot be read.
    """

    def __init__(self, tasks: Tasks, threshold: float, font: Path | None = None) -> None:
        self._tasks = tasks
        self._threshold = threshold
        self._font = str(font or _shipped_font())
        try:
            ImageFont.truetype(self._font, _FONT_PX[0])
        except OSError:
            raise UsageError(f"--font must be a TrueType font that can be read (got {self._font})") from None

    def paint(self, picture: NDArray[np.uint8], faces: Sequence[FaceAnswer]) -> None:
        """Draw the boxes and labels of faces into a picture, uint8 [H, W, 3], RGB."""
        short = min(picture.shape[:2])
        size = int(np.clip(short / _LINES_PX, *_FONT_PX))
        width = max(1, round(short / 240))
        for number, face in enumerate(faces):
            place = number if face.track is None else face.track
            colour = _NO_ANSWER if face.values is None else _COLOURS[place % len(_COLOURS)]
            left, top, right, bottom = (round(edge) for edge in face.box.xyxy)
            cv2.rectangle(picture, (left, top), (right, bottom), colour, width)
            masks = [text_mask(line, self._font, size) for line in label_lines(face, self._tasks, self._threshold)]
            self._write(picture, masks, (left, top - width, bottom + width), colour)

    @staticmethod
    def _write(
        picture: NDArray[np.uint8], masks: Sequence[NDArray[np.float32]], edges: tuple[int, int, int], colour: Colour
    ) -> None:
        """Write lines above the box; where there is no room, below it; where there is none either, at the top."""
        left, top, below = edges
        height, width = picture.shape[:2]
        tall, wide = sum(mask.shape[0] for mask in masks), max(mask.shape[1] for mask in masks)
        y = top - tall if top >= tall else below if below + tall <= height else 0
        x = max(0, min(left, width - wide))
        shaded = picture[y : y + tall, x : x + wide]
        shaded[:] = shaded * _SHADE
        for mask in masks:
            region = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
            ink = mask[: region.shape[0], : region.shape[1], None]
            region[:] = np.rint(region * (1 - ink) + np.array(colour, np.float32) * ink)
            y += mask.shape[0]


@lru_cache(maxsize=1024)
def text_mask(text: str, font: str, size_px: int) -> NDArray[np.float32]:
    """Draw a line of text, float32 [h, w], 0 to 1, with a margin; all lines of a font and size are of one height."""
    face = _face(font, size_px)
    ascent, descent = face.getmetrics()
    margin = max(1, size_px // 5)
    width = math.ceil(face.getlength(text)) + 2 * margin
    mask = Image.new("L", (width, ascent + descent))
    ImageDraw.Draw(mask).text((margin, 0), text, fill=255, font=face)
    return np.asarray(mask).astype(np.float32) / np.float32(255)


@lru_cache(maxsize=8)
def _face(font: str, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font, size_px)


def _shipped_font() -> Path:
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
