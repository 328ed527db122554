"""Where each model file is found, and that it is the right one; a wrong file is never used.

The places, in their order: a path that the caller names, the folder that `EYELINE_MODELS` names, the installed package
that ships the file, the user's cache. Nothing here downloads: `align.store` does, when it is asked to.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from .errors import ModelError, UsageError
from .model_cards import MODELS, ModelFile

__all__ = [
    "MODELS",
    "PINNED",
    "STORE_VARIABLE",
    "UNVERIFIED",
    "VERIFIED",
    "Found",
    "ModelFile",
    "cache_folder",
    "check_file",
    "find_model",
    "list_places",
    "model_sha256",
    "models_used_by",
    "package_root",
    "pin_path",
    "read_pin",
    "tell_impostor",
]

STORE_VARIABLE = "EYELINE_MODELS"

VERIFIED, PINNED, UNVERIFIED = "verified", "pinned at first fetch", "unverified"
"""Checked by the published sha256; by the sha256 of the first fetch; not at all, because there is none."""


@dataclass(frozen=True)
class Found:
    """Name a place where a model file may be.

    Attributes:
        place: explicit, EYELINE_MODELS, package or cache.
        path: The file's path there, whether or not it exists.
    """

    place: str
    path: Path


def package_root(package: str) -> Path | None:
    """Give the folder of an installed package without importing it; None where it is not installed."""
    try:
        spec = find_spec(package)
    except (ModuleNotFoundError, ValueError):  # a module inside a package that is not there, or an empty name
        return None
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None


def cache_folder() -> Path:
    """Give the folder of the user's cache: `$XDG_CACHE_HOME/eyeline/models`, else `~/.cache/eyeline/models`.

    Raises:
        ModelError: The user has no home folder.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():  # the XDG specification says to ignore others
        return named / "eyeline" / "models"
    try:
        return Path.home() / ".cache" / "eyeline" / "models"
    except RuntimeError as error:
        raise ModelError(f"cache of models: expected a home folder ({error}); set {STORE_VARIABLE}") from None


def models_used_by(name: str) -> list[str]:
    """List the model files behind a name: a file itself, or those that a detector, landmarker or backbone reads.

    Raises:
        UsageError: There is no such name.
    """
    names = [card.name for card in MODELS.values() if name == card.name or name in card.used_by]
    if not names:
        users = sorted({user for card in MODELS.values() for user in card.used_by})
        raise UsageError(f"model {name!r}: expected one of {', '.join(sorted(MODELS))}, or of {', '.join(users)}")
    return names


def list_places(card: ModelFile, folder: Path | None = None) -> Iterator[Found]:
    """Yield the places where a file may be, in the order in which they are looked at.

    Args:
        card: The file.
        folder: A folder that the caller names; it comes first.

    Yields:
        Each place, whether or not the file is there.
    """
    if folder is not None:
        yield Found("explicit", folder / card.name)
    if store := os.environ.get(STORE_VARIABLE):
        yield Found(STORE_VARIABLE, Path(store) / card.name)
    if card.package is not None and (root := package_root(card.package[0])):
        yield Found("package", root / card.package[1])
    yield Found("cache", cache_folder() / card.name)


def find_model(name: str, path: Path | None = None) -> Path:
    """Find a model file and verify it; the first place that holds it counts, right or wrong.

    Args:
        name: A key of `MODELS`.
        path: A file that must be the one, or a folder to look into before the other places.

    Returns:
        The path of a file whose bytes are the expected ones, as far as its sha256 is known.

    Raises:
        ModelError: The name is unknown, the file is in no place, or its bytes are others.
    """
    if name not in MODELS:
        raise ModelError(f"model {name!r}: expected one of {sorted(MODELS)}")
    card = MODELS[name]
    if path is not None and not path.is_dir():
        if not path.is_file():
            raise ModelError(f"{path}: expected the model file {name}, or a folder (no such file); mend the path")
        check_file(path, card)
        return path
    for found in list_places(card, path):
        if found.path.is_file():
            check_file(found.path, card)
            return found.path
    raise ModelError(_say_missing(card, path))


def model_sha256(name: str, path: Path | None = None) -> str:
    """Give the sha256, in hex, of the file that `find_model` finds; errors as there."""
    found = find_model(name, path)
    return MODELS[name].sha256 or read_pin(found) or _digest(found, _stamp(found))


def check_file(path: Path, card: ModelFile) -> str:
    """Check that a file is the one its card describes.

    Returns:
        `VERIFIED`, `PINNED` or `UNVERIFIED`.

    Raises:
        ModelError: Its bytes are others than the published, or the pinned, ones.
    """
    expected = card.sha256 or read_pin(path)
    if expected is None:
        return UNVERIFIED
    stamp = _stamp(path)
    found = _digest(path, stamp)
    if found == expected:
        return VERIFIED if card.sha256 else PINNED
    size = "" if card.size is None else f" and {card.size} bytes"
    with path.open("rb") as file:
        instead = tell_impostor(file.read(512))
    raise ModelError(
        f"{path}: expected sha256 {expected}{size} (found {found} and {stamp[0]} bytes{instead}); remove the file "
        f"and run: eyeline-align models fetch {card.name}"
    )


def tell_impostor(head: bytes) -> str:
    """Say in brackets' words what stands in a model's place, by its first bytes; empty where it may be a model."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return ", an HTML page"
    if start.startswith(b"version https://git-lfs"):
        return ", a git-LFS pointer instead of the file it points to"
    return ""


def pin_path(path: Path) -> Path:
    """Give the path of the file that holds the sha256 of a file's first fetch."""
    return path.with_name(f"{path.name}.sha256")


def read_pin(path: Path) -> str | None:
    """Read the sha256 that was pinned when a file was first fetched; None where it was not.

    Raises:
        ModelError: The pin is not what sha256sum writes.
    """
    pin = pin_path(path)
    if not pin.is_file():
        return None
    with pin.open("rb") as file:
        line = re.fullmatch(rb"([0-9a-f]{64}) [ *]([^\r\n]+)\r?\n?", file.read(1024))
    if line is None or line[2] != os.fsencode(path.name):
        raise ModelError(
            f"{pin}: expected one line of sha256sum about {path.name} (found something else); remove both, fetch again"
        )
    return line[1].decode()


def _say_missing(card: ModelFile, folder: Path | None) -> str:
    places = [str(found.path) for found in list_places(card, folder) if found.place != "package"]
    packed = ", compressed" if card.url.endswith(".bz2") else ""
    return (
        f"model {card.name}: expected at {' or '.join(places)} (not found); run: eyeline-align models fetch "
        f"{card.name} (it comes from {card.url}{packed}, sha256 {card.sha256 or 'not published'})"
    )


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=64)
def _digest(path: Path, _stamp: tuple[int, int]) -> str:
    """Digest a file once for each size and time of change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
