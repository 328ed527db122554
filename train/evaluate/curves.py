"""The learning curves of a run, from the csv logs that lie beside its checkpoints."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

LOGS = "fit*/metrics.csv"
_RESUMED = "fit-from-step-"


@dataclass(frozen=True)
class Curves:
    """What a run logged, epoch by epoch.

    Attributes:
        epochs: Ascending.
        series: Of each logged number, its value at each epoch; None where none was logged.
        checkpoint_epoch: The epoch that the checkpoint was written after; None where that is not known.
        note: Why there is nothing, or what is missing; empty where all is well.
    """

    epochs: tuple[int, ...]
    series: dict[str, tuple[float | None, ...]]
    checkpoint_epoch: int | None
    note: str = ""


def read_curves(run_folder: Path | None, global_step: int) -> Curves:
    """Read the logs of a fit and of those that went on from it; of an epoch that was run twice, the later.

    Args:
        run_folder: Of the run; None where the checkpoint lies in none.
        global_step: Steps that the checkpoint had taken.
    """
    if run_folder is None:
        return Curves((), {}, None, "The checkpoint lies outside of a run's folder: there is no log beside it.")
    logs, notes = [], []
    for path in sorted(run_folder.glob(LOGS), key=_started):
        try:
            log = pd.read_csv(path)
        except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
            notes.append(f"{path.parent.name}/{path.name} could not be read ({type(error).__name__}).")
            continue
        if {"epoch", "step"} <= set(log.columns):
            logs.append(log)
        else:
            notes.append(f"{path.parent.name}/{path.name} has no columns of epochs and steps.")
    if not logs:
        return Curves((), {}, None, " ".join(notes) or "The run's folder holds no log of a fit.")
    return _joined(logs, global_step, " ".join(notes))


def _started(path: Path) -> tuple[int, str]:
    """Order logs by the step that their fit began at."""
    begun = path.parent.name.removeprefix(_RESUMED)
    return (int(begun) if begun.isdecimal() else 0, path.parent.name)


def _joined(logs: list[pd.DataFrame], global_step: int, note: str) -> Curves:
    by_epoch: dict[int, dict[str, float]] = {}
    last_step: dict[int, float] = {}
    for log in logs:
        numbers = log.apply(pd.to_numeric, errors="coerce").dropna(subset=["epoch"])
        for epoch, part in numbers.groupby("epoch"):
            logged = part.drop(columns=["epoch", "step"]).ffill().iloc[-1].dropna()
            by_epoch[int(epoch)] = {str(name): float(value) for name, value in logged.items()}
            last_step[int(epoch)] = float(part["step"].max())
    epochs = tuple(sorted(by_epoch))
    names = sorted({name for values in by_epoch.values() for name in values})
    series = {name: tuple(_finite(by_epoch[epoch].get(name)) for epoch in epochs) for name in names}
    done = [epoch for epoch in epochs if last_step[epoch] < global_step]
    return Curves(epochs, series, done[-1] if done else None, note)


def _finite(value: float | None) -> float | None:
    return None if value is None or value in (float("inf"), float("-inf")) else value
