"""A small real network and a real LightningModule on top of the optimizer's interface, for tests on the CPU."""

import pytorch_lightning as pl
import torch
import torch.nn.functional as F  # noqa: N812
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from train.callbacks import optimizer_callbacks
from train.finetune import FinetuneSpec, parameter_groups, set_modes
from train.schedule import OptimizerSpec, base_lr, make_optimizer, make_scheduler

ROWS, BATCH = 32, 8
QUIET = {
    "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
    "enable_checkpointing": False, "num_sanity_val_steps": 0, "use_distributed_sampler": False,
}  # fmt: skip


def small_net(norm: bool = True) -> nn.Sequential:
    """Three layers of convolution, with batch norm or without."""
    norms = [nn.BatchNorm2d(4), nn.BatchNorm2d(6)] if norm else [nn.Identity(), nn.Identity()]
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        norms[0],
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        norms[1],
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.Flatten(),
    )


def loader(rank: int = 0, world: int = 1, batch: int = BATCH) -> DataLoader:
    """The same rows in the same order on any number of ranks."""
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(ROWS, 1, 8, 8, generator=generator)
    labels = (images.mean(dim=(1, 2, 3)) > 0).long()
    return DataLoader(TensorDataset(images[rank::world], labels[rank::world]), batch_size=batch // world)


class Toy(pl.LightningModule):
    """What the project's own module does with optimizer, schedule and freezing, and nothing else."""

    def __init__(self, optimizer=OptimizerSpec(), finetune=FinetuneSpec("none"), norm=True):  # noqa: B008
        super().__init__()
        torch.manual_seed(3)
        self.spec, self.finetune = optimizer, finetune
        self.backbone, self.head = small_net(norm), nn.Linear(32, 2)
        self.backbone.requires_grad_(not finetune.never_learns)
        self.losses: list[float] = []

    def train(self, mode=True):
        super().train(mode)
        if mode:
            set_modes(self.backbone, self.finetune, self.current_epoch)
        return self

    def on_train_epoch_start(self):
        set_modes(self.backbone, self.finetune, self.current_epoch)

    def _loss(self, batch):
        return F.cross_entropy(self.head(self.backbone(batch[0])), batch[1])

    def training_step(self, batch, _index):
        loss = self._loss(batch)
        self.losses.append(float(loss.detach()))
        return loss

    def validation_step(self, batch, _index):
        self.log("val/loss", self._loss(batch), sync_dist=True)

    def configure_callbacks(self):
        return optimizer_callbacks(self.spec)

    def configure_optimizers(self):
        accumulate, world = self.trainer.accumulate_grad_batches, self.trainer.world_size
        groups = parameter_groups(self.backbone, self.head, self.finetune, self.spec)
        optimizer = make_optimizer(groups, self.spec, base_lr(self.spec, BATCH // world, world, accumulate))
        epochs = self.trainer.max_epochs
        steps = int(self.trainer.estimated_stepping_batches) // epochs
        scheduler, interval, _ = make_scheduler(optimizer, groups, self.spec, epochs, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}


def fit(model, epochs=2, batch=BATCH, ckpt_path=None, **options):
    """Fit on the toy rows and return the trainer."""
    trainer = pl.Trainer(max_epochs=epochs, **(QUIET | options))
    rows = loader(trainer.global_rank, trainer.world_size, batch)
    trainer.fit(model, rows, rows, ckpt_path=ckpt_path, weights_only=True)
    return trainer


def every_epoch(folder):
    """The callback that keeps a checkpoint of each epoch, under its number."""
    return ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, auto_insert_metric_name=False)


def weights(model):
    """A copy of every parameter and buffer."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one, other):
    """Whether two sets of weights are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
