"""Draw the pictures of docs/how-to from a photo that scikit-image ships (NASA, public domain)."""

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

import align

IMAGES = Path(__file__).parent / "how-to" / "images"
SIDE = 224
GAP = 8
LEAN_DEG = -25.0


def main() -> None:
    """Write templates.png: the photo, turned, with what was found, then a crop of each template."""
    photo = skimage.data.astronaut()
    turn = cv2.getRotationMatrix2D((225.0, 120.0), -LEAN_DEG, 1.0)
    photo = align.warp(photo, turn, (photo.shape[1], photo.shape[0]))
    face = align.find_faces(photo)[0]
    panels = [_found(photo, face)]
    for template in align.TEMPLATES:
        crop = align.align_face(photo, face, align.CropSpec(template, SIDE))
        panels.append(_marked(crop.image, crop.eyes.xy))
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    row = np.hstack([part for panel in panels for part in (panel, gap)][:-1])
    IMAGES.mkdir(exist_ok=True)
    align.write_image(IMAGES / "templates.png", row)


def _found(photo: NDArray[np.uint8], face: align.Face) -> NDArray[np.uint8]:
    """Show the neighbourhood of a face with its box and its eye line."""
    x, y = face.box.center
    left, top = round(x) - SIDE // 2, max(round(y) - SIDE // 2, 0)
    view = photo[top : top + SIDE, left : left + SIDE].copy()
    corners = np.round(np.reshape(face.box.xyxy, (2, 2)) - (left, top)).astype(int).tolist()
    cv2.rectangle(view, corners[0], corners[1], (255, 255, 255), 1)
    assert face.eyes is not None  # noqa: S101  find_faces gives eyes
    return _marked(view, face.eyes.xy - (left, top))


def _marked(picture: NDArray[np.uint8], eyes: NDArray[np.float64]) -> NDArray[np.uint8]:
    marked = picture.copy()
    ends = [(round(float(px)), round(float(py))) for px, py in eyes]
    cv2.line(marked, ends[0], ends[1], (0, 220, 90), 1, cv2.LINE_AA)
    for end in ends:
        cv2.circle(marked, end, 4, (0, 220, 90), 1, cv2.LINE_AA)
    return marked


if __name__ == "__main__":
    main()
