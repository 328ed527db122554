"""Each card against the published network spelled out: layout of the file, network, channel order, mean and std."""

import pickle
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vgg import ConvMlp

from train.backbones import BackboneSpec, create_backbone, names
from train.backbones.alexnet import FaceAlexNet
from train.backbones.base import Backbone, Shape
from train.backbones.timm_models import VARIANTS
from train.weights import CARDS, Rules, load
from train.weights.layouts import LAYOUTS

from . import weight_files as layouts


@pytest.fixture(autouse=True)
def no_store_but_this(monkeypatch, tmp_path):
    layouts.seed(0)
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(side, count=2):
    """RGB noise whose channels differ, as a skin's do: a swap or another mean cannot go unseen."""
    draw = torch.Generator().manual_seed(1)
    noise = torch.rand(count, 3, side, side, generator=draw) * 120
    return (noise + torch.tensor([120.0, 60.0, 10.0]).view(3, 1, 1)).to(torch.uint8)


def features(backbone, images):
    with torch.no_grad():
        return backbone.eval()(images)


def assert_same(found, expected):
    assert found.shape == expected.shape
    assert expected.std() > 1e-3  # the features say something
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


def numpy_pickle(path, state):
    path.write_bytes(pickle.dumps({name: tensor.numpy() for name, tensor in state.items()}, protocol=2))


def bgr_minus_mean(images):
    """What the VGGFace2 port does: to BGR, minus the mean, nothing else."""
    return images.flip(1).float() - torch.tensor([91.4953, 103.8827, 131.0912]).view(3, 1, 1)


@pytest.fixture
def shallow(monkeypatch):
    """The caffe networks with fewer blocks: the same strides and names in a third of the time."""
    for name in ("resnet50_caffe", "senet50_caffe"):
        monkeypatch.setitem(VARIANTS, name, replace(VARIANTS[name], options={"layers": layouts.SHALLOW}))
    return layouts.SHALLOW


@pytest.mark.parametrize("kind", ["resnet50", "senet50"])
def test_vggface2_as_its_port_computes_it(kind, tmp_path, shallow):
    state = layouts.caffe_resnet(shallow, se=kind == "senet50")
    numpy_pickle(tmp_path / f"{kind}_ft_weight.pkl", state)
    backbone = create_backbone(BackboneSpec(f"{kind}_caffe", weights=f"vggface2-{kind}", size_px=96))
    images = picture(96)
    assert_same(features(backbone, images), layouts.run_caffe_resnet(state, bgr_minus_mean(images), shallow))
    assert "0 missing, 0 unexpected, 2 dropped (fc.bias, fc.weight)" in backbone.report.line()

    torch.save(layouts.as_dag(state), tmp_path / f"{kind}_ft_dag.pth")
    dag = create_backbone(BackboneSpec(f"{kind}_caffe", weights=f"vggface2-{kind}-dag", size_px=96))
    rgb = images.float() - torch.tensor([131.0912, 103.8827, 91.4953]).view(3, 1, 1)
    assert_same(features(dag, images), layouts.run_caffe_resnet(state, rgb, shallow))


@pytest.mark.parametrize("kind", ["resnet50", "senet50"])
def test_vggface2_files_name_and_shape_every_tensor_of_the_full_networks(kind):
    card = CARDS[f"vggface2-{kind}"]
    state = layouts.caffe_resnet(layouts.DEPTHS, se=kind == "senet50")
    with torch.device("meta"):
        wanted = create_backbone(BackboneSpec(f"{kind}_caffe")).net.state_dict()
    wanted = {name: tensor.shape for name, tensor in wanted.items() if not name.endswith("num_batches_tracked")}
    new = LAYOUTS[card.layout](state)
    assert {new[name]: tensor.shape for name, tensor in state.items() if not name.startswith("fc.")} == wanted
    dag = layouts.as_dag(state)
    assert set(LAYOUTS["dag"](dag).values()) == set(new.values())


def test_a_stage_of_the_caffe_network_strides_like_the_whole(tmp_path, shallow):
    numpy_pickle(tmp_path / "resnet50_ft_weight.pkl", layouts.caffe_resnet(shallow, se=False))
    spec = {"name": "resnet50_caffe", "weights": "vggface2-resnet50", "size_px": 64}
    whole, cut = create_backbone(BackboneSpec(**spec)).eval(), create_backbone(BackboneSpec(**spec, stage=3))
    seen = []
    whole.net.layer3.register_forward_hook(lambda *hook: seen.append(hook[2].mean((2, 3))))
    features(whole, picture(64))
    assert_same(features(cut, picture(64)), seen[0])


def test_facenet_as_its_port_computes_it(tmp_path):
    state = layouts.facenet()
    torch.save(state, tmp_path / "20180402-114759-vggface2.pt")
    backbone = create_backbone(BackboneSpec("inception_resnet_v1", weights="facenet-vggface2"))
    assert backbone.preprocess.size_px == 160
    images = picture(160)
    assert_same(features(backbone, images), layouts.run_facenet(state, (images.float() - 127.5) / 128))
    assert backbone.report.dropped == ("logits.bias", "logits.weight")


