import pytest
import torch
from torch import nn

from align import UsageError
from train.heads import HeadSpec, build_head


def shape(head):
    names = {nn.Linear: lambda m: (m.in_features, m.out_features), nn.Dropout: lambda m: m.p}
    return [names.get(type(layer), lambda m: type(m).__name__)(layer) for layer in head]


def test_no_hidden_layer_is_one_dense_layer():
    assert shape(build_head(8, 3, HeadSpec())) == [(8, 3)]
    assert shape(build_head(8, 3, HeadSpec(dropout_before=0.5, layer_norm=True))) == ["LayerNorm", 0.5, (8, 3)]


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
