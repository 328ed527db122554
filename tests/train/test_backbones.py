import pytest
import timm
import torch

from align import ModelError, UsageError
from train.backbones import BackboneSpec, create_backbone
from train.backbones.base import Normalize, Preprocess


def test_timm_network_equals_timms_own_pipeline():
    backbone = create_backbone(BackboneSpec("test_resnet.r160_in1k")).eval()
    assert backbone.preprocess == Preprocess(160, (127.5,) * 3, (127.5,) * 3)
    images = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8)
    with torch.no_grad():
        found = backbone(images)
        expected = backbone.net((images.float() / 255 - 0.5) / 0.5)
    assert found.shape == (2, backbone.features)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["resnet10t", "vgg11", "vit_tiny_patch16_224"])
def test_features_is_the_length_that_comes_out(name):
    backbone = create_backbone(BackboneSpec(name)).eval()
    size = backbone.preprocess.size_px
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, size, size)).shape == (1, backbone.features)


def test_a_stage_of_a_timm_network():
    backbone = create_backbone(BackboneSpec("test_resnet", stage=2)).eval()
    reference = timm.create_model("test_resnet", features_only=True, out_indices=(2,))
    reference.load_state_dict(backbone.net.net.state_dict())
    x = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(backbone.net(x), reference.eval()(x)[0].mean((2, 3)))
    assert backbone.features == reference.feature_info.channels()[0]


def test_errors_say_what_there_is():
    with pytest.raises(UsageError, match=r"dlib_face_resnet .*got 'resnet81'.*did you mean resnet"):
        create_backbone(BackboneSpec("resnet81"))
    with pytest.raises(UsageError, match="cannot cut test_resnet after stage 9"):
        create_backbone(BackboneSpec("test_resnet", stage=9))


def test_normalize_travels_but_is_not_saved():
    normalize = Normalize(Preprocess(8, (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)))
    assert not normalize.state_dict()
    x = torch.full((1, 3, 1, 1), 40, dtype=torch.uint8)
    assert normalize(x).flatten().tolist() == [15.0, 5.0, 2.0]
    assert normalize.double()(x).dtype == torch.float64


@pytest.mark.parametrize("stage", [None, 2])
def test_weights_that_cannot_be_had_are_the_hubs_doing_and_no_stages(monkeypatch, stage):
    """The hub's client raises errors of many kinds; a RuntimeError among them is not about the stage."""
    create = timm.create_model

    def offline(name, *, pretrained, **options):
        if pretrained:
            raise RuntimeError("no route to the hub\nsecond line")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match="from timm's hub \\(found: no route to the hub\\); check the connection"):
        create_backbone(BackboneSpec("test_resnet", pretrained=True, stage=stage))
