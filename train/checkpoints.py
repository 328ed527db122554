"""Reads what a checkpoint says about its model, and holds it against what a command asks for."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from align import EyelineError, UsageError

LAST = "last"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says about its model.

    Attributes:
        path: The file.
        hyperparameters: The arguments of `FaceClassifier`, as plain values.
        global_step: Optimizer steps taken.
    """

    path: Path
    hyperparameters: dict[str, Any]
    global_step: int

    @property
    def classes(self) -> list[str]:
        """The ordered class names of the model."""
        return list(self.hyperparameters["classes"])


def resolve(given: str, run_folder: Path) -> Path:
    """Give the path of a checkpoint: `last` means the run folder's own.

    Raises:
        UsageError: There is no such file.
    """
    path = run_folder / "checkpoints" / "last.ckpt" if given == LAST else Path(given)
    if not path.is_file():
        raise UsageError(
            f"--ckpt_path: expected a checkpoint at {path} (no such file); make one with: eyeline-train fit"
        )
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's hyperparameters without running any code that it might hold.

    Raises:
        EyelineError: The file is not a checkpoint that `eyeline-train fit` wrote.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError):
        raise EyelineError(
            f"{path}: expected a checkpoint of eyeline-train (found a file that is cut off, is something else, or "
            "holds more than weights and plain values); give the file that eyeline-train fit wrote"
        ) from None
    hyperparameters = stored.get("hyper_parameters", {}) if isinstance(stored, dict) else {}
    if not hyperparameters.get("classes"):
        raise EyelineError(f"{path}: expected a checkpoint of eyeline-train (found one that names no classes)")
    return Checkpoint(path, dict(hyperparameters), int(stored.get("global_step", 0)))


def require_same_classes(checkpoint: Checkpoint, classes: Sequence[str], root: Path) -> None:
    """Refuse a checkpoint whose classes are not those of the set, in the same order.

    Raises:
        EyelineError: They differ.
    """
    if list(classes) != checkpoint.classes:
        raise EyelineError(
            f"{checkpoint.path}: expected the classes of {root}, {list(classes)} (found {checkpoint.classes}); "
            "use a checkpoint that was trained on these classes"
        )


def require_no_conflict(given: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Refuse settings of the model that a command or recipe gives beside a checkpoint and that differ from its own.

    Args:
        given: What was given for the model, nested as the hyperparameters are.
        checkpoint: Whose hyperparameters hold.

    Raises:
        UsageError: Some setting differs.
    """
    own = flatten(checkpoint.hyperparameters)
    for key, value in flatten(given).items():
        if value != own.get(key):
            raise UsageError(
                f"--model.{key}: expected {own.get(key)!r} as in {checkpoint.path} (got {value!r}); "
                "leave it out, or train anew without --ckpt_path"
            )


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
