from dataclasses import asdict, replace

import pytest
import timm
import torch

from align import ModelError, UsageError
from train.backbones import BackboneSpec, create_backbone
from train.backbones.base import Normalize, Preprocess
from train.backbones.size import map_side
from train.weights import CARDS

from . import weight_files as layouts


def pictures(side, count=2):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)


def features(backbone, images):
    with torch.no_grad():
        return backbone.eval()(images)


def test_timm_network_equals_timms_own_pipeline():
    backbone = create_backbone(BackboneSpec("test_resnet.r160_in1k")).eval()
    assert backbone.preprocess == Preprocess(160, (127.5,) * 3, (127.5,) * 3)
    images = pictures(160)
    with torch.no_grad():
        found = backbone(images)
        expected = backbone.net((images.float() / 255 - 0.5) / 0.5)
    assert found.shape == (2, backbone.features)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["resnet10t", "test_vit", "vit_tiny_patch8_112"])
def test_features_is_the_length_that_comes_out(name):
    backbone = create_backbone(BackboneSpec(name))
    assert features(backbone, pictures(backbone.preprocess.size_px, 1)).shape == (1, backbone.features)


def test_a_stage_of_a_timm_network():
    backbone = create_backbone(BackboneSpec("test_resnet", stage=2)).eval()
    reference = timm.create_model("test_resnet", features_only=True, out_indices=(2,))
    reference.load_state_dict(backbone.net.net.state_dict())
    x = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(backbone.net(x), reference.eval()(x)[0].mean((2, 3)))
    assert backbone.features == reference.feature_info.channels()[0]


@pytest.mark.parametrize("name", ["alexnet_face", "inception_resnet_v1", "iresnet18", "alexnet", "fer2013_cnn"])
def test_a_stage_of_a_network_of_ours_is_the_whole_up_to_there(name):
    with torch.device("meta"):
        widths = create_backbone(BackboneSpec(name)).net.widths
        for stage, width in enumerate(widths, start=1):
            cut = create_backbone(BackboneSpec(name, stage=stage))
            side = cut.preprocess.size_px
            assert cut.eval()(torch.zeros(1, 3, side, side)).shape == (1, width)
            assert cut.features == width
        with pytest.raises(UsageError, match=f"stage must be 1 to {len(widths)}"):
            create_backbone(BackboneSpec(name, stage=len(widths) + 1))
        assert sum(p.numel() for p in cut.parameters()) < sum(
            p.numel() for p in create_backbone(BackboneSpec(name)).parameters()
        )


def test_errors_say_what_there_is():
    with pytest.raises(UsageError, match=r"dlib_face_resnet.*got 'resnet81'.*did you mean resnet"):
        create_backbone(BackboneSpec("resnet81"))
    with pytest.raises(UsageError, match="cannot cut test_resnet after stage 9"):
        create_backbone(BackboneSpec("test_resnet", stage=9))
    with pytest.raises(UsageError, match="channels must be 1 or 3"):
        BackboneSpec(channels=4)
    with pytest.raises(UsageError, match="stem must be stock or small"):
        BackboneSpec(stem="tiny")
    with pytest.raises(UsageError, match="size_px must be 48 or more"):
        BackboneSpec(size_px=32)
    with pytest.raises(UsageError, match="standardize must be weights, picture or picture_clipped"):
        BackboneSpec(standardize="image")


def test_normalize_travels_but_is_not_saved():
    normalize = Normalize(Preprocess(8, (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)))
    assert not normalize.state_dict()
    x = torch.full((1, 3, 1, 1), 40, dtype=torch.uint8)
    assert normalize(x).flatten().tolist() == [15.0, 5.0, 2.0]
    assert normalize.double()(x).dtype == torch.float64


def test_bgr_networks_see_blue_first_with_its_own_mean():
    normalize = Normalize(Preprocess(8, (10.0, 20.0, 30.0), (2.0, 4.0, 5.0), "bgr"))
    rgb = torch.tensor([12, 24, 40], dtype=torch.uint8).view(1, 3, 1, 1)
    assert normalize(rgb).flatten().tolist() == [2.0, 1.0, 1.0]


