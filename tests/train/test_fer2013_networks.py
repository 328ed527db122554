"""The two networks for FER2013: their published counts, their options, and their parts by hand."""

from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it

from align import UsageError
from train.backbones import BackboneSpec, create_backbone
from train.checkpoints import load_model
from train.finetune import FinetuneSpec
from train.heads import HeadSpec
from train.module import FaceModel
from train.tasks import Tasks

from .untrained import save

SEVEN = Tasks(["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger"])
TRAINED = FinetuneSpec("none")


def cnn(**options):
    return BackboneSpec("fer2013_cnn", channels=1, options=options)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("activation", ["before", "after"])
def test_the_studys_network_has_the_published_number_of_parameters(activation):
    with torch.device("meta"):
        model = FaceModel(SEVEN, cnn(activation=activation), finetune=TRAINED)
    assert count(model) == 6_783_559
    running = [tensor for name, tensor in model.backbone.named_buffers() if "running" in name]
    assert sum(tensor.numel() for tensor in running) == 960
    assert [tuple(layer.conv.weight.shape) for layer in model.backbone.net.stages] == [
        (32, 1, 5, 5),
        (64, 32, 5, 5),
        (128, 64, 7, 7),
        (256, 128, 7, 7),
    ]


def by_hand(net, x, activation, pooling):
    for number, stage in enumerate(net.stages):
        x = stage.conv(x)
        x = stage.norm(F.leaky_relu(x)) if activation == "before" else F.leaky_relu(stage.norm(x))
        if number < 2:
            x = F.max_pool2d(x, 2) if pooling == "max" else F.avg_pool2d(x, 2)
    first, second = (layer for layer in net.dense if isinstance(layer, torch.nn.Linear))
    assert x.shape[1:] == (256, 12, 12)
    return F.leaky_relu(second(F.leaky_relu(first(x.flatten(1)))))


@pytest.mark.parametrize("activation", ["before", "after"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_studys_network_is_its_layers_in_their_order(activation, pooling):
    net = create_backbone(cnn(activation=activation, pooling=pooling)).net.eval()
    for stage in net.stages:
        torch.nn.init.uniform_(stage.norm.running_mean, -0.2, 0.2)
        torch.nn.init.uniform_(stage.norm.running_var, 0.5, 2.0)
    x = torch.randn(2, 1, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(net(x), by_hand(net, x, activation, pooling))


def test_an_option_that_is_not_given_is_the_studys_best():
    with torch.device("meta"):
        plain, best = (str(create_backbone(spec).net) for spec in (cnn(), cnn(activation="before", pooling="max")))
        other = str(create_backbone(cnn(activation="after")).net)
    assert plain == best != other


def test_the_vgg_and_the_dense_layers_of_its_recipe():
    with torch.device("meta"):
        spec = BackboneSpec("fer2013_vgg", channels=1)
        model = FaceModel(SEVEN, spec, HeadSpec([4096, 4096], dropout_after=0.2), TRAINED)
        assert model.backbone.net.maps(torch.zeros(1, 1, 48, 48)).shape == (1, 512, 3, 3)
    assert model.backbone.features == 4608
    dense = (4608 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 7
    assert count(model.backbone) == 4_688_064
    assert count(model) == 4_688_064 + dense


def test_a_stage_of_the_vgg_is_the_whole_up_to_there():
    with torch.device("meta"):
        stages = [create_backbone(BackboneSpec("fer2013_vgg", stage=stage)).eval() for stage in (1, 2, 3, 4)]
        assert [net(torch.zeros(1, 3, 48, 48)).shape[1] for net in stages] == [64, 128, 256, 512]
        counts = [count(net) for net in stages]
    assert counts == sorted(set(counts))
    with pytest.raises(UsageError, match="stage must be 1 to 4"):
        create_backbone(BackboneSpec("fer2013_vgg", stage=5))


@pytest.mark.parametrize("name", ["fer2013_cnn", "fer2013_vgg"])
def test_other_sizes_are_taken_and_other_stems_refused(name):
    with torch.device("meta"):
        larger = create_backbone(BackboneSpec(name, size_px=80)).eval()
        assert larger(torch.zeros(2, 3, 80, 80)).shape == (2, larger.features)
        with pytest.raises(UsageError, match=f"expected stock for {name}, which is made for 48 px"):
            create_backbone(BackboneSpec(name, stem="small"))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("fer2013_cnn", {"pool": "max"}, "options: expected one of activation, pooling (got 'pool'); leave it out"),
        ("fer2013_cnn", {"pooling": "min"}, "options.pooling: expected max or average for fer2013_cnn (got 'min')"),
        ("fer2013_vgg", {"pooling": "max"}, "expected none for fer2013_vgg, which has no options (got 'pooling')"),
        ("test_resnet", {"pooling": "max"}, "expected none for test_resnet, which has no options"),
    ],
)
def test_an_unknown_option_is_one_sentence(name, options, said):
    with torch.device("meta"), pytest.raises(UsageError) as error:
        create_backbone(BackboneSpec(name, weights="none", options=options))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_checkpoint_keeps_the_options_and_gives_its_weights_to_no_others(tmp_path):
    model = FaceModel(SEVEN, cnn(activation="after"), finetune=TRAINED)
    path = save(model.eval(), tmp_path / "last.ckpt")
    loaded = load_model(path)
    assert loaded.hparams["backbone"]["options"] == {"activation": "after"}
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))
    weights = {**asdict(cnn()), "weights": str(path)}
    same = create_backbone(BackboneSpec(**weights | {"options": {"pooling": "max", "activation": "after"}}))
    assert torch.equal(same.net.stages[3].conv.weight, model.backbone.net.stages[3].conv.weight)
    with pytest.raises(UsageError, match=r"options: .*last\.ckpt was trained with .*'after'.*got .*'before'"):
        create_backbone(BackboneSpec(**weights))
    with pytest.raises(UsageError, match=r"standardize: .*last\.ckpt was trained with weights \(got picture\)"):
        create_backbone(BackboneSpec(**weights | {"options": {"activation": "after"}, "standardize": "picture"}))
