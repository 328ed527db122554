"""Any timm network as a backbone, with the input size, mean and std that timm keeps beside its weights."""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import timm
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from align import UsageError

from ..weights import CARDS, Preprocess
from ..weights.preprocess import RGB
from .base import Built, Shape, State
from .stems import has_small_stem, plain, shrink_less

_FULL_SCALE = 255.0


@dataclass(frozen=True)
class Variant:
    """A network of ours that is timm's with other options.

    Attributes:
        base: timm's name.
        card: A card whose preprocessing is the network's own.
        options: What timm is given beside the name.
        is_caffe: Whether it strides and pools as the networks of caffe do.
    """

    base: str
    card: str
    options: Mapping[str, Any] = field(default_factory=dict)
    is_caffe: bool = False


VARIANTS = {
    "resnet50_caffe": Variant("resnet50", "vggface2-resnet50", is_caffe=True),
    "senet50_caffe": Variant("seresnet50", "vggface2-senet50", is_caffe=True),
    "vit_small_patch8_gap_112": Variant(
        "vit_small_patch16_224",
        "vit-small-cosface",
        {"patch_size": 8, "img_size": 112, "class_token": False, "global_pool": "avg"},
    ),
    "vit_tiny_patch8_112": Variant("vit_tiny_patch16_224", "vit-tiny-cosface", {"patch_size": 8, "img_size": 112}),
    "convnext_nano_patch2": Variant("convnext_nano", "convnext-nano-cosface", {"patch_size": 2}),
    "convnext_atto_patch2": Variant("convnext_atto", "convnext-atto-cosface", {"patch_size": 2}),
}
"""Our names for timm's networks with other options."""


def has(name: str) -> bool:
    """Tell whether timm knows a network of this name, with or without a tag of its weights."""
    return bool(timm.is_model(name))


class Stage(nn.Module):
    """A timm network cut after one stage; gives the mean of that stage's map over the picture."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the stage's map."""
        (features,) = self.net(x)
        return cast("Tensor", features)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to [N, channels of the stage]."""
        return self.maps(x).mean(dim=(2, 3))


def build(name: str, shape: Shape) -> Built:
    """Build timm's network `name`, or a variant of ours, without its classifier and with random weights.

    Raises:
        UsageError: The network cannot take the size, or has no small stem.
    """
    variant = VARIANTS.get(name) or Variant(name, "")
    config = _config(variant.base)
    own = CARDS[variant.card].preprocess if variant.card else _preprocess(config)
    options = {**variant.options, "in_chans": shape.channels}
    side = shape.size_px or own.size_px
    if config.get("fixed_input_size") and side != own.size_px:
        options["img_size"] = side
    try:
        net: Any = timm.create_model(variant.base, num_classes=0, **options)
    except (AssertionError, ValueError, TypeError, RuntimeError) as error:  # each family has its own
        if "img_size" not in options or side == own.size_px:
            raise
        raise UsageError(
            f"model.backbone.size_px: {name} cannot take {side} px ({error}); leave it out, for {own.size_px} px"
        ) from error
    tweak = partial(_tweak, whole=net, variant=variant, name=name, shape=shape)
    tweak(net)
    return Built(
        net,
        int(getattr(net, "head_hidden_size", None) or net.num_features),
        own,
        partial(_cut, net, name, tweak, {**options, "model_name": variant.base}),
        _classifiers(config),
        published=None if variant.card else ("timm", partial(_published, name, {**options, "in_chans": 3})),
        adapt=partial(_adapt, net),
        needs_card=variant.is_caffe,
        small_stem=has_small_stem(net),
    )


def _tweak(net: nn.Module, *, whole: nn.Module, variant: Variant, name: str, shape: Shape) -> None:
    """Give a whole network or a cut one the strides of caffe, and the small stem."""
    if variant.is_caffe:
        _stride_first(net)
    if shape.stem == "small":
        shrink_less(net, whole, name)


def _stride_first(net: Any) -> None:
    """Make a bottleneck ResNet stride in the first 1 x 1 convolution of a stage, and pool unpadded with a ceiling."""
    net.maxpool = nn.MaxPool2d(3, 2, 0, ceil_mode=True)
    for name in ("layer2", "layer3", "layer4"):
        block = getattr(net, name, [None])[0]
        if block is not None:  # else cut off
            block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)


def _cut(
    whole: nn.Module, name: str, tweak: Callable[[nn.Module], None], options: Mapping[str, Any], stage: int
) -> tuple[nn.Module, int]:
    """Make the network anew, cut after a stage as timm counts `out_indices`, with the weights that `whole` has.

    Raises:
        UsageError: The network has no such stage.
    """
    try:
        net: Any = timm.create_model(**options, features_only=True, out_indices=(stage,))
    except (IndexError, AssertionError, RuntimeError, ValueError) as error:  # timm has no one error for a stage
        raise UsageError(f"model.backbone.stage: timm cannot cut {name} after stage {stage}; leave it out") from error
    state = {plain(key): tensor for key, tensor in whole.state_dict().items()}
    net.load_state_dict({key: state[plain(key)] for key in net.state_dict()})
    tweak(net)
    return Stage(net), int(net.feature_info.channels()[0])


def _published(name: str, options: Mapping[str, Any]) -> State:
    """Get timm's own weights for pictures of three channels."""
    state: State = timm.create_model(name, pretrained=True, num_classes=0, **options).state_dict()
    return state


def _adapt(net: nn.Module, state: State) -> State:
    """Let timm turn other layouts of this network into its own, and fit position embeddings to the input size."""
    module = sys.modules[type(net).__module__]
    convert: Any = getattr(module, "checkpoint_filter_fn", None) or getattr(module, "_filter_fn", None)
    if convert is None:
        return state
    takes_net = len(inspect.signature(convert).parameters) > 1
    converted: State = convert(dict(state), net) if takes_net else convert(dict(state))
    return converted


def _config(name: str) -> dict[str, Any]:
    """Read the card that timm keeps beside a network's weights; empty where it has none."""
    card: Any = timm.models.get_pretrained_cfg(name)
    return dict(card.to_dict()) if card else {}


def _classifiers(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the classifier's modules, in timm's files and in torchvision's of the same network."""
    named = config.get("classifier") or ()
    own = (named,) if isinstance(named, str) else tuple(named)
    return (*own, "head.fc", "classifier.6", "fc")


def _preprocess(config: Mapping[str, Any]) -> Preprocess:
    """Read the input that a network wants; ImageNet's values where timm has no card."""
    resolve: Any = resolve_data_config  # timm gives it no types
    wanted = resolve(pretrained_cfg=dict(config))
    return Preprocess(int(wanted["input_size"][-1]), _rgb(wanted["mean"]), _rgb(wanted["std"]))


def _rgb(values: Any) -> RGB:
    red, green, blue = (float(value) * _FULL_SCALE for value in values)
    return red, green, blue
