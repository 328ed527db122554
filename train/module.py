"""The LightningModule: a backbone, a head and what they are trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection

from align import UsageError

from .backbones import BackboneSpec, Preprocess, create_backbone
from .data import Batch
from .finetune import FinetuneSpec, parameter_groups, set_modes
from .heads import HeadSpec, build_head
from .metrics import Confusion, scalar_metrics
from .schedule import OptimizerSpec, make_optimizer, make_scheduler

SpecT = TypeVar("SpecT")


def _spec(kind: type[SpecT], value: SpecT | Mapping[str, Any]) -> SpecT:
    """Take a spec as it is, or make it of the mapping that a checkpoint keeps."""
    return kind(**value) if isinstance(value, Mapping) else value


class FaceClassifier(pl.LightningModule):
    """A backbone and a head that tell faces into classes.

    Args:
        classes: The ordered class names; null takes those of the set.
        backbone: Which network, and whether with pretrained weights.
        head: The dense layers on top.
        finetune: How much of the backbone learns, and when.
        optimizer: Optimizer and learning rate.
        label_smoothing: Of the cross-entropy, 0 to below 1.

    Attributes:
        preprocess: The input that the backbone wants; pictures come in as 0 to 255.
    """

    def __init__(
        self,
        classes: list[str] | None = None,
        backbone: BackboneSpec = BackboneSpec(),  # noqa: B008 - frozen
        head: HeadSpec = HeadSpec(),  # noqa: B008 - frozen
        finetune: FinetuneSpec = FinetuneSpec(),  # noqa: B008 - frozen
        optimizer: OptimizerSpec = OptimizerSpec(),  # noqa: B008 - frozen
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if not classes or len(classes) < 2:
            raise UsageError(f"model.classes must be at least two class names (got {classes})")
        if not 0 <= label_smoothing < 1:
            raise UsageError(f"model.label_smoothing must be 0 or more and below 1 (got {label_smoothing})")
        self.classes = list(classes)
        self.finetune = _spec(FinetuneSpec, finetune)
        self.optimizer_spec = _spec(OptimizerSpec, optimizer)
        self.label_smoothing = label_smoothing
        specs = (_spec(BackboneSpec, backbone), _spec(HeadSpec, head), self.finetune, self.optimizer_spec)
        self._keep_hyperparameters(specs)
        self.backbone = create_backbone(specs[0])
        self.head = build_head(self.backbone.features, len(self.classes), specs[1])
        self.backbone.requires_grad_(not self.finetune.never_learns)
        self._make_metrics()

    def _keep_hyperparameters(self, specs: Sequence[Any]) -> None:
        """Keep the arguments as plain values, so that a checkpoint loads with `weights_only=True`."""
        names = ("backbone", "head", "finetune", "optimizer")
        plain = {name: asdict(spec) for name, spec in zip(names, specs, strict=True)}
        values = {"classes": self.classes, **plain, "label_smoothing": self.label_smoothing}
        self.save_hyperparameters(values, logger=False)

    def _make_metrics(self) -> None:
        count = len(self.classes)
        self.train_loss = MeanMetric()
        self.eval_loss = torch.nn.ModuleDict({stage: MeanMetric() for stage in ("val", "test")})
        self.scalars = torch.nn.ModuleDict({stage: scalar_metrics(count, f"{stage}/") for stage in ("val", "test")})
        self.confusion = torch.nn.ModuleDict({stage: Confusion(count) for stage in ("val", "test")})

    @property
    def preprocess(self) -> Preprocess:
        """Input size, mean and std of the backbone."""
        return self.backbone.preprocess

    def train(self, mode: bool = True) -> "FaceClassifier":  # noqa: FBT001, FBT002 - torch's signature
        """Switch to training, or to evaluation; what is frozen in the backbone evaluates in both."""
        super().train(mode)
        if mode:
            set_modes(self.backbone, self.finetune, self.current_epoch)
        return self

    def on_train_epoch_start(self) -> None:
        """Put the backbone into this epoch's modes."""
        set_modes(self.backbone, self.finetune, self.current_epoch)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits.

        Args:
            images: uint8 or float [N, 3, H, W], RGB, 0 to 255, of the size in `preprocess`.

        Returns:
            float [N, classes].
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.finetune.never_learns):
            features = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return cast("Tensor", self.head(features))

    def _loss(self, logits: Tensor, batch: Batch) -> Tensor:
        losses = F.cross_entropy(
            logits.float(), batch.targets, reduction="none", label_smoothing=self.label_smoothing * self.training
        )
        return (losses * batch.valid).sum() / batch.valid.sum().clamp(min=1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's hook
        """Compute the loss of a batch."""
        loss = self._loss(self(batch.images), batch)
        self.train_loss.update(loss.detach(), batch.valid.sum())
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True)
        return loss

    def _evaluate(self, batch: Batch, stage: str) -> None:
        logits = self(batch.images)
        mean, scalars, confusion = self.eval_loss[stage], self.scalars[stage], self.confusion[stage]
        cast("MeanMetric", mean).update(self._loss(logits, batch), batch.valid.sum())
        cast("MetricCollection", scalars).update(logits, batch.targets, batch.valid)
        cast("Confusion", confusion).update(logits, batch.targets, batch.valid)
        self.log(f"{stage}/loss", cast("MeanMetric", mean), on_step=False, on_epoch=True)
        self.log_dict(cast("MetricCollection", scalars), on_step=False, on_epoch=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's hook
        """Count a batch of the validation split."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's hook
        """Count a batch of the test split."""
        self._evaluate(batch, "test")

    def on_validation_epoch_start(self) -> None:
        """Start the validation counts anew."""
        cast("Confusion", self.confusion["val"]).reset()

    def on_test_epoch_start(self) -> None:
        """Start the test counts anew."""
        cast("Confusion", self.confusion["test"]).reset()

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - Lightning's hook
        """Compute the probabilities of a batch: rows int64 [n] and float32 [n, classes], without padding."""
        probabilities = self(batch.images).float().softmax(1)
        return batch.rows[batch.valid].cpu(), probabilities[batch.valid].cpu()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimizer, and the scheduler that is stepped once an epoch."""
        spec = self.optimizer_spec
        groups = parameter_groups(self.backbone, self.head, self.finetune, (spec.lr, spec.weight_decay))
        optimizer = make_optimizer(groups, spec)
        scheduler = make_scheduler(optimizer, groups, spec, self.finetune, self.trainer.max_epochs or 1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}
