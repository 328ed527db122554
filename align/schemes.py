"""The orders in which landmarkers give their points, and which of them are eyes, nose and mouth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scheme:
    """What the points of a landmarker mean; left and right are those of the image, on an upright face.

    Attributes:
        mirror: For each point, the number that it has when the picture is mirrored.
        corners: Five points: outer and inner corner of the right eye, the same of the left eye, base of the nose.
        five: Groups of points whose means are the left eye, right eye, tip of the nose, left and right corner of the
            mouth, as face recognition aligns by; empty where the scheme lacks some.
    """

    mirror: tuple[int, ...]
    corners: tuple[int, ...]
    five: tuple[tuple[int, ...], ...] = ()

    def corner_points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the five points of `corners`: float64 [5, 2]."""
        return points[list(self.corners)]

    def five_points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the means of the groups of `five`: float64 [5, 2]."""
        return np.stack([points[list(group)].mean(axis=0) for group in self.five])


def _mirror_of_ibug68() -> tuple[int, ...]:
    """Pair the points of the face's two halves; a run of them from a to b becomes the run from a' down to b'."""
    runs = (
        (0, 16, 16),  # jaw
        (17, 26, 26),  # brows
        (31, 35, 35),  # base of the nose
        (36, 39, 45),  # upper lid of the left eye
        (40, 41, 47),  # lower lid of the left eye
        (48, 54, 54),  # outer lips, upper
        (55, 59, 59),  # outer lips, lower
        (60, 64, 64),  # inner lips, upper
        (65, 67, 67),  # inner lips, lower
    )
    mirror = list(range(68))
    for first, last, partner in runs:
        for step in range(last - first + 1):
            mirror[first + step] = partner - step
            mirror[partner - step] = first + step
    return tuple(mirror)


SCHEMES = {
    # dlib's 5 points
    "dlib5": Scheme(mirror=(2, 3, 0, 1, 4), corners=(0, 1, 2, 3, 4)),
    # the 68 points of the iBUG 300-W annotation (Sagonas et al. 2016)
    "ibug68": Scheme(
        mirror=_mirror_of_ibug68(),
        corners=(45, 42, 36, 39, 33),
        five=(tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
    ),
}
"""Name -> scheme. A landmarker of your own adds its scheme here."""
