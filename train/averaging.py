"""The exponential moving average of the weights: what is validated, tested and kept."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor


class MovingAverage(WeightAveraging):
    """Keep an exponential moving average of weights and running statistics beside those that are trained.

    Validation sees the average; a checkpoint has it as `state_dict`, and beside it what a run goes on from. The decay
    rises with the steps as min(decay, (1 + n) / (10 + n)) (TensorFlow's ExponentialMovingAverage), without which a
    short run would end with little more than the weights it began with. Until the first step there is no average, and
    the weights stand in for it.

    Args:
        decay: The share of the average that a step leaves, once many steps are done.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=self._average)
        self.decay = decay
        self._updates = 0
        self._is_swapped = False

    def _average(self, averages: Sequence[Tensor], values: Sequence[Tensor], _count: Tensor | int) -> None:
        """Move averages towards values; what does not change, as frozen weights, stays equal bit for bit."""
        with torch.no_grad():
            if averages[0].is_floating_point():
                weight = 1 - min(self.decay, (1 + self._updates) / (10 + self._updates))
                torch._foreach_lerp_(list(averages), list(values), weight)
            else:  # counters
                torch._foreach_copy_(list(averages), list(values))

    @property
    def _has_average(self) -> bool:
        return self._average_model is not None and self._updates > 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Begin anew with each fit; a checkpoint is loaded after this."""
        if stage == "fit":
            self._updates, self._latest_update_step, self._is_swapped = 0, 0, False
        super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002 - Lightning's hook
        """Follow the model to its device, where it was not yet when the average was made."""
        if self._average_model is not None:
            self._average_model.to(pl_module.device)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Count the step that is about to be averaged."""
        before = self._latest_update_step
        self._updates += trainer.global_step > before
        super().on_train_batch_end(trainer, *args, **kwargs)

    def _swap_models(self, pl_module: pl.LightningModule) -> None:
        if self._has_average:
            super()._swap_models(pl_module)
            self._is_swapped = not self._is_swapped

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average in place within a fit; after one it is in place already."""
        if trainer.state.fn == TrainerFn.FITTING and not self._is_swapped:
            self._swap_models(pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the weights that are trained back."""
        if trainer.state.fn == TrainerFn.FITTING and self._is_swapped:
            self._swap_models(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002 - Lightning's hook
        """Leave the average in the model, and keep the weights that were trained for a checkpoint yet to come."""
        if not self._is_swapped:
            self._swap_models(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Give the number of updates and of the step that was averaged last."""
        return {**super().state_dict(), "updates": self._updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the numbers of `state_dict`."""
        super().load_state_dict(state_dict)
        self._updates = state_dict["updates"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the average as `state_dict` and the weights that are trained as `current_model_state`."""
        if not self._has_average:
            return
        if not self._is_swapped:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)
            return
        trained = checkpoint["state_dict"]  # the average, which stands in the model just now
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint["current_model_state"], checkpoint["state_dict"] = checkpoint["state_dict"], trained

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from the weights that were trained; a run that does not train takes the average alone."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
