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
    from .batch.workers import Crew, WorkerDiedError, wait_for_workers
    from .compilation import compiled
    from .crop import TEMPLATES, Border, Crop, CropSpec, Template, align_face, warp
    from .detect import DETECTORS, Detector, open_detector
    from .embed import EMBEDDERS, Embedder, cut_chip, open_embedder
    from .embedders.dlib_network import DlibFaceResNet
    from .encoding import encode, write_image
    from .eyeline import AlignmentRefusedError
    from .find import Choice, choose_faces, find_faces
    from .image import image_suffixes, load_image
    from .ladder import Search, Until
    from .landmarks import LANDMARKERS, Landmarker, follow, locate, open_landmarker
    from .models import MODELS, STORE_VARIABLE, cache_folder, find_model, model_sha256, package_root, tell_impostor
    from .quality import Gates, Quality, canonical_crop, measure
    from .schemes import SCHEMES, Scheme

_LAZY = {
    "compiled": "compilation",
    "Crew": "batch.workers",
    "WorkerDiedError": "batch.workers",
    "wait_for_workers": "batch.workers",
    "TEMPLATES": "crop",
    "Border": "crop",
    "Crop": "crop",
    "CropSpec": "crop",
    "Template": "crop",
    "align_face": "crop",
    "warp": "crop",
    "DETECTORS": "detect",
    "Detector": "detect",
    "open_detector": "detect",
    "EMBEDDERS": "embed",
    "Embedder": "embed",
    "cut_chip": "embed",
    "open_embedder": "embed",
    "DlibFaceResNet": "embedders.dlib_network",
    "encode": "encoding",
    "write_image": "encoding",
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
    "follow": "landmarks",
    "locate": "landmarks",
    "open_landmarker": "landmarks",
    "MODELS": "models",
    "STORE_VARIABLE": "models",
    "cache_folder": "models",
    "find_model": "models",
    "model_sha256": "models",
    "package_root": "models",
    "tell_impostor": "models",
    "Gates": "quality",
    "Quality": "quality",
    "measure": "quality",
    "canonical_crop": "quality",
    "SCHEMES": "schemes",
    "Scheme": "schemes",
}

__all__ = [
    "DETECTORS",
    "EMBEDDERS",
    "LANDMARKERS",
    "MODELS",
    "SCHEMES",
    "STORE_VARIABLE",
    "TEMPLATES",
    "AlignmentRefusedError",
    "Border",
    "Box",
    "Choice",
    "Crew",
    "Crop",
    "CropSpec",
    "Detector",
    "DlibFaceResNet",
    "Embedder",
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
    "WorkerDiedError",
    "align_face",
    "cache_folder",
    "canonical_crop",
    "choose_faces",
    "compiled",
    "cut_chip",
    "die_with_parent",
    "encode",
    "find_faces",
    "find_model",
    "follow",
    "image_suffixes",
    "load_image",
    "locate",
    "locked",
    "measure",
    "model_sha256",
    "open_detector",
    "open_embedder",
    "open_landmarker",
    "package_root",
    "printable",
    "replacing",
    "tell_impostor",
    "wait_for_workers",
    "warp",
    "write_atomic",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
