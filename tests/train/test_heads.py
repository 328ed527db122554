import pytest
import torch
from torch import nn

from align import UsageError
from train.backbones import BackboneSpec
from train.checkpoints import load_model
from train.heads import HeadSpec, build_head
from train.module import FaceModel
from train.tasks import Tasks

from .untrained import save


def shape(head):
    names = {nn.Linear: lambda m: (m.in_features, m.out_features), nn.Dropout: lambda m: m.p}
    return [names.get(type(layer), lambda m: type(m).__name__)(layer) for layer in head]


def test_no_hidden_layer_is_one_dense_layer():
    assert shape(build_head(8, 3, HeadSpec())) == [(8, 3)]
    assert shape(build_head(8, 3, HeadSpec(dropout_before=0.5, layer_norm=True))) == ["LayerNorm", 0.5, (8, 3)]


def test_batch_norm_takes_off_what_all_faces_share_and_has_nothing_to_learn():
    head = build_head(8, 3, HeadSpec(dropout_before=0.5, batch_norm=True))
    assert shape(head) == ["FeatureNorm", 0.5, (8, 3)]
    assert len(list(head.parameters())) == 2  # those of the dense layer
    own = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm = head[0].double()
    norm.eps = 1e-12
    torch.testing.assert_close(norm(100 + 0.01 * own), (own - own.mean(0)) / own.std(0, correction=0))
    norm.eval()
    assert torch.equal(norm(own)[:1], norm(own[:1]))  # once trained a face does not depend on its company


def test_a_batch_of_one_face_takes_what_was_seen_so_far():
    norm = build_head(4, 2, HeadSpec(batch_norm=True))[0]
    faces = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    norm(faces)
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    torch.testing.assert_close(norm(faces[:1]), (faces[:1] - mean) / (variance + norm.eps).sqrt())
    assert torch.equal(norm.running_mean, mean)
    assert torch.equal(norm.running_var, variance)


@pytest.mark.parametrize(
    ("given", "weights", "expected"),
    [
        ({}, None, ["FeatureNorm"]),
        ({}, "none", []),
        ({"layer_norm": True}, None, ["LayerNorm"]),
        ({"batch_norm": False}, None, []),
        ({"batch_norm": True}, "none", ["FeatureNorm"]),
    ],
)
def test_features_of_a_pretrained_backbone_are_normed_unless_something_else_is_said(given, weights, expected):
    spec = BackboneSpec("dlib_face_resnet", weights, stage=1, load_weights=False)
    model = FaceModel(Tasks(classes=["a", "b"]), spec, HeadSpec(**given))
    assert shape(model.head) == [*expected, (32, 2)]
    assert model.hparams["head"]["batch_norm"] is given.get("batch_norm")


@pytest.mark.parametrize("norm", [None, False])
def test_a_checkpoint_from_before_there_was_a_choice_has_no_norm(norm, tmp_path):
    spec = BackboneSpec("dlib_face_resnet", None, stage=1)
    path = save(FaceModel(Tasks(classes=["a", "b"]), spec, HeadSpec(batch_norm=norm)).eval(), tmp_path / "last.ckpt")
    assert shape(load_model(path).head) == [*([] if norm is False else ["FeatureNorm"]), (32, 2)]
    if norm is False:
        stored = torch.load(path, weights_only=True)
        del stored["hyper_parameters"]["head"]["batch_norm"]
        torch.save(stored, path)
        assert shape(load_model(path).head) == [(32, 2)]


def test_a_head_has_one_norm_at_most():
    with pytest.raises(UsageError, match=r"model\.head: expected layer_norm or batch_norm \(got both\)"):
        HeadSpec(layer_norm=True, batch_norm=True)


def test_any_number_of_layers_with_dropout_before_and_after_each():
    spec = HeadSpec(hidden=[16, 4], dropout_before=[0.1, 0.2, 0.3], dropout_after=[0.4, 0.0], activation="gelu")
    assert shape(build_head(8, 3, spec)) == [0.1, (8, 16), "GELU", 0.4, 0.2, (16, 4), "GELU", 0.3, (4, 3)]


def test_one_rate_goes_everywhere():
    spec = HeadSpec(hidden=[16], dropout_before=0.1, dropout_after=0.2)
    assert shape(build_head(8, 3, spec)) == [0.1, (8, 16), "ReLU", 0.2, 0.1, (16, 3)]


def test_logits_are_not_normalized():
    torch.manual_seed(0)
    logits = build_head(8, 3, HeadSpec(hidden=[5]))(torch.randn(20, 8) * 10)
    assert logits.shape == (20, 3)
    assert logits.min() < 0
    assert not torch.allclose(logits.sum(1), torch.ones(20))


@pytest.mark.parametrize(
    "bad",
    [
        {"hidden": [0]},
        {"hidden": [4], "dropout_before": [0.1]},
        {"dropout_after": [0.1]},
        {"dropout_before": 1.0},
        {"activation": "step"},
    ],
)
def test_impossible_heads_are_refused(bad):
    with pytest.raises(UsageError, match=r"model\.head\."):
        HeadSpec(**bad)
