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
from .files import replacing, write_atomic

if TYPE_CHECKING:
    from .crop import TEMPLATES, Crop, CropSpec, align_face
    from .detect import Detector, open_detector
    from .find import find_faces
    from .image import load_image
    from .landmarks import Landmarker, open_landmarker
    from .models import MODELS, find_model
    from .quality import Quality, measure

_LAZY = {
    "TEMPLATES": "crop",
    "Crop": "crop",
    "CropSpec": "crop",
    "align_face": "crop",
    "Detector": "detect",
    "open_detector": "detect",
    "find_faces": "find",
    "load_image": "image",
    "Landmarker": "landmarks",
    "open_landmarker": "landmarks",
    "MODELS": "models",
    "find_model": "models",
    "Quality": "quality",
    "measure": "quality",
}

__all__ = [
    "MODELS",
    "TEMPLATES",
    "Box",
    "Crop",
    "CropSpec",
    "Detector",
    "Eyes",
    "EyelineError",
    "Face",
    "ImageError",
    "Landmarker",
    "ModelError",
    "Quality",
    "UsageError",
    "align_face",
    "find_faces",
    "find_model",
    "load_image",
    "measure",
    "open_detector",
    "open_landmarker",
    "replacing",
    "write_atomic",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
