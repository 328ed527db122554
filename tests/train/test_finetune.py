import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from align import UsageError
from train.backbones import BackboneSpec
from train.console import quiet
from train.data import FaceData
from train.finetune import FinetuneSpec, parameter_groups, set_modes
from train.module import FaceClassifier
from train.schedule import OptimizerSpec, factor

from .conftest import CLASSES

TINY = BackboneSpec("test_resnet")


def fitted(root, finetune, epochs=2, optimizer=OptimizerSpec(lr=0.01)):  # noqa: B008 - frozen
    pl.seed_everything(0)
    model = FaceClassifier(CLASSES, TINY, finetune=finetune, optimizer=optimizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = Spy()
    with quiet():
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[seen],
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(model, FaceData(root, batch_size=8))
    return model, before, seen


class Spy(pl.Callback):
    """Keeps a backbone weight, and the modes, at the end of every epoch's last training step."""

    def __init__(self):
        self.weights, self.norm_trains, self.trains = [], [], []

    def on_train_batch_start(self, _trainer, module, _batch, _index):
        self.norm_trains.append(any(m.training for m in module.backbone.modules() if isinstance(m, nn.BatchNorm2d)))
        self.trains.append(module.backbone.net.conv1.training)

    def on_train_epoch_end(self, _trainer, module):
        self.weights.append(next(module.backbone.parameters()).detach().clone())


def changed(model, before, prefix):
    return {n for n, v in model.state_dict().items() if n.startswith(prefix) and not torch.equal(v, before[n])}


def test_a_frozen_backbone_keeps_every_weight_and_statistic(faces_set):
    model, before, seen = fitted(faces_set, FinetuneSpec("all"))
    assert changed(model, before, "backbone") == set()
    assert changed(model, before, "head")
    assert not any(seen.norm_trains)  # also after a validation epoch, which ends in .train()
    assert not any(p.requires_grad for p in model.backbone.parameters())


def test_an_unfrozen_backbone_learns_from_its_epoch_on_and_keeps_its_statistics(faces_set):
    finetune = FinetuneSpec("all", unfreeze_epoch=1, backbone_lr=1.0)
    model, before, seen = fitted(faces_set, finetune, optimizer=OptimizerSpec(lr=0.01, weight_decay=0.1))
    first = before[
        "backbone.net.conv1.0.weight" if "backbone.net.conv1.0.weight" in before else "backbone.net.conv1.weight"
    ]
    assert torch.equal(seen.weights[0], first)  # bit for bit, weight decay and all
    assert not torch.equal(seen.weights[1], first)
    moved = changed(model, before, "backbone")
    assert moved
    assert not any("running" in name or "num_batches" in name for name in moved)
    assert not any(seen.norm_trains)
    assert seen.trains == [False] * 3 + [True] * 3


def test_without_freezing_all_of_it_trains(faces_set):
    model, before, seen = fitted(faces_set, FinetuneSpec("none"), epochs=1)
    assert any("running_mean" in name for name in changed(model, before, "backbone"))
    assert all(seen.norm_trains)


def test_train_leaves_a_frozen_batch_norm_evaluating():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    modes = {}
    for epoch in (0, 3):
        set_modes(net, FinetuneSpec("all", unfreeze_epoch=3), epoch)
        modes[epoch] = [module.training for module in net]
    assert modes == {0: [False] * 3, 3: [True, False, True]}
    set_modes(net, FinetuneSpec("none"), 0)
    assert all(module.training for module in net)


def test_groups_hold_every_learning_parameter_once():
    backbone, head = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Linear(4, 2)
    frozen = parameter_groups(backbone, head, FinetuneSpec("all"), (0.1, 0.5))
    assert [len(group.parameters) for group in frozen] == [1, 1]
    groups = parameter_groups(backbone, head, FinetuneSpec("none", backbone_lr=0.2), (0.1, 0.5))
    every = [*head.parameters(), *backbone.parameters()]
    assert sorted(map(id, (p for group in groups for p in group.parameters))) == sorted(map(id, every))
    assert {(g.is_backbone, round(g.lr, 6)) for g in groups} == {(False, 0.1), (True, 0.02)}
    for group in groups:
        assert all((p.ndim > 1) == (group.weight_decay > 0) for p in group.parameters)


def test_the_cosine_falls_from_one_and_stays_above_zero():
    spec = OptimizerSpec(schedule="cosine", warmup_epochs=2)
    factors = [factor(epoch, 10, spec) for epoch in range(10)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert factors[2:] == sorted(factors[2:], reverse=True)
    assert factors[6] == pytest.approx(0.5)
    assert min(factors) > 0
    assert {factor(epoch, 10, OptimizerSpec(schedule="constant")) for epoch in range(10)} == {1.0}


@pytest.mark.parametrize(
    "bad",
    [{"freeze": "some"}, {"freeze": "none", "unfreeze_epoch": 1}, {"unfreeze_epoch": -1}, {"backbone_lr": 0}],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(UsageError, match=r"model\.finetune\."):
        FinetuneSpec(**bad)


@pytest.mark.parametrize("bad", [{"name": "lion"}, {"lr": 0}, {"weight_decay": -1}, {"schedule": "step"}])
def test_impossible_optimizers_are_refused(bad):
    with pytest.raises(UsageError, match=r"model\.optimizer\."):
        OptimizerSpec(**bad)
