"""The LightningModule: a backbone, a head and what they are trained with."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torchmetrics import MeanMetric

from align import UsageError

from .backbones import BackboneSpec, Preprocess, create_backbone
from .batch import Batch, derived_seed
from .callbacks import optimizer_callbacks
from .finetune import FinetuneSpec, parameter_groups, set_modes
from .heads import HeadSpec, build_head
from .losses import Loss, LossSpec
from .metrics import Collector, Outcome, summary
from .schedule import OptimizerSpec, base_lr, for_ranks, make_optimizer, make_scheduler
from .tasks import Tasks
from .tta import average

SpecT = TypeVar("SpecT")

ALIGNMENT = "eyeline_alignment"
"""The key of a checkpoint under which it keeps how its training faces were aligned."""


def _spec(kind: type[SpecT], value: SpecT | Mapping[str, Any]) -> SpecT:
    """Take a spec as it is, or make it of the mapping that a checkpoint keeps."""
    return kind(**value) if isinstance(value, Mapping) else value


class FaceModel(pl.LightningModule):
    """A backbone and a head that tell classes, valence and arousal, action units, or any of them together.

    Args:
        tasks: What it tells; null takes what the set is labelled for.
        backbone: Which network, and with which weights.
        head: The dense layers on top.
        finetune: How much of the backbone learns, and when.
        optimizer: Optimizer and learning rate.
        loss: The loss of each task, and their weights.

    Attributes:
        preprocess: The input that the backbone wants; pictures come in as 0 to 255.
        outcomes: What validation or test collected last, by `val` and `test`.
        alignment: How the training faces were found and cropped: the `align` table of the set's configuration.
    """

    def __init__(
        self,
        tasks: Tasks | None = None,
        backbone: BackboneSpec = BackboneSpec(),  # noqa: B008 - frozen
        head: HeadSpec = HeadSpec(),  # noqa: B008 - frozen
        finetune: FinetuneSpec = FinetuneSpec(),  # noqa: B008 - frozen
        optimizer: OptimizerSpec = OptimizerSpec(),  # noqa: B008 - frozen
        loss: LossSpec = LossSpec(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        if tasks is None:
            raise UsageError("model.tasks must say what the model tells (got null)")
        self.tasks = _spec(Tasks, tasks)
        backbone = _spec(BackboneSpec, backbone)
        finetune = _spec(FinetuneSpec, finetune)
        head = _spec(HeadSpec, head)
        self.finetune = finetune.of_backbone(is_random=backbone.is_random)
        self.optimizer_spec = _spec(OptimizerSpec, optimizer)
        specs: dict[str, Any] = {
            "tasks": self.tasks,
            "backbone": backbone,
            "head": head,
            "finetune": finetune,
            "optimizer": self.optimizer_spec,
            "loss": _spec(LossSpec, loss),
        }
        plain = {name: asdict(spec) for name, spec in specs.items()}  # loads with weights_only=True
        plain["backbone"]["load_weights"] = True  # also of a model that was filled from a checkpoint
        self.save_hyperparameters(plain, logger=False)
        self.backbone = create_backbone(specs["backbone"])
        self.backbone.requires_grad_(not self.finetune.never_learns)
        norm = head.of_backbone(is_random=backbone.is_random)
        self.head = build_head(self.backbone.features, self.tasks.outputs, norm)
        self.loss = Loss(self.tasks, specs["loss"])
        parts = [f"loss_{kind}" for kind in self.tasks.kinds]
        self.loss_names = ["loss", *parts] if len(parts) > 1 else ["loss"]
        self.train_losses = torch.nn.ModuleDict({name: MeanMetric() for name in self.loss_names})
        self.collectors = torch.nn.ModuleDict({stage: Collector() for stage in ("val", "test")})
        self.outcomes: dict[str, Outcome] = {}
        self.alignment: dict[str, Any] = {}

    @property
    def preprocess(self) -> Preprocess:
        """Input size, mean and std of the backbone."""
        return self.backbone.preprocess

    def setup(self, stage: str) -> None:
        """Lay the weights out as the pictures come, and weigh classes by the training split."""
        self.backbone.net.to(memory_format=torch.channels_last)
        data = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and data is not None:
            targets = torch.from_numpy(data.splits["train"].rows.targets)
            self.loss.fit_counts(targets, torch.from_numpy(data.shown()))
            self.alignment = data.alignment

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how the faces were aligned, so that new ones can be aligned alike."""
        checkpoint[ALIGNMENT] = self.alignment

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up how the faces were aligned."""
        self.alignment = dict(checkpoint.get(ALIGNMENT) or {})

    def train(self, mode: bool = True) -> "FaceModel":  # noqa: FBT001, FBT002 - torch's signature
        """Switch to training, or to evaluation; what is frozen in the backbone evaluates in both."""
        super().train(mode)
        if mode:
            set_modes(self.backbone, self.finetune, self.current_epoch)
        return self

    def on_train_start(self) -> None:
        """Refuse a last batch of one face where batch norm learns.

        Raises:
            UsageError: The training faces of a rank leave one over.
        """
        loader: Any = self.trainer.train_dataloader
        faces, batch = len(loader.sampler), loader.batch_size
        if faces % batch != 1 % batch or not self._batch_norm_learns():
            return
        raise UsageError(
            f"data.batch_size: expected batches of two faces or more, of which batch norm takes its mean (got {batch} "
            f"for {faces} training faces a rank, which leaves one of 1); give another batch size"
        )

    def _batch_norm_learns(self) -> bool:
        """Tell whether batch norm of the backbone ever takes the statistics of a batch."""
        learns = self.finetune.freeze == "none" or (self.finetune.train_batch_norm and not self.finetune.never_learns)
        return learns and any(isinstance(module, _BatchNorm) for module in self.backbone.modules())

    def on_train_epoch_start(self) -> None:
        """Put the backbone into this epoch's modes."""
        set_modes(self.backbone, self.finetune, self.current_epoch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's hook
        """Seed what drops out, so that a resumed run drops the same."""
        data = getattr(self.trainer, "datamodule", None)
        torch.manual_seed(derived_seed(data.seed if data else 0, self.current_epoch, batch_idx, self.global_rank))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the columns of all tasks.

        Args:
            images: uint8 or float [N, 3, H, W], RGB, 0 to 255, of the size in `preprocess`.

        Returns:
            float [N, outputs]: logits of classes and of action units, valence and arousal as they are.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.finetune.never_learns):
            features = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return cast("Tensor", self.head(features))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's hook
        """Compute the loss of a batch."""
        losses = self.loss(self(batch.images), batch.targets)
        if getattr(self.trainer.optimizers[0], "is_second_pass", False):  # SAM's, of the same batch
            return cast("Tensor", losses["loss"])
        for name in self.loss_names:
            mean = cast("MeanMetric", self.train_losses[name])
            mean.update(losses[name].detach(), batch.valid.sum())
            self.log(f"train/{name}", mean, on_step=False, on_epoch=True)
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]  # the head's
        self.log("train/lr", rate, on_step=False, on_epoch=True, batch_size=1)
        return cast("Tensor", losses["loss"])

    def _answers(self, batch: Batch) -> Tensor:
        """Compute the columns [N, outputs] in float32, averaged over the views of each face."""
        outputs = self(batch.images).float()
        views = len(outputs) // len(batch.rows)
        return average(outputs, self.tasks, views) if views > 1 else outputs

    def _collect(self, batch: Batch, stage: str) -> None:
        cast("Collector", self.collectors[stage]).update(self._answers(batch), batch.targets, batch.rows, batch.valid)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's hook
        """Collect a batch of the validation split."""
        self._collect(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's hook
        """Collect a batch of the test split."""
        self._collect(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Log the numbers of the whole validation split."""
        self._summarise("val")

    def on_test_epoch_end(self) -> None:
        """Log the numbers of the whole test split."""
        self._summarise("test")

    def _summarise(self, stage: str) -> None:
        """Compute every number once over all rows of all ranks: no mean of batches, and equal on every rank."""
        collector = cast("Collector", self.collectors[stage])
        outcome = collector.compute()
        collector.reset()
        self.outcomes[stage] = outcome
        losses = self.loss(outcome.outputs.to(self.device), outcome.targets.to(self.device))
        values = {name: float(losses[name]) for name in self.loss_names} | summary(outcome, self.tasks)
        values.setdefault(self.tasks.monitor[0].removeprefix("val/"), math.nan)  # what is not defined is never the best
        self.log_dict({f"{stage}/{name}": value for name, value in values.items()})

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - Lightning's hook
        """Compute the columns of a batch: rows int64 [n] and float32 [n, outputs], without padding."""
        outputs = self._answers(batch)
        return batch.rows[batch.valid].cpu(), outputs[batch.valid].cpu()

    def configure_callbacks(self) -> list[pl.Callback]:
        """Give what the optimizer needs at other moments than a step."""
        return optimizer_callbacks(self.optimizer_spec)

    def _length_of_the_run(self, epochs: int) -> tuple[float, int]:
        """Give the epochs that a schedule spans, fewer where `trainer.max_steps` ends the run, and the ticks of one."""
        trainer, by_step = self.trainer, self.optimizer_spec.schedule.per == "step"
        if not by_step and trainer.max_steps == -1:
            return epochs, 1
        total = int(trainer.estimated_stepping_batches)  # which also counts the batches of an epoch
        steps = max(math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches), 1)
        return (total / steps, steps) if by_step else (math.ceil(total / steps), 1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimizer and its schedule."""
        trainer = self.trainer
        spec = for_ranks(self.optimizer_spec, trainer.world_size)
        if not trainer.max_epochs or trainer.max_epochs < 0:
            raise UsageError(f"trainer.max_epochs must be 1 or more, which schedules need (got {trainer.max_epochs})")
        groups = parameter_groups(self.backbone, self.head, self.finetune, spec)
        data = getattr(trainer, "datamodule", None)
        lr = base_lr(spec, data.batch_size if data else 1, trainer.world_size, trainer.accumulate_grad_batches)
        optimizer = make_optimizer(groups, spec, lr)
        epochs, steps = self._length_of_the_run(trainer.max_epochs)
        scheduler, interval, monitor = make_scheduler(optimizer, groups, spec, epochs, steps)
        chosen: Any = {"scheduler": scheduler, "interval": interval} | ({"monitor": monitor} if monitor else {})
        return {"optimizer": optimizer, "lr_scheduler": chosen}
