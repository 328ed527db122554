"""How far eye centres and roll are from pupils marked by hand, for each landmarker, one pass and YuNet's own points."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import align
from align.landmarks import locate, open_landmarker

from . import _faces

SHARES = (0.05, 0.1, 0.25)
"""Errors below these shares of the eye distance are counted."""

Method = Callable[[NDArray[np.uint8], list[align.Face]], list[NDArray[np.float64]]]
"""A picture and the faces that hog finds in it -> the eyes of each face, float64 [2, 2]."""


def by_landmarker(name: str, passes: int | None) -> Method:
    """Make the method that finds eyes by one of our landmarkers in a number of passes."""
    landmarker = open_landmarker(name)

    def find(image: NDArray[np.uint8], faces: list[align.Face]) -> list[NDArray[np.float64]]:
        located = (locate(image, face, landmarker, passes).eyes for face in faces)
        return [eyes.xy for eyes in located if eyes is not None]

    return find


def open_methods() -> dict[str, Method]:
    """Open every method that can run here, and print which cannot and why."""
    methods = {
        f"{name}, {'one pass' if passes else 'as it is'}": by_landmarker(name, passes)
        for name in ("dlib5", "dlib68")
        for passes in (None, 1)
    }
    try:
        own = _faces.own_points()
        methods["YuNet's own key points"] = lambda image, _: list(own(image))
    except align.ModelError as error:
        print(f"without YuNet: {error}")
    return methods


def relative(found: NDArray[np.float64], pupils: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Give each eye's offset from its pupil in eye distances: along the eye line, and i times across it, downwards.

    Args:
        found: float64 [N, 2, 2], left and right eye, x and y.
        pupils: The same of the truth.

    Returns:
        complex128 [N, 2].
    """
    found_c, pupils_c = found[..., 0] + 1j * found[..., 1], pupils[..., 0] + 1j * pupils[..., 1]
    offsets: NDArray[np.complex128] = (found_c - pupils_c) / (pupils_c[:, 1:] - pupils_c[:, :1])
    return offsets


def worse_eye(offsets: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Give the error of each face's worse eye once the mean offset of each eye is taken off: float64 [N]."""
    errors: NDArray[np.float64] = np.abs(offsets - offsets.mean(axis=0)).max(axis=1)
    return errors


def roll_differences(offsets: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Give each eye line's angle to the pupils' line in degrees, less their mean: float64 [N]."""
    degrees: NDArray[np.float64] = np.degrees(np.angle(1 + offsets[:, 1] - offsets[:, 0]))
    return np.asarray(degrees - degrees.mean())


def show(name: str, offsets: NDArray[np.complex128], photos: int) -> None:
    """Print one method's line; a photo whose eyes were not found counts as beyond every share."""
    errors, missed = worse_eye(offsets), photos - len(offsets)
    shares = "".join(f"{(errors < share).sum() / photos:8.1%}" for share in SHARES)
    places = "  ".join(f"{offset.real:+.3f} {offset.imag:+.3f}" for offset in offsets.mean(axis=0))
    roll = np.abs(roll_differences(offsets)).mean()
    print(f"  {name:26}{errors.mean():8.4f}{shares}{roll:8.2f}{missed:8}   {places}")


def main() -> None:
    """Print the errors of every method over the photos whose pupils were marked by hand."""
    marked = [photo for photo in _faces.read_index() if photo.eye_source == _faces.HAND_MARKED]
    photos = [(photo, photo.pupils) for photo in marked if photo.pupils is not None]
    methods = open_methods()
    found: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {name: [] for name in methods}
    detector = align.open_detector("hog")
    for photo, pupils in photos:
        image = align.load_image(photo.path)
        faces = detector.detect(image)
        for name, find in methods.items():
            near = [eyes for eyes in find(image, faces) if _faces.are_same_eyes(eyes, pupils)]
            found[name] += [(near[0], pupils)] if near else []
    print(f"{len(photos)} photos with pupils marked by hand; errors in eye distances, of the worse eye, after the mean")
    print("offset of each eye is taken off (printed: along the eye line and down, left eye and right eye): the centre")
    print("of an eye's corners is no pupil. Roll: mean difference from the pupils' line, in degrees, less its mean.")
    below = "".join(f"{f'< {share}':>8}" for share in SHARES)
    print(f"  {'':26}{'mean':>8}{below}{'roll':>8}{'missed':>8}   offsets")
    for name, pairs in found.items():
        if pairs:
            eyes, true = (np.stack(column) for column in zip(*pairs, strict=True))
            show(name, relative(eyes, true), len(photos))
        else:
            print(f"  {name:26}found none")
