"""Reads files of weights as plain tensors; nothing in them is ever executed."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from align import DlibFaceResNet, ModelError, printable, tell_impostor

from . import numpy_pickle

_NESTED = ("state_dict", "model_state_dict", "model", "net")
_OURS = "backbone.net."
_ZIP, _OLD_TORCH = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_HEAD_BYTES = 512
_PLAIN = (
    "save the tensors alone, on a machine where the file may be trusted: "
    "safetensors.torch.save_file(state_dict, 'weights.safetensors')"
)


@dataclass(frozen=True)
class Stored:
    """The tensors of a file.

    Attributes:
        tensors: By the file's own names.
        backbone: What a checkpoint of ours says about the backbone they belong to; None for other files.
    """

    tensors: dict[str, Tensor]
    backbone: Mapping[str, Any] | None = None


def read(path: Path, layout: str | None = None) -> Stored:
    """Read a file of weights: safetensors, torch's, pickled numpy arrays, dlib's, or a checkpoint of ours.

    Args:
        path: The file.
        layout: `dlib` for a file of dlib's network; None and others are told by the file's first bytes.

    Raises:
        ModelError: It is missing, broken, or holds something other than tensors.
    """
    if not path.is_file():
        raise ModelError(f"{printable(path)}: expected a file of weights (no such file); mend the path")
    if layout == "dlib" and path.suffix == ".dat":
        return Stored(DlibFaceResNet().load(path).state_dict())
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if instead := tell_impostor(head):
        raise ModelError(f"{printable(path)}: expected a file of weights (found{instead[1:]}); get it again")
    if path.suffix == ".safetensors":
        return Stored(_safetensors(path))
    if path.suffix == ".mat":
        raise ModelError(
            f"{printable(path)}: expected torch's or safetensors' format (found MatConvNet's); "
            "take the group's port to PyTorch"
        )
    if head.startswith((_ZIP, _OLD_TORCH)):
        return _torch(path)
    return Stored(_numpy(path))


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except Exception as error:  # its Rust core raises a class of its own for broken bytes
        raise ModelError(f"{printable(path)}: expected a file of safetensors (found: {_first_line(error)})") from error
    return tensors


def _numpy(path: Path) -> dict[str, Tensor]:
    try:
        arrays = numpy_pickle.read(path.read_bytes())
        return {name: torch.from_numpy(array.astype(array.dtype.newbyteorder("="))) for name, array in arrays.items()}
    except Exception as error:  # broken bytes raise what they like
        what = _first_line(error) if isinstance(error, pickle.UnpicklingError) else "bytes that are none of these"
        raise ModelError(
            f"{printable(path)}: expected tensors, or a pickle of numpy arrays alone (found {what}); "
            f"nothing of it was run; {_PLAIN}"
        ) from error


def _torch(path: Path) -> Stored:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken bytes raise what they like
        what = "objects that could run code" if isinstance(error, pickle.UnpicklingError) else _first_line(error)
        raise ModelError(
            f"{printable(path)}: expected tensors alone (found {what}); nothing of it was run; {_PLAIN}"
        ) from error
    if ours := _checkpoint(found):
        return ours
    while isinstance(found, Mapping) and (key := next((k for k in _NESTED if isinstance(found.get(k), Mapping)), None)):
        found = found[key]
    items = found.items() if isinstance(found, Mapping) else ()
    tensors = {str(name): value for name, value in items if isinstance(value, Tensor)}
    if not tensors:
        raise ModelError(f"{printable(path)}: expected tensors by their names (found a {type(found).__name__})")
    return Stored(tensors)


def _checkpoint(found: Any) -> Stored | None:
    """Take the backbone of a checkpoint that `eyeline-train fit` wrote; None for other files."""
    if not isinstance(found, Mapping):
        return None
    state, spec = found.get("state_dict"), found.get("hyper_parameters")
    backbone = spec.get("backbone") if isinstance(spec, Mapping) else None
    if not isinstance(state, Mapping) or not isinstance(backbone, Mapping):
        return None
    tensors = {str(name)[len(_OURS) :]: value for name, value in state.items() if str(name).startswith(_OURS)}
    return Stored(tensors, backbone) if tensors else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
