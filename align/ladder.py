"""The search for faces of any size and roll: a ladder of views of one picture, each shown to the same detector."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from .colour import as_colour, require_picture
from .errors import UsageError
from .eyeline import invert, transform_points
from .face import Box, Face
from .upright import upright

LONGEST_SHAPE = 3.0
"""A picture longer than this many times its short side is brought to size by its short side."""

LONGEST_SIDE = 30_000
"""OpenCV turns and warps no picture with a side of 32,767 pixels or more."""

PADDING = 0.25
"""The border around the view that looks for faces that fill the picture, in short sides, on each side."""

MIN_SIDE = 64
"""Smaller views get a border on the right and below: networks fail on pictures that their strides bring to nothing."""

SAME_FACE_IOU = 0.4
"""Two boxes of two views that overlap by more than this are one face."""

HARDLY_LARGER = 1.5
"""A face under this many times the smallest that a view can show may have company that it cannot show."""

Until = Literal["one", "alike", "every"]


@dataclass(frozen=True)
class Search:
    """How hard a detector looks.

    Attributes:
        until: When the search ends. `one`: at the first view that shows a face, which is enough for the largest.
            `alike`: then it goes on as long as a face is found that is hardly larger than the smallest that the view
            can show, since the faces of a group are of like size. `every`: all views are looked at and merged.
        min_face: Smallest face that is looked for, in pixels of the picture.
        turns: Where no upright face is found, look for lying and overhead ones as well, and ask of unsure ones which
            way up they are; false where heads are known to be upright, as in most video, saves that time.
        expected_face: Size in pixels of a face that is likely there, as the last frame of a video shows one. The view
            that shows faces of that size and larger ones comes first, and the ladder is climbed from there.
    """

    until: Until = "alike"
    min_face: int = 20
    turns: bool = True
    expected_face: int | None = None

    def __post_init__(self) -> None:
        if self.until not in get_args(Until):
            raise UsageError(f"search must be one of {', '.join(get_args(Until))} (got {self.until!r})")
        for name, value in (("min_face", self.min_face), ("expected_face", self.expected_face)):
            is_left_out = name == "expected_face" and value is None
            if not is_left_out and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} must be a whole number of pixels >= 1 (got {value!r})")


@dataclass(frozen=True)
class Reach:
    """What a backend can see, from which its ladder follows.

    Attributes:
        window: The smallest face that it finds, in pixels of what it is shown.
        long_side: Long side of the first view.
        max_side: Long side of the largest view of 4 to 3; others have as many pixels at the most. Bounds the memory.
        turns: Rolls, in degrees, at which it looks again where it found nothing upright.
        upright_score: A face of this score or more stands as its view shows it; of others it is asked which way up
            they are (`upright`). Infinite for detectors that find heads of any roll and do not say which.
        sure_score: A face of this score or more ends the search; in the views after the first no other is believed.
    """

    window: int
    sure_score: float
    long_side: int = 640
    max_side: int = 2560
    turns: tuple[int, ...] = (90, -90, 180)
    upright_score: float = math.inf


class Backend(Protocol):
    """One detector's model: upright faces in pictures of one size."""

    name: str
    colour: bool
    reach: Reach

    def boxes(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
        """Find upright faces.

        Args:
            pictures: All of one size; uint8 [H, W, 3], RGB, where `colour`, else [H, W], luma.

        Returns:
            For each picture float64 [N, 5]: left, top, right and bottom edge, where pixel centres stand at integers,
            and score.
        """
        ...


@dataclass(frozen=True)
class View:
    """One way to look at a picture: resized, inside a border, turned upright by `turn_deg`."""

    scale: float
    padding: float = 0.0
    turn_deg: int = 0

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Give the height and width of the view of a picture, before `MIN_SIDE`."""
        border = round(self.padding * self.scale * min(height, width))
        down, across = height * self.scale + 2 * border, width * self.scale + 2 * border
        sine, cosine = (abs(f(math.radians(self.turn_deg))) for f in (math.sin, math.cos))
        return math.ceil(across * sine + down * cosine), math.ceil(across * cosine + down * sine)

    def within(self, height: int, width: int, max_side: int) -> "View":
        """Give the view, reduced so far that it has no more pixels than 4 to 3 of `max_side`, and no endless side."""
        down, across = self.shape(height, width)
        factor = min(math.sqrt(0.75 * max_side**2 / (down * across)), LONGEST_SIDE / max(down, across))
        return self if factor >= 1 else replace(self, scale=self.scale * factor)

    def show(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Give the view and the matrix picture -> view, float64 [2, 3]."""
        height, width = picture.shape[:2]
        size = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        ratio = np.array([size[0] / width, size[1] / height])
        matrix = np.column_stack([np.diag(ratio), 0.5 * ratio - 0.5])
        shown = picture
        if size != (width, height):
            shown = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR)
        if border := round(self.padding * min(size)):
            shown = cv2.copyMakeBorder(shown, border, border, border, border, cv2.BORDER_REPLICATE)
            matrix[:, 2] += border
        if self.turn_deg:
            shown, turn = _turned(shown, self.turn_deg)
            matrix = turn @ np.vstack([matrix, (0, 0, 1)])
        right, below = max(MIN_SIDE - shown.shape[1], 0), max(MIN_SIDE - shown.shape[0], 0)
        if right or below:
            shown = cv2.copyMakeBorder(shown, 0, below, 0, right, cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(shown), matrix


class LadderDetector:
    """A detector of faces of any size and roll, made of a backend that finds upright ones of some sizes.

    The first view has a long side of `Reach.long_side`; then come a smaller one inside a border, for faces that fill
    the picture, larger and larger ones down to `Search.min_face`, and views turned by `Reach.turns`, of which the one
    with the surest face wins. Where `Search.expected_face` is given, the view for it comes before them all.
    `Search.until` says when it ends; `Face.scale` and `Face.turn_deg` tell which view showed a face.
    """

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.colour = backend.colour
        self._backend = backend

    def detect(self, image: NDArray[np.uint8], search: Search | None = None) -> list[Face]:
        """Find faces in one picture, best first; see `Detector.detect`."""
        return self.detect_batch([image], search)[0]

    def detect_batch(self, images: Sequence[NDArray[np.uint8]], search: Search | None = None) -> list[list[Face]]:
        """Find faces in several pictures; views of one size are shown to the backend together."""
        search = search or Search()
        for image in images:
            require_picture(image)  # compiled code would read beyond its tables by what is no uint8
        pictures = [as_colour(image, colour=self._backend.colour) for image in images]
        ladders = [list(_ladder(picture.shape, self._backend.reach, search)) for picture in pictures]
        found: list[list[Face]] = [[] for _ in pictures]
        for step in range(max(map(len, ladders), default=0)):
            going = [i for i, ladder in enumerate(ladders) if step < len(ladder)]
            going = [i for i in going if step == 0 or self._goes_on(found[i], ladders[i], step, search)]
            seen = self._look(pictures, [(i, view) for i in going for view in ladders[i][step].views])
            for i in going:
                found[i] = self._add(found[i], seen[i], believed=ladders[i][step].believed)
        enough = self._backend.reach.upright_score
        if not search.turns and math.isfinite(enough):
            return found  # every view was upright, and the user says that the heads are
        return [
            [face if face.score >= enough else upright(image, face) for face in faces]
            for image, faces in zip(images, found, strict=True)
        ]

    def _goes_on(self, found: Sequence[Face], ladder: Sequence["_Step"], step: int, search: Search) -> bool:
        """Whether a step is looked at, after what the steps before it showed."""
        sure = [face for face in found if self._is_sure([face])]
        if not sure or search.until == "every":
            return True
        view = ladder[step].views[0]
        scale = max(shown.scale for before in ladder[:step] for shown in before.views)
        is_closer = not view.turn_deg and view.scale > scale
        smallest = min(math.sqrt(face.box.area) for face in sure) * scale
        return search.until == "alike" and is_closer and smallest < HARDLY_LARGER * self._backend.reach.window

    def _is_sure(self, faces: Sequence[Face]) -> bool:
        return any(face.score >= self._backend.reach.sure_score for face in faces)

    def _add(self, found: list[Face], seen: Sequence[Sequence[Face]], *, believed: bool) -> list[Face]:
        """Add what the views of one step showed.

        In the lowest view of the ladder every face counts. The others show too many windows to believe the unsure ones;
        and where they show a sure face, what was unsure before was none. Of views that are turned the one with the
        surest face counts.
        """
        if believed:
            return _merge([*found, *seen[0]])
        sure = [[face for face in faces if self._is_sure([face])] for faces in seen]
        best = max(sure, key=lambda faces: max((face.score for face in faces), default=-math.inf))
        if best and not self._is_sure(found):
            return _merge(best)
        return _merge([*found, *best])

    def _look(
        self, pictures: Sequence[NDArray[np.uint8]], wanted: Iterable[tuple[int, View]]
    ) -> dict[int, list[list[Face]]]:
        """Show views to the backend, those of one size together: number of the picture -> the faces of each view."""
        shown = [(i, view, *view.show(pictures[i])) for i, view in wanted]
        by_shape = defaultdict(list)
        for item in shown:
            by_shape[item[2].shape].append(item)
        seen: dict[int, list[list[Face]]] = defaultdict(list)
        for group in by_shape.values():
            boxes = self._backend.boxes([picture for _, _, picture, _ in group])
            for (i, view, _, matrix), rows in zip(group, boxes, strict=True):
                seen[i].append([self._face(row, view, matrix) for row in rows if _is_box(row)])
        return seen

    def _face(self, row: NDArray[np.float64], view: View, matrix: NDArray[np.float64]) -> Face:
        """Bring a box of a view back into the picture."""
        left, top, right, bottom, score = (float(value) for value in row)
        inverse = invert(matrix)
        x, y = transform_points(inverse, np.array([[(left + right) / 2, (top + bottom) / 2]]))[0]
        stretch = np.linalg.norm(inverse[:, :2], axis=0)
        width, height = (right - left) * float(stretch[0]), (bottom - top) * float(stretch[1])
        if abs(view.turn_deg) == 90:
            width, height = height, width
        box = Box(float(x) - width / 2, float(y) - height / 2, width, height)
        return Face(box, score, self.name, scale=view.scale, turn_deg=view.turn_deg)


def _is_box(row: NDArray[np.float64]) -> bool:
    """Whether a network's box is one: finite, and a pixel wide and high at the least."""
    return bool(np.isfinite(row).all() and row[2] - row[0] >= 1 and row[3] - row[1] >= 1)


@dataclass(frozen=True)
class _Step:
    """Views that are looked at together; `believed` where faces of any score count."""

    views: list[View]
    believed: bool = False


def _ladder(shape: tuple[int, ...], reach: Reach, search: Search) -> Iterator[_Step]:
    """Yield the steps of the search in a picture of a shape."""
    height, width = shape[:2]
    long_side = min(max(height, width), LONGEST_SHAPE * min(height, width))
    needed = max(reach.window / search.min_face, 1.0 if reach.long_side >= long_side else 0.0)
    first = min(reach.long_side / long_side, needed)
    largest = View(needed).within(height, width, reach.max_side).scale
    expected = min(reach.window / search.expected_face, largest) if search.expected_face else 0.0
    steps = [[View(first / 2, PADDING)]]
    scale = max(first, expected)
    while scale < largest * 0.99:
        scale = min(scale * 2, largest)
        steps.append([View(scale)])
    if search.turns and reach.turns:
        steps.append([View(first, turn_deg=turn) for turn in reach.turns])
    if min(height, width) < search.min_face / 2:
        steps = []  # no face that is looked for has room
    if expected > first:
        yield _Step([View(expected)])
    yield _Step([View(first).within(height, width, reach.max_side)], believed=True)
    for views in sorted(steps, key=lambda views: sum(view.scale**2 for view in views)):
        yield _Step([view.within(height, width, reach.max_side) for view in views])


def _turned(picture: NDArray[np.uint8], turn_deg: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Turn a picture against the clock so that a head that rolls by `turn_deg` stands upright; and the matrix."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1.0)
    across, down = np.abs(matrix[:, :2]) @ (width, height)
    size = math.ceil(across - 1e-6), math.ceil(down - 1e-6)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    if turn_deg % 90 == 0:
        return np.rot90(picture, turn_deg // 90), matrix
    return cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), matrix


def _merge(faces: Iterable[Face]) -> list[Face]:
    """Sort faces, best first, and drop those that a surer one covers."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, face.box.xyxy)):
        if all(face.box.iou(other.box) <= SAME_FACE_IOU for other in kept):
            kept.append(face)
    return kept
