"""Reads what a checkpoint says about its model, and holds it against what a command asks for."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from align import EyelineError, UsageError, console

from .module import ALIGNMENT, FaceModel
from .tasks import Tasks

NAMES = ("last", "best")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says about its model.

    Attributes:
        path: The file.
        hyperparameters: The arguments of `FaceModel`, as plain values.
        global_step: Optimizer steps taken.
        alignment: How the training faces were found and cropped: the `align` table of the set; empty where it had none.
    """

    path: Path
    hyperparameters: dict[str, Any]
    global_step: int
    alignment: dict[str, Any]

    @property
    def tasks(self) -> Tasks:
        """What the model tells."""
        return Tasks(**self.hyperparameters["tasks"])


def resolve(given: str, run_folder: Path, flag: str = "--ckpt_path") -> Path:
    """Give the path of a checkpoint: `last` and `best` mean the run folder's own.

    Args:
        given: A file, or `last` or `best`.
        run_folder: Of the run.
        flag: What an error calls it.

    Raises:
        UsageError: There is no such file.
    """
    path = run_folder / "checkpoints" / f"{given}.ckpt" if given in NAMES else Path(given)
    if not path.is_file():
        raise UsageError(f"{flag}: expected a checkpoint at {path} (no such file); make one with: eyeline-train fit")
    return path


def run_folder_of(path: Path) -> Path | None:
    """Give the folder of the run that a checkpoint lies in; None where it lies in none."""
    return path.parent.parent if path.parent.name == "checkpoints" else None


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
    if not hyperparameters.get("tasks"):
        raise EyelineError(f"{path}: expected a checkpoint of eyeline-train (found one that names no tasks)")
    head = {"batch_norm": False, **hyperparameters.get("head", {})}  # older checkpoints had no choice, and no norm
    alignment = dict(stored.get(ALIGNMENT) or {})
    return Checkpoint(path, {**hyperparameters, "head": head}, int(stored.get("global_step", 0)), alignment)


def load_model(path: Path, device: str = "cpu") -> FaceModel:
    """Load a trained model, ready to answer: in evaluation mode, its weights all from the checkpoint.

    Raises:
        EyelineError: The file is not a checkpoint that `eyeline-train fit` wrote.
    """
    hyperparameters = without_weights(read_checkpoint(path).hyperparameters)
    return FaceModel.load_from_checkpoint(path, map_location=device, weights_only=True, **hyperparameters).eval()


def require_tasks(checkpoint: Checkpoint, found: Tasks, root: Path) -> None:
    """Refuse a checkpoint of other classes than the set's, or of other tasks.

    Args:
        checkpoint: Of the model.
        found: What the set is labelled for; a model may tell more, or less.
        root: The set's folder.

    Raises:
        EyelineError: The class lists differ, in names or order, or the two have no task in common.
    """
    tasks = checkpoint.tasks
    if tasks.classes and found.classes and tasks.classes != found.classes:
        raise EyelineError(
            f"{checkpoint.path}: expected the classes of {root}, {found.classes} (found {tasks.classes}); "
            "use a checkpoint that was trained on these classes"
        )
    if not (set(tasks.kinds) & set(found.kinds) - {"units"} or set(tasks.units) & set(found.units)):
        raise EyelineError(
            f"{checkpoint.path}: expected a model of what {root} is labelled for, {_said(found)} "
            f"(found one of {_said(tasks)}); use a checkpoint of the same task"
        )


def _said(tasks: Tasks) -> str:
    """Name tasks in an error."""
    parts = ["classes"] * bool(tasks.classes) + ["valence and arousal"] * tasks.affect + tasks.units
    return ", ".join(parts)


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


def without_weights(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give a model's arguments for building it around a checkpoint, whose weights follow."""
    return dict(hyperparameters) | {"backbone": {**hyperparameters["backbone"], "load_weights": False}}


def to_resume(run_folder: Path) -> list[str]:
    """Give the flags by which `fit` goes on from a run's last epoch; none where there is nothing to go on from.

    A checkpoint that was cut off while it was written is of no use: it is removed, and the run starts anew.
    """
    last = run_folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return []
    try:
        read_checkpoint(last)
    except EyelineError as error:
        console.notice(f"note: {error}; the run starts anew")
        last.unlink()
        return []
    return ["--ckpt_path", str(last)]
