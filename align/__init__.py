"""One image in, aligned faces out; knows no dataset and no training.

>>> import align
>>> image = align.load_image("photo.jpg")                                  # doctest: +SKIP
>>> faces = align.find_faces(image, detector="hog", landmarks="dlib5")     # doctest: +SKIP
>>> crop = align.align_face(image, faces[0], align.CropSpec(size=224))     # doctest: +SKIP

The names below are loaded when they are first used, so that `import align` costs neither OpenCV nor dlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import EyelineError, ImageError, ModelError, UsageError
from .face import Box, Eyes, Face
from .files import printable, replacing, write_atomic
from .lock import locked
from .processes import die_with_parent

if TYPE_CHECKING:
    from .crop import TEMPLATES, Border, Crop, CropSpec, Template, align_face, warp, write_png
    from .detect import DETECTORS, Detector, open_detector
    from .eyeline import AlignmentRefusedError
    from .find import Choice, choose_faces, find_faces
    from .image import image_suffixes, load_image
    from .ladder import Search, Until
    from .landmarks import LANDMARKERS, Landmarker, open_landmarker
    from .models import MODELS, find_model, model_sha256, package_root
    from .quality import Gates, Quality, measure, measure_face
    from .schemes import SCHEMES, Scheme

_LAZY = {
    "TEMPLATES": "crop",
    "Border": "crop",
    "Crop": "crop",
    "CropSpec": "crop",
    "Template": "crop",
    "align_face": "crop",
    "warp": "crop",
    "write_png": "crop",
    "DETECTORS": "detect",
    "Detector": "detect",
    "open_detector": "detect",
    "AlignmentRefusedError": "eyeline",
    "Choice": "find",
    "choose_faces": "find",
    "find_faces": "find",
    "image_suffixes": "image",
    "load_image": "image",
    "Search": "ladder",
    "Until": "ladder",
    "LANDMARKERS": "landmarks",
    "Landmarker": "landmarks",
    "open_landmarker": "landmarks",
    "MODELS": "models",
    "find_model": "models",
    "model_sha256": "models",
    "package_root": "models",
    "Gates": "quality",
    "Quality": "quality",
    "measure": "quality",
    "measure_face": "quality",
    "SCHEMES": "schemes",
    "Scheme": "schemes",
}

__all__ = [
    "DETECTORS",
    "LANDMARKERS",
    "MODELS",
    "SCHEMES",
    "TEMPLATES",
    "AlignmentRefusedError",
    "Border",
    "Box",
    "Choice",
    "Crop",
    "CropSpec",
    "Detector",
    "EyelineError",
    "Eyes",
    "Face",
    "Gates",
    "ImageError",
    "Landmarker",
    "ModelError",
    "Quality",
    "Scheme",
    "Search",
    "Template",
    "Until",
    "UsageError",
    "align_face",
    "choose_faces",
    "die_with_parent",
    "find_faces",
    "find_model",
    "image_suffixes",
    "load_image",
    "locked",
    "measure",
    "measure_face",
    "model_sha256",
    "open_detector",
    "open_landmarker",
    "package_root",
    "printable",
    "replacing",
    "warp",
    "write_atomic",
    "write_png",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
