"""What a run says while it works: one line an epoch and notices on stderr; Lightning's advice stays out of the way."""

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from pytorch_lightning.utilities import rank_zero_only

from align import console

_ADVICE = (
    r".*does not have many workers.*",  # the crops are in memory: there is nothing for a worker to do
    r".*is smaller than the logging interval.*",  # every epoch is logged
    r".*Checkpoint directory .* exists and is not empty.*",  # a run's folder is rewritten on purpose
    r".*Experiment logs directory .* exists and is not empty.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",  # between torch and Lightning
    r"(?s).*deprecated in v4.*will be removed in v5.*",  # between Lightning and jsonargparse
    r"(?s).*By default only one JsonargparseDeprecationWarning.*",
    r".*You are trying to `self.log\(\)` but the `self.trainer`.*",
    r".*Grad strides do not match bucket view strides.*",  # a matter of speed in DDP
    r".*was configured without a `val_dataloader`.*",
    r".*defined a `validation_step` but have no `val_dataloader`.*",  # we say that a set has no validation rows
    r".*Total length of `.*` across ranks is zero.*",
    r".*`trainer.validate|test\(\)` .* it is recommended to use `Trainer\(devices=1.*",  # padding is left out by us
    r".*Using `DistributedSampler` with the dataloaders.*",
    r".*model contains modules in eval mode at the start of training.*",
    r".*Found \d+ module\(s\) in eval mode at the start of training.*",  # a frozen backbone is meant to be
    r".*Be aware that when using `ckpt_path`, callbacks used to create.*",  # only fit writes checkpoints
    r".*The `srun` command is available.*",
    r".*It is recommended to use `self.log\(.*sync_dist=True\)`.*",  # every rank computes the numbers over all rows
    r".*could not find the monitored key in the returned metrics.*",  # a run that ends before its first validation
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's banners and the advice that a user cannot act on off the console; errors and the rest stay."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for advice in _ADVICE:
            warnings.filterwarnings("ignore", message=advice)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@rank_zero_only
def notice(text: str) -> None:
    """Say one line on stderr, on the first rank."""
    console.notice(f"note: {text}")


_SHOWN = ("loss", "accuracy_micro", "f1_macro", "ccc_valence", "ccc_arousal", "f1_units_mean")
"""The metrics that an epoch's line shows; the logs hold all."""


class EpochLines(pl.Callback):
    """Says one line an epoch: its number, its main metrics and the seconds it took."""

    def __init__(self) -> None:
        self._started = 0.0
        self._validated = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002 - hook
        """Take the time."""
        self._started = time.perf_counter()
        self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002 - hook
        """Note that the numbers of validation are this epoch's: Lightning keeps those of the last one it validated."""
        self._validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002 - hook
        """Say the line; Lightning runs this after validation."""
        metrics = trainer.callback_metrics
        splits = ("train", "val") if self._validated else ("train",)
        names = [f"{split}/{name}" for split in splits for name in _SHOWN]
        shown = "  ".join(f"{name} {float(metrics[name]):.4f}" for name in names if name in metrics)
        seconds = time.perf_counter() - self._started
        if trainer.is_global_zero:
            line = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {shown}  {seconds:.1f} s"
            Tqdm.write(line, file=sys.stderr)


class StderrProgressBar(TQDMProgressBar):
    """Lightning's progress bar on stderr, one bar that goes away when the epoch is done."""

    def init_train_tqdm(self) -> Tqdm:
        """Make the bar of the training epochs."""
        return self._bar("train")

    def init_validation_tqdm(self) -> Tqdm:
        """Make the bar of a validation epoch."""
        return self._bar("validate")

    def init_test_tqdm(self) -> Tqdm:
        """Make the bar of a test."""
        return self._bar("test")

    def init_predict_tqdm(self) -> Tqdm:
        """Make the bar of a prediction."""
        return self._bar("predict")

    def _bar(self, what: str) -> Tqdm:
        return Tqdm(desc=what, leave=False, dynamic_ncols=True, file=sys.stderr, disable=self.is_disabled, smoothing=0)