@pytest.mark.parametrize(("order", "channels"), [("rgb", 3), ("bgr", 3), ("rgb", 1)])
def test_standardized_by_picture_each_has_mean_0_and_deviation_1(order, channels):
    images = torch.randint(30, 200, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[1] = images[0] // 2 + 40  # another brightness and contrast
    preprocess = Preprocess(8, (10.0,) * 3, (2.0,) * 3, order, channels, standardize="picture")
    found = Normalize(preprocess)(images)
    torch.testing.assert_close(found.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std((1, 2, 3), correction=0), torch.ones(4))
    torch.testing.assert_close(found[1], found[0], atol=0.02, rtol=0)
    if channels == 3:
        red = images.double()[:, 0] - images.double().mean((1, 2, 3)).view(4, 1, 1)
        red /= images.double().std((1, 2, 3), correction=0).view(4, 1, 1)
        torch.testing.assert_close(found[:, 0 if order == "rgb" else 2].double(), red, atol=1e-5, rtol=0)


def test_a_flat_picture_is_standardized_to_nothing():
    found = Normalize(Preprocess(8, (0.0,) * 3, (1.0,) * 3, standardize="picture"))(torch.full((1, 3, 8, 8), 77.0))
    assert not found.any()


def test_clipped_as_the_original_did_all_that_is_darker_than_the_mean_is_black():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    by_picture, clipped = (
        Normalize(Preprocess(8, (0.0,) * 3, (1.0,) * 3, standardize=how))(images)
        for how in ("picture", "picture_clipped")
    )
    assert torch.equal(clipped, by_picture.clamp(0, 1))
    darker = images < images.double().mean((1, 2, 3), keepdim=True)
    assert not clipped[darker].any()
    assert 0.4 < float((clipped == 0).float().mean()) < 0.6


def test_half_precision_standardizes_in_float32():
    images = torch.randint(0, 256, (1, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    normalize = Normalize(Preprocess(48, (0.0,) * 3, (1.0,) * 3, standardize="picture"))
    exact = normalize(images)
    half = normalize.bfloat16()(images)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, exact.bfloat16())


def test_grey_networks_see_the_luma():
    normalize = Normalize(Preprocess(8, (10.0, 20.0, 30.0), (2.0, 4.0, 6.0), "bgr", channels=1))
    rgb = torch.tensor([100.0, 50.0, 10.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(normalize(rgb).flatten(), torch.tensor([(29.9 + 29.35 + 1.14 - 20) / 4]))


@pytest.mark.parametrize("name", ["test_resnet", "dlib_face_resnet"])
def test_a_grey_network_of_grey_pictures_is_the_coloured_one(name):
    """Weights are summed over the channels; the networks' mean and std are the same in all three, or nearly so."""
    coloured = create_backbone(BackboneSpec(name))
    grey = create_backbone(BackboneSpec(name, channels=1))
    assert grey.preprocess.channels == 1
    if name == "test_resnet":
        state = coloured.net.state_dict()
        state["conv1.0.weight" if "conv1.0.weight" in state else "conv1.weight"] = state.get(
            "conv1.0.weight", state.get("conv1.weight")
        ).sum(1, keepdim=True)
        grey.net.load_state_dict(state)
    side = coloured.preprocess.size_px
    images = pictures(side)[:, :1].expand(-1, 3, -1, -1)
    found, expected = features(grey, images), features(coloured, images)
    tolerance = 1e-4 if name == "test_resnet" else 0.05  # dlib's means differ by 18 of 255
    assert (found - expected).abs().max() < tolerance * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize(
    ("name", "stock", "small"),
    [
        ("resnet10t", 2, 6),
        ("resnet18", 2, 6),
        ("densenet121", 1, 6),
        ("tf_efficientnet_b0", 2, 3),
        ("mobilenetv3_small_050", 2, 3),
        ("regnetx_002", 2, 3),
        ("convnext_atto", 1, 2),
        ("vgg11", 1, 3),
        ("iresnet18", 3, 6),
        ("inception_resnet_v1", 0, 4),
        ("alexnet", 0, 4),
        ("alexnet_face", 0, 4),
        ("dlib_face_resnet", 0, 3),
        ("convnext_atto_patch2", 1, 2),
    ],
)
def test_the_small_stem_leaves_more_of_a_small_face(name, stock, small):
    with torch.device("meta"):
        spec = BackboneSpec(name, weights="none", channels=1, size_px=48)
        backbone = create_backbone(replace(spec, stem="small"))
        assert map_side(backbone.net, 48, 1) == small
        assert backbone.eval()(torch.zeros(2, 3, 48, 48)).shape == (2, backbone.features)
        wide = create_backbone(replace(spec, size_px=None))
        assert map_side(wide.net, 48, 1) == stock
        same = {key: tensor.shape for key, tensor in wide.net.state_dict().items()}
        assert {key: tensor.shape for key, tensor in backbone.net.state_dict().items()} == same


@pytest.mark.parametrize(("name", "found"), [("vgg11", 1), ("alexnet", 0), ("dlib_face_resnet", 0)])
def test_a_size_that_leaves_nothing_is_refused(name, found):
    with torch.device("meta"), pytest.raises(UsageError, match=rf"shrink 48 px to a map of {found} x .*or stem small"):
        create_backbone(BackboneSpec(name, weights="none", size_px=48))


@pytest.mark.parametrize("name", ["test_resnet", "vgg11", "iresnet18", "convnext_atto"])
def test_the_small_stem_of_a_cut_network_is_that_of_the_whole(name):
    with torch.device("meta"):
        small, stock = (create_backbone(BackboneSpec(name, stage=2, stem=stem)).net for stem in ("small", "stock"))
        assert map_side(small, 64, 3) >= 2 * map_side(stock, 64, 3) - 1  # ConvNeXt's kernel has no border


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_families_without_a_small_stem_say_which_have_one(name):
    with torch.device("meta"), pytest.raises(UsageError, match=r"no small stem.*ConvNeXt.*ResNet, VGG"):
        create_backbone(BackboneSpec(name, stem="small"))


def test_the_size_that_an_error_advises_is_enough():
    with torch.device("meta"):
        with pytest.raises(UsageError, match="take size_px 64, or stem small") as caught:
            create_backbone(BackboneSpec("vgg11", size_px=48))
        assert "vgg11" in str(caught.value)
        assert create_backbone(BackboneSpec("vgg11", size_px=64)).preprocess.size_px == 64


def test_transformers_take_other_sizes_or_say_why_not():
    backbone = create_backbone(BackboneSpec("test_vit", size_px=64))
    assert features(backbone, pictures(64, 1)).shape == (1, backbone.features)
    with torch.device("meta"), pytest.raises(UsageError, match=r"size_px: xcit_nano_12_p16_224 cannot take 50 px"):
        create_backbone(BackboneSpec("xcit_nano_12_p16_224", size_px=50))


def test_a_size_of_ones_own_does_not_change_what_the_card_says():
    card = CARDS["adaface-ir18"].preprocess
    spec = BackboneSpec("iresnet18", weights="adaface-ir18", size_px=64, load_weights=False)
    assert create_backbone(spec).preprocess == replace(card, size_px=64)


def test_a_checkpoint_is_rebuilt_without_its_file_but_with_its_preprocessing(monkeypatch, tmp_path):
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path))
    stored = asdict(BackboneSpec("resnet50_caffe", weights="vggface2-resnet50", stage=1))
    backbone = create_backbone(BackboneSpec(**stored).without_weights())
    assert backbone.preprocess == CARDS["vggface2-resnet50"].preprocess
    assert not backbone.pretrained
    gone = BackboneSpec("test_resnet", weights="gone.pth", stage=1)
    assert create_backbone(gone.without_weights()).features == create_backbone(replace(gone, weights="none")).features


@pytest.mark.parametrize("stage", [None, 2])
def test_weights_that_cannot_be_had_are_the_hubs_doing_and_no_stages(monkeypatch, stage):
    """The hub's client raises errors of many kinds; a RuntimeError among them is not about the stage."""
    create = timm.create_model

    def offline(name, *, pretrained=False, **options):
        if pretrained:
            raise RuntimeError("no route to the hub\nsecond line")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match="from timm's hub \\(found: no route to the hub\\); check the connection"):
        create_backbone(BackboneSpec("test_resnet", weights="timm", stage=stage))


def test_timms_own_weights_fill_the_network(monkeypatch):
    create, reference = timm.create_model, timm.create_model("test_resnet", num_classes=0)
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained=False, **kw: reference if pretrained else create(name, **kw)
    )
    backbone = create_backbone(BackboneSpec("test_resnet", weights="timm", channels=1))
    assert backbone.pretrained
    assert torch.equal(backbone.net.layer1[0].conv1.weight, reference.layer1[0].conv1.weight)
    assert backbone.report.line().startswith("weights test_resnet (timm): ")


