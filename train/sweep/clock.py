"""Keeps the seconds of each epoch of a run, also over a resumption."""

import csv
import time
from pathlib import Path
from statistics import median

import pytorch_lightning as pl


class EpochClock(pl.Callback):
    """Appends `epoch,seconds` to a csv after each training epoch, its validation included.

    Args:
        path: The csv.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._began = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002 - hook
        """Take the time."""
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002 - hook
        """Write the line; Lightning runs this after validation."""
        if trainer.is_global_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{trainer.current_epoch},{time.perf_counter() - self._began:.6f}\n")


def seconds_per_epoch(path: Path) -> tuple[int, float | None]:
    """Read how many epochs were run and the median of their seconds; an epoch that was run again counts once."""
    seconds = read_epochs(path)
    return len(seconds), median(seconds.values()) if seconds else None


def read_epochs(path: Path) -> dict[int, float]:
    """Read the seconds of each epoch; of one that was run again those of the last time."""
    seconds: dict[int, float] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                if len(row) == 2 and row[1].count(".") == 1:  # a killed process may leave half a line
                    seconds[int(row[0])] = float(row[1])
    return seconds
