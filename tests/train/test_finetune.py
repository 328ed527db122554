import pytest
import pytorch_lightning as pl
import timm
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from timm.models import group_parameters
from timm.optim import param_groups_layer_decay
from torch import nn

from align import DlibFaceResNet, UsageError
from train.backbones import Backbone, BackboneSpec, create_backbone
from train.finetune import FinetuneSpec, layer_groups, parameter_groups, set_modes
from train.module import FaceModel
from train.optimizers import NAMES
from train.schedule import OptimizerSpec, ScheduleSpec
from train.tasks import Tasks

from .toy import Toy, every_epoch, fit, same, small_net, weights

FAST = OptimizerSpec("adamw", lr=0.01, weight_decay=0.1)


class Spy(pl.Callback):
    """Keeps the backbone's weights before each step, and the modes it takes it in."""

    def __init__(self):
        self.weights, self.modes = [], []

    def on_train_batch_start(self, _trainer, module, _batch, _index):
        self.weights.append(weights(module.backbone))
        self.modes.append([layer.training for layer in module.backbone])


def spied(finetune, epochs, spec=FAST, **options):
    model, spy = Toy(spec, finetune), Spy()
    before = weights(model)
    fit(model, epochs, callbacks=[spy], **options)
    spy.weights.append(weights(model.backbone))
    return model, before, spy


def changed(after, before):
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(
    ("backbone", "given", "rate"),
    [
        (BackboneSpec("resnet18", weights="none", size_px=48), None, 1.0),
        (BackboneSpec("resnet18", size_px=48), None, 1.0),  # no package ships weights for it
        (BackboneSpec("dlib_face_resnet", stage=1), None, 0.1),
        (BackboneSpec("dlib_face_resnet", stage=1).without_weights(), None, 0.1),  # a checkpoint's, resumed
        (BackboneSpec("dlib_face_resnet", stage=1, weights="none"), None, 1.0),
        (BackboneSpec("resnet18", weights="none", size_px=48), 0.3, 0.3),
    ],
)
def test_a_pretrained_backbone_learns_slower_than_the_head_and_a_random_one_as_fast(backbone, given, rate):
    model = FaceModel(Tasks(["a", "b"]), backbone, finetune=FinetuneSpec("none", backbone_lr=given))
    groups = parameter_groups(model.backbone, model.head, model.finetune, FAST)
    assert {group.lr_factor for group in groups if group.is_backbone} == {rate}
    assert model.hparams["finetune"]["backbone_lr"] == given