def ours(path, spec, backbone):
    state = {f"backbone.net.{name}": tensor for name, tensor in backbone.net.state_dict().items()}
    hyperparameters = {"backbone": asdict(spec)}
    torch.save({"state_dict": state | {"head.weight": torch.ones(2)}, "hyper_parameters": hyperparameters}, path)


@pytest.mark.parametrize(("stored", "wanted"), [(None, None), (None, 2), (2, 2)])
def test_a_checkpoint_of_ours_is_a_file_of_weights(stored, wanted, tmp_path):
    spec = BackboneSpec("test_resnet", stage=stored)
    first = create_backbone(spec)
    path = tmp_path / "last.ckpt"
    ours(path, spec, first)
    second = create_backbone(BackboneSpec("test_resnet", weights=str(path), stage=wanted))
    images = pictures(160)
    if stored == wanted:
        torch.testing.assert_close(features(second, images), features(first, images))
    else:
        assert torch.equal(second.net.net.layer1[0].conv1.weight, first.net.layer1[0].conv1.weight)


def test_a_checkpoint_of_another_backbone_is_refused(tmp_path):
    spec, path = BackboneSpec("test_resnet", stage=2), tmp_path / "last.ckpt"
    ours(path, spec, create_backbone(spec))
    for other in (BackboneSpec("test_resnet"), BackboneSpec("test_vit", stage=2)):
        with pytest.raises(UsageError, match="holds test_resnet, stage 2"):
            create_backbone(replace(other, weights=str(path)))


def test_a_checkpoint_trained_from_a_card_must_be_named_with_it(tmp_path):
    """Else nobody could tell later, without the file, that the network sees BGR."""
    layouts.seed(0)
    spec, path = (
        BackboneSpec("tf_efficientnet_b0", weights="hsemotion-enet-b0", load_weights=False),
        tmp_path / "x.ckpt",
    )
    ours(path, spec, create_backbone(spec))
    with pytest.raises(UsageError, match=r"expected hsemotion-enet-b0:.*x\.ckpt"):
        create_backbone(BackboneSpec("tf_efficientnet_b0", weights=str(path)))
    named = create_backbone(BackboneSpec("tf_efficientnet_b0", weights=f"hsemotion-enet-b0:{path}"))
    assert named.preprocess == CARDS["hsemotion-enet-b0"].preprocess