def test_adaface_as_it_computes_it(tmp_path):
    depths = (2, 2, 2, 2)
    state = layouts.adaface(depths)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "adaface_ir18_vgg2.ckpt")
    backbone = create_backbone(BackboneSpec("iresnet18", weights="adaface-ir18"))
    images = picture(112)
    bgr = (images.flip(1) / 255 - 0.5) / 0.5
    assert_same(features(backbone, images), layouts.run_adaface(state, bgr, depths))
    assert backbone.report.dropped == ("head.kernel",)


@pytest.mark.parametrize(("name", "blocks"), [("iresnet34", 16), ("iresnet50", 24), ("iresnet100", 49)])
def test_depths_of_the_deeper_irs(name, blocks):
    with torch.device("meta"):
        net = create_backbone(BackboneSpec(name)).net
    assert len(net.body) == blocks
    assert [net.body[end - 1].res_layer[5].num_features for end in net._ends] == [64, 128, 256, 512]


def test_the_face_alexnet_as_its_port_computes_it():
    card, hidden = CARDS["alexnet-face-fer"], 32
    for first_norm in (1, 49):
        state = layouts.alexnet_dag(hidden, first_norm)
        net = FaceAlexNet(Shape(), hidden)
        report = load(net, state, Rules("x", card.network, card.layout, card.heads))
        images = picture(227, 1)
        rgb = images.float() - torch.tensor([131.09375, 103.88607788085938, 91.47599792480469]).view(3, 1, 1)
        expected = layouts.run_alexnet_dag(state, rgb, first_norm)
        assert_same(features(Backbone(net, hidden, card.preprocess), images), expected)
        assert report.dropped == ("fc8.bias", "fc8.weight")


def test_vggface_as_its_port_computes_it():
    card, hidden = CARDS["vggface-vgg16"], 32
    state = layouts.vgg_dag(hidden)
    with torch.device("meta"):  # its dense layers alone are half a gigabyte
        net = timm.create_model("vgg16", num_classes=0)
        net.pre_logits = ConvMlp(512, hidden, 7)
    net.to_empty(device="cpu")
    report = load(net, state, Rules("x", card.network, card.layout, card.heads))
    images = picture(224, 1)
    rgb = images.float() - torch.tensor([129.186279296875, 104.76238250732422, 93.59396362304688]).view(3, 1, 1)
    assert_same(features(Backbone(net, hidden, card.preprocess), images), layouts.run_vgg_dag(state, rgb))
    assert report.dropped == ("head.fc.bias", "head.fc.weight")


def shaken(net):
    """Give a timm network other numbers than its first ones, running statistics included."""
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape), alpha=0.02)
    return net.eval()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vit_small_patch8_gap_112", 21_640_832),
        ("vit_tiny_patch8_112", 5_512_640),
        ("convnext_nano_patch2", 15_303_712),
        ("convnext_atto_patch2", 3_543_952),
    ],
)
def test_timm_native_networks_have_as_many_parameters_as_their_author_lists(name, parameters):
    variant = VARIANTS[name]
    with torch.device("meta"):
        net = timm.create_model(variant.base, num_classes=512, **variant.options)
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize("name", ["vit-tiny-arcface", "convnext-atto-cosface"])
def test_timm_native_face_models(name, tmp_path):
    card = CARDS[name]
    variant = VARIANTS[card.network]
    reference = shaken(timm.create_model(variant.base, num_classes=512, **variant.options))
    save_file(reference.state_dict(), tmp_path / card.files[0])
    backbone = create_backbone(BackboneSpec(card.network, weights=card.name))
    assert backbone.preprocess.size_px == 112
    images = picture(112)
    with torch.no_grad():
        x = reference.forward_features((images.float() - 127.5) / 127.5)
        assert_same(features(backbone, images), reference.forward_head(x, pre_logits=True))
    assert [name.rpartition(".")[2] for name in backbone.report.dropped] == ["bias", "weight"]


def test_hsemotion_state_dict(tmp_path):
    reference = shaken(timm.create_model("tf_efficientnet_b0", num_classes=0))
    torch.save(reference.state_dict(), tmp_path / "state_vggface2_enet0_new.pt")
    backbone = create_backbone(BackboneSpec("tf_efficientnet_b0", weights="hsemotion-enet-b0"))
    images = picture(224, 1)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    with torch.no_grad():
        assert_same(features(backbone, images), reference((images / 255 - mean) / std))
    assert backbone.report.dropped == ()


def test_every_card_belongs_to_a_network_that_is_there():
    for card in CARDS.values():
        assert card.network in names() or timm.is_model(card.network), card.name
        assert card.layout in LAYOUTS
        assert card.files
        assert card.licence
        assert card.confirmed
    files = [name for card in CARDS.values() for name in card.files]
    assert len(files) == len(set(files)), "a file's name tells its card"