def test_a_frozen_backbone_keeps_every_weight_and_statistic():
    model, before, spy = spied(FinetuneSpec("all"), 2)
    assert {name.split(".")[0] for name in changed(weights(model), before)} == {"head"}
    assert not any(any(modes) for modes in spy.modes)  # also after a validation epoch, which ends in .train()
    assert not any(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_an_unfrozen_backbone_learns_from_its_epoch_on_and_keeps_its_statistics(name):
    spec = OptimizerSpec(name, lr=0.01, weight_decay=0.1)
    finetune = FinetuneSpec("all", unfreeze_epoch=1, backbone_lr=1.0)
    _, before, spy = spied(finetune, 2, spec)
    first = {key.removeprefix("backbone."): value for key, value in before.items() if key.startswith("backbone.")}
    assert all(same(seen, first) for seen in spy.weights[:5])  # bit for bit, weight decay and all
    moved = changed(spy.weights[-1], first)
    assert moved == {f"{layer}.{kind}" for layer in (0, 1, 3, 4, 6) for kind in ("weight", "bias")}
    frozen, learning = [False] * 8, [layer not in (1, 4) for layer in range(8)]
    assert spy.modes == [frozen] * 4 + [learning] * 4


def test_layers_are_unfrozen_one_by_one_from_the_last():
    finetune = FinetuneSpec("gradual", unfreeze_epoch=1, unfreeze_every=2)
    _, _, spy = spied(finetune, 6)
    learning = [{name[0] for name in changed(spy.weights[4 * e + 4], spy.weights[4 * e])} for e in range(6)]
    assert learning == [set(), {"6"}, {"6"}, {"3", "4", "6"}, {"3", "4", "6"}, {"0", "1", "3", "4", "6"}]
    stages = [{layer for layer in (0, 3, 6) if modes[layer]} for modes in spy.modes[::4]]
    assert stages == [set(), {6}, {6}, {3, 6}, {3, 6}, {0, 3, 6}]
    assert not any(modes[1] or modes[4] for modes in spy.modes)


def test_the_first_step_of_an_unfrozen_layer_is_no_jump():
    """Adam's first step is one rate long; moments gathered while frozen, or a lost correction, would change that."""
    spec = OptimizerSpec("adamw", lr=0.01, weight_decay=0, schedule=ScheduleSpec("constant"))
    _, _, spy = spied(FinetuneSpec("gradual", unfreeze_epoch=2, backbone_lr=0.5), 3, spec)
    step = (spy.weights[9]["6.weight"] - spy.weights[8]["6.weight"]).abs()
    assert step.max().item() == pytest.approx(0.005, rel=1e-3)
    assert step.median().item() == pytest.approx(0.005, rel=1e-2)


def test_batch_norm_of_what_was_unfrozen_trains_on_demand():
    finetune = FinetuneSpec("gradual", train_batch_norm=True)
    _, _, spy = spied(finetune, 3)
    assert [[modes[1], modes[4]] for modes in spy.modes[::4]] == [[False, False], [False, True], [True, True]]
    for epoch, norms in enumerate([set(), {"4"}, {"1", "4"}]):
        moved = changed(spy.weights[4 * epoch + 4], spy.weights[4 * epoch])
        assert {name[0] for name in moved if "running_mean" in name} == norms


def test_without_freezing_all_of_it_trains():
    model, before, spy = spied(FinetuneSpec("none"), 1)
    assert any("running_mean" in name for name in changed(weights(model), before))
    assert all(all(modes) for modes in spy.modes)


def test_resuming_in_the_middle_of_unfreezing_ends_as_without_a_break(tmp_path):
    finetune = FinetuneSpec("gradual", unfreeze_every=2, layer_decay=0.5, train_batch_norm=True)
    whole, again = Toy(FAST, finetune), Toy(FAST, finetune)
    fit(whole, 6, enable_checkpointing=True, callbacks=[every_epoch(tmp_path)])
    fit(again, 6, ckpt_path=tmp_path / "2.ckpt")
    assert same(weights(whole), weights(again))


def test_train_leaves_what_is_frozen_evaluating():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    modes = {}
    for epoch in (0, 3):
        set_modes(net, FinetuneSpec("all", unfreeze_epoch=3), epoch)
        modes[epoch] = [module.training for module in net]
    assert modes == {0: [False] * 3, 3: [True, False, True]}
    set_modes(net, FinetuneSpec("none"), 0)
    assert all(module.training for module in net)


def test_a_module_without_parameters_goes_with_the_one_around_it():
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2, img_size=32, drop_rate=0.1)
    set_modes(net, FinetuneSpec("gradual"), 0)
    assert net.blocks[1].attn.proj_drop.training
    assert not net.blocks[0].attn.proj_drop.training
    assert not net.pos_drop.training
    set_modes(net, FinetuneSpec("gradual"), 2)
    assert all(module.training for module in net.modules())


def names_of(net):
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return [sorted(names[id(parameter)] for parameter in group) for group in layer_groups(net)]


def test_timms_resnet_falls_into_its_stages():
    groups = names_of(timm.create_model("resnet18", num_classes=0))
    starts = [{name.split(".")[0] for name in group} for group in groups]
    assert starts[1:] == [{"layer1"}, {"layer2"}, {"layer3"}, {"layer4"}]
    assert starts[0] <= {"conv1", "bn1"}


def test_every_group_of_vgg_has_its_convolution():
    net = timm.create_model("vgg11_bn", num_classes=0)
    groups = layer_groups(net)
    assert [sum(p.ndim == 4 for p in group) for group in groups[:-1]] == [1] * 8
    assert all({p.ndim for p in group} == {1, 4} for group in groups)


