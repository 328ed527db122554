"""One picture -> its rows and crops."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..crop import CropSpec, align_face, require_five
from ..detect import Detector, open_detector
from ..encoding import write_image
from ..errors import EyelineError, ImageError
from ..eyeline import AlignmentRefusedError
from ..face import Face
from ..files import printable
from ..find import Choice, choose_faces, find_faces
from ..image import load_image, shown
from ..inputs import Picture
from ..ladder import Search
from ..landmarks import LANDMARKERS, Landmarker, open_landmarker
from ..quality import Gates, canonical_crop, measure

Row = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How each picture is treated; the same recipe on the same picture gives the same rows and crops.

    Attributes:
        detector: A key of `DETECTORS`.
        landmarks: A key of `LANDMARKERS`.
        crop: What a crop looks like.
        gates: What drops a face.
        faces: Which faces of a picture are taken.
        search: How hard to look for faces.
        device: Where the networks run; dlib's landmarkers always run on the CPU.
        models: A folder of model files that is looked at first.
    """

    detector: str = "hog"
    landmarks: str = "dlib5"
    crop: CropSpec = field(default_factory=CropSpec)
    gates: Gates = field(default_factory=Gates)
    faces: Choice = "all"
    search: Search = field(default_factory=Search)
    device: str = "cpu"
    models: Path | None = None

    def dependencies(self) -> Row:
        """Give all that rows depend on; where the models lie does not matter, for their sha256 are known."""
        return asdict(replace(self, models=None))


def align_picture(picture: Picture, recipe: Recipe, staged: Path, fingerprint: str) -> list[Row]:
    """Align the faces of one picture and write their crops to a folder, to be moved when their rows are safe.

    Args:
        picture: What to read.
        recipe: How.
        staged: The folder; a crop's name in it is made of the fingerprint and the number of the face.
        fingerprint: Of the picture and the recipe.

    Returns:
        A row a face; one row where there is no face, or where the picture cannot be read.
    """
    try:
        return _align(picture, recipe, staged, fingerprint)
    except ImageError as error:
        return [failed_row(picture, str(error))]
    except (EyelineError, OSError):
        raise  # wrong options, a missing model, a full disk: not this picture's fault
    except Exception as error:  # noqa: BLE001  a model that fails on one picture must not end the run on all others
        said = " ".join(shown(f"{type(error).__name__}: {error}").split())
        return [failed_row(picture, f"{shown(picture.path)}: expected a picture that the models take ({said})")]


def _align(picture: Picture, recipe: Recipe, staged: Path, fingerprint: str) -> list[Row]:
    image = load_image(picture.path)
    found = _find(image, recipe)
    height, width = image.shape[:2]
    about = {"path": printable(picture.path), "width": width, "height": height}
    rows = []
    for number, face in enumerate(choose_faces(found, recipe.faces, height, width)):
        row = about | {"face": number} | face.record()
        try:
            crop = align_face(image, face, recipe.crop)
        except AlignmentRefusedError as refusal:
            rows.append(row | {"drop_reason": refusal.reason})
            continue
        numbers, reason = _judge(image, face, recipe.gates)
        row |= {"matrix": crop.matrix.ravel().tolist(), "drop_reason": reason} | numbers
        if reason is None:
            row["crop"] = f"{picture.name}-{number:02d}.png"
            write_image(staged / staged_name(fingerprint, number), crop.image)
        rows.append(row)
    return rows or [about | {"drop_reason": "no_face"}]


def _find(image: NDArray[np.uint8], recipe: Recipe) -> list[Face]:
    return find_faces(image, *_open_models(recipe), recipe.search)


def _open_models(recipe: Recipe) -> tuple[Detector, Landmarker]:
    detector = open_detector(recipe.detector, recipe.device, recipe.models)
    device = "cpu" if LANDMARKERS[recipe.landmarks].startswith("dlib") else recipe.device  # dlib's know no other
    return detector, open_landmarker(recipe.landmarks, device, recipe.models)


def _judge(image: NDArray[np.uint8], face: Face, gates: Gates) -> tuple[Row, str | None]:
    """Measure a face: its numbers, and the reason for which it is dropped."""
    quality = measure(canonical_crop(image, face))
    interocular_px = face.eyes.interocular_px if face.eyes else None
    return asdict(quality), gates.reason(quality, interocular_px, face.yaw_deg)


def failed_row(picture: Picture, sentence: str) -> Row:
    """Make the row of a picture that cannot be read, with the reason as one sentence."""
    return {"path": printable(picture.path), "drop_reason": "corrupt", "error": sentence}


def staged_name(fingerprint: str, number: int) -> str:
    """Name a crop that waits for its row to be safe: no other picture and no other recipe gives this name."""
    return f"{fingerprint}-{number:02d}.png"


def check_models(recipe: Recipe) -> None:
    """Open the models of a recipe, as every worker does.

    Raises:
        ModelError: A model file is missing or wrong.
        UsageError: The landmarks do not give the points that the crop is anchored by.
    """
    _, landmarker = _open_models(recipe)
    if recipe.crop.anchor == "five":
        require_five(landmarker.scheme)
