import pytest
import timm
import torch
from torch import nn
from torchvision import models

from align import ModelError
from train.backbones import BackboneSpec, create_backbone
from train.backbones.alexnet import AlexNet, _rename
from train.backbones.base import Shape
from train.backbones.timm_models import _adapt
from train.weights import LoadReport, Rules, load

RULES = Rules("file.pth", "small net", heads=("head",))


class Small(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Conv2d(4, 5, 2)


def filled():
    """Every tensor of a Small, none of them as it is made."""
    return {
        name: torch.full_like(tensor, 2 + i) if "num_batches" not in name else torch.tensor(9)
        for i, (name, tensor) in enumerate(Small().state_dict().items())
    }


def assert_holds(net, state):
    for name, tensor in net.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "module.model.", "model.net."])
def test_what_training_wraps_around_names_is_taken_off(prefix):
    net, state = Small(), filled()
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    beside = {"margin.weight": torch.zeros(9)} if prefix else {}
    report = load(net, wrapped | beside | {"head.weight": torch.zeros(9)}, RULES)
    assert_holds(net, state)
    assert (report.matched, report.total, report.missing) == (8, 8, ())
    assert report.dropped == tuple(sorted(["head.weight", *beside]))


def test_a_report_is_one_line():
    report = LoadReport("x.pth", 4, 1, missing=("a",), reshaped=("b", "c"), dropped=("d", "e", "f", "g"))
    assert report.line() == (
        "weights x.pth: 1 of 4 tensors matched, 1 missing (a), 2 of another shape (b, c), 0 unexpected, "
        "4 dropped (d, e, f, ...)"
    )


def test_a_wholly_wrong_file_is_refused_and_leaves_the_network_alone():
    net = Small()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ModelError, match=r"file.pth: expected the tensors of small net \(found 0 of 8 tensors matched"):
        load(net, {"foo": torch.zeros(3)}, RULES)
    assert_holds(net, before)


@pytest.mark.parametrize("name", list(filled()))
def test_every_single_tensor_must_be_there(name):
    state = filled()
    del state[name]
    if "num_batches" in name:
        assert load(Small(), state, RULES).matched == 8
        return
    with pytest.raises(ModelError, match=rf"7 of 8 tensors matched, 1 missing \({name}\)"):
        load(Small(), state, RULES)


def test_another_shape_is_refused():
    state = filled() | {"conv.weight": torch.ones(4, 3, 5, 5)}
    with pytest.raises(ModelError, match=r"1 of another shape \(conv.weight\)"):
        load(Small(), state, RULES)
    with pytest.raises(ModelError, match=r"1 of another shape \(conv.weight\)"):  # as many numbers, another meaning
        load(Small(), filled() | {"conv.weight": torch.ones(3, 4, 3, 3)}, RULES)


def test_a_larger_networks_file_is_refused_though_it_holds_every_tensor():
    net, larger = (timm.create_model("resnet10t", num_classes=0, layers=layers) for layers in ((1,) * 4, (2, 1, 1, 1)))
    assert net.state_dict().keys() < larger.state_dict().keys()
    with pytest.raises(ModelError, match=r"0 missing, \d+ unexpected \(layer1.1"):
        load(net, larger.state_dict(), RULES)


def test_a_little_that_is_unexpected_is_only_reported():
    report = load(Small(), filled() | {"scale": torch.ones(1)}, RULES)
    assert report.unexpected == ("scale",)


def test_numbers_that_are_none_are_refused():
    state = filled()
    state["bn.weight"][1] = float("nan")
    with pytest.raises(ModelError, match=r"finite numbers \(found others in bn.weight\)"):
        load(Small(), state, RULES)


def test_three_channels_are_summed_into_one():
    net, state = Small(channels=1), filled()
    state["conv.weight"] = torch.randn(4, 3, 3, 3)
    load(net, state, RULES)
    grey = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        expected = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), state["conv.weight"], state["conv.bias"])
        torch.testing.assert_close(net.conv(grey), expected)


def test_dense_layers_become_convolutions_in_the_order_of_flattening():
    net, state = Small(), filled()
    dense = torch.randn(5, 16)
    load(net, state | {"fc.weight": dense}, RULES)
    maps = torch.randn(2, 4, 2, 2)
    with torch.no_grad():
        found = net.fc(maps).flatten(1)
    torch.testing.assert_close(found, nn.functional.linear(maps.flatten(1), dense, state["fc.bias"]))


def test_half_precision_files_fill_float32_networks():
    net, state = Small(), {name: tensor.half() for name, tensor in filled().items()}
    load(net, state, RULES)
    assert net.conv.weight.dtype == torch.float32
    assert_holds(net, filled())


def test_torchvisions_vgg_fills_timms():
    with torch.device("meta"):
        theirs, ours = models.vgg11(num_classes=7), timm.create_model("vgg11", num_classes=0)
    state = {name: torch.empty_like(tensor) for name, tensor in theirs.state_dict().items()}
    converted = _adapt(ours, state)
    wanted = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert {name: tensor.shape for name, tensor in converted.items() if not name.startswith("head.")} == wanted


def test_torchvisions_alexnet_fills_ours():
    theirs, net = models.alexnet().eval(), AlexNet(Shape()).eval()
    report = load(net, theirs.state_dict(), Rules("x", "alexnet", heads=("classifier.6",), adapt=_rename))
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(theirs.classifier[6](net(x)), theirs(x))
    assert report.dropped == ("classifier.6.bias", "classifier.6.weight")


def test_position_embeddings_follow_the_size(tmp_path):
    reference = timm.create_model("test_vit", num_classes=0).eval()
    torch.save({"state_dict": reference.state_dict()}, tmp_path / "vit.pth")
    backbone = create_backbone(BackboneSpec("test_vit", weights=str(tmp_path / "vit.pth"), size_px=96))
    assert backbone.report.matched == backbone.report.total
    assert backbone.net.pos_embed.shape[1] < reference.pos_embed.shape[1]
    assert torch.equal(backbone.net.blocks[0].attn.qkv.weight, reference.blocks[0].attn.qkv.weight)
    assert backbone.preprocess.size_px == 96


def test_a_file_without_a_card_fills_a_timm_network_of_one_channel_cut_after_a_stage(tmp_path):
    reference = timm.create_model("test_resnet", num_classes=10).eval()
    torch.save({f"module.{name}": tensor for name, tensor in reference.state_dict().items()}, tmp_path / "r.pt")
    spec = BackboneSpec("test_resnet", weights=str(tmp_path / "r.pt"), channels=1, stage=2)
    backbone = create_backbone(spec).eval()
    images = torch.randint(0, 256, (2, 1, 160, 160), dtype=torch.uint8).expand(-1, 3, -1, -1)
    seen = []
    reference.layer2.register_forward_hook(lambda *hook: seen.append(hook[2].mean((2, 3))))
    with torch.no_grad():
        reference((images.float() - 127.5) / 127.5)
        torch.testing.assert_close(backbone(images), seen[0], rtol=1e-4, atol=1e-5)
    assert "2 dropped (fc.bias, fc.weight)" in backbone.report.line()