@pytest.mark.parametrize(
    ("net", "count"),
    [
        (torchvision.models.alexnet(), 8),
        (DlibFaceResNet(), 16),
        (DlibFaceResNet(2), None),
        (small_net(), 3),
        (torchvision.models.resnet18(), 6),
        (create_backbone(BackboneSpec("test_resnet", stage=3)), 4),
        (nn.Linear(3, 2), 1),
    ],
    ids=["alexnet", "dlib", "dlib_stage", "small", "resnet18", "timm_stage", "linear"],
)
def test_other_networks_fall_into_their_layers(net, count):
    groups = layer_groups(net)
    order = [id(parameter) for group in groups for parameter in group]
    assert order == [id(parameter) for parameter in net.parameters()]  # each once, stem first
    assert all(any(p.ndim > 1 for p in group) for group in groups)
    assert count is None or len(groups) == count


def test_a_backbone_falls_into_the_groups_of_its_network():
    backbone = create_backbone(BackboneSpec("test_resnet"))
    assert isinstance(backbone, Backbone)
    assert [list(map(id, group)) for group in layer_groups(backbone)] == [
        list(map(id, group)) for group in layer_groups(backbone.net)
    ]


def test_layer_decay_equals_timms():
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=4)
    spec = FinetuneSpec("none", backbone_lr=1.0, layer_decay=0.75)
    ours = {
        id(p): group.lr_factor
        for group in parameter_groups(net, nn.Linear(2, 2), spec, FAST)
        if group.is_backbone
        for p in group.parameters
    }
    timms = param_groups_layer_decay(net, weight_decay=0.1, layer_decay=0.75)
    theirs = {id(p): group["lr_scale"] for group in timms for p in group["params"]}
    assert ours == pytest.approx(theirs)
    assert sorted(set(theirs.values())) == pytest.approx([0.75**level for level in (4, 3, 2, 1, 0)])
    levels = group_parameters(net, net.group_matcher(coarse=True))
    assert [len(levels[level]) for level in sorted(levels)] == [len(group) for group in layer_groups(net)]


def test_each_earlier_layer_learns_slower_and_later():
    spec = FinetuneSpec("gradual", unfreeze_epoch=2, unfreeze_every=3, backbone_lr=0.2, layer_decay=0.5)
    groups = parameter_groups(small_net(), nn.Linear(8, 2), spec, FAST)
    found = [(group.is_backbone, group.lr_factor, group.from_epoch, group.weight_decay) for group in groups]
    assert found == [
        (False, 1.0, 0, 0.1), (False, 1.0, 0, 0.0),
        (True, pytest.approx(0.05), 8, 0.1), (True, pytest.approx(0.05), 8, 0.0),
        (True, pytest.approx(0.1), 5, 0.1), (True, pytest.approx(0.1), 5, 0.0),
        (True, 0.2, 2, 0.1), (True, 0.2, 2, 0.0),
    ]  # fmt: skip


@given(
    freeze=st.sampled_from(["all", "none", "gradual"]),
    epoch=st.none() | st.integers(0, 5),
    every=st.integers(1, 3),
    decay=st.none() | st.floats(0.1, 1),
)
def test_groups_hold_every_learning_parameter_once(freeze, epoch, every, decay):
    finetune = FinetuneSpec(freeze, None if freeze == "none" else epoch, every, layer_decay=decay)
    backbone, head = small_net(), nn.Linear(8, 2)
    groups = parameter_groups(backbone, head, finetune, FAST)
    expected = [*head.parameters(), *([] if finetune.never_learns else backbone.parameters())]
    found = [p for group in groups for p in group.parameters]
    assert sorted(map(id, found)) == sorted(map(id, expected))
    for group in groups:
        assert group.parameters
        assert all((p.ndim > 1) == (group.weight_decay > 0) for p in group.parameters)
        assert group.is_backbone or (group.lr_factor, group.from_epoch) == (1.0, 0)
    for at in range(12):
        assert finetune.learns(at) == any(group.is_backbone and group.from_epoch <= at for group in groups)


@pytest.mark.parametrize(
    "bad",
    [
        {"freeze": "some"},
        {"freeze": "none", "unfreeze_epoch": 1},
        {"unfreeze_epoch": -1},
        {"unfreeze_every": 0},
        {"backbone_lr": 0},
        {"layer_decay": 0},
        {"layer_decay": 1.1},
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(UsageError, match=r"model\.finetune\."):
        FinetuneSpec(**bad)
