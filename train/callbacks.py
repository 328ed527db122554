"""What the optimizer and its schedule need at other moments than a step: Lightning callbacks."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from align import EyelineError, UsageError

from .averaging import MovingAverage
from .optimizers import SAM, drop_held_gradients
from .schedule import OptimizerSpec, Plateau


def optimizer_callbacks(spec: OptimizerSpec) -> list[Callback]:
    """List the callbacks that an optimizer needs; for a module's `configure_callbacks`."""
    callbacks: list[Callback] = [StepGuard(spec)]
    if spec.ema_decay is not None:
        callbacks.append(MovingAverage(spec.ema_decay))
    if spec.schedule.name == "plateau":
        callbacks.append(PlateauWatch())
    return callbacks


class StepGuard(Callback):
    """Keep what is frozen out of gradient clipping, and sharpness-aware minimization out of where it would be wrong."""

    def __init__(self, spec: OptimizerSpec) -> None:
        self.needs_two_passes = spec.sam_rho is not None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the model to SAM, or refuse the precision.

        Raises:
            UsageError: The gradients are scaled, as in float16, and cannot be computed twice a step.
        """
        if self.needs_two_passes and getattr(trainer.precision_plugin, "scaler", None) is not None:
            raise UsageError(
                "model.optimizer.sam_rho: expected trainer.precision bf16-mixed or 32-true (got "
                f"{trainer.precision}, whose gradient scaler allows one pass a step); set either, or sam_rho to null"
            )
        for optimizer in trainer.optimizers:
            if isinstance(optimizer, SAM):
                optimizer.watch(pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Refuse accumulated gradients, which a callback may also begin in a later epoch.

        Raises:
            UsageError: The second pass would see the last of the accumulated batches alone.
        """
        if self.needs_two_passes and trainer.accumulate_grad_batches > 1:
            raise UsageError(
                "model.optimizer.sam_rho: expected trainer.accumulate_grad_batches 1 (got "
                f"{trainer.accumulate_grad_batches}, of which the second pass would see the last batch alone); "
                "set data.batch_size higher, or sam_rho to null"
            )

    def on_before_optimizer_step(
        self,
        trainer: pl.Trainer,  # noqa: ARG002 - Lightning's hook
        pl_module: pl.LightningModule,  # noqa: ARG002 - likewise
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Drop what is held before the norm of the gradients is taken."""
        drop_held_gradients(optimizer)


class PlateauWatch(Callback):
    """Tell the schedule its metric after each validation, before the checkpoint is written."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Refuse a run without validation.

        Raises:
            UsageError: Nothing would ever lower the rate.
        """
        plateaus = [config for config in trainer.lr_scheduler_configs if isinstance(config.scheduler, Plateau)]
        if plateaus and not trainer.enable_validation:
            raise UsageError(
                "model.optimizer.schedule: plateau expects a validation split and trainer.limit_val_batches above 0 "
                "(found no validation in this run); choose another schedule"
            )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Hand over the metric.

        Raises:
            EyelineError: Validation logs no such metric.
        """
        if trainer.sanity_checking:
            return
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, Plateau):
                metric = config.scheduler.metric
                if metric not in trainer.callback_metrics:
                    raise EyelineError(
                        f"model.optimizer.schedule.plateau_metric: expected one of {sorted(trainer.callback_metrics)}, "
                        f"which validation logs (got {metric!r})"
                    )
                config.scheduler.observe(float(trainer.callback_metrics[metric]))
