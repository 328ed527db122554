"""Any timm network as a backbone, with the input size, mean and std that timm keeps beside its weights."""

from typing import Any, cast

import timm
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from align import ModelError, UsageError

from .base import RGB, Backbone, Preprocess

_FULL_SCALE = 255.0


def _rgb(values: Any) -> RGB:
    red, green, blue = (float(value) * _FULL_SCALE for value in values)
    return red, green, blue


def has(name: str) -> bool:
    """Tell whether timm knows a network of this name, with or without a tag of its weights."""
    return bool(timm.is_model(name))


class Stage(nn.Module):
    """A timm network cut after one stage; gives the mean of that stage's map over the picture."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized [N, 3, H, W] to [N, channels of the stage]."""
        (features,) = self.net(x)
        return cast("Tensor", features.mean(dim=(2, 3)))


def _create(name: str, stage: int | None, *, pretrained: bool) -> tuple[nn.Module, int]:
    """Make the network and say how many features it gives."""
    net: Any  # timm's networks carry what nn.Module does not declare
    if stage is None:
        net = timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=3)
        return net, int(getattr(net, "head_hidden_size", None) or net.num_features)
    net = timm.create_model(name, pretrained=pretrained, in_chans=3, features_only=True, out_indices=(stage,))
    return Stage(net), int(net.feature_info.channels()[0])


def build(name: str, pretrained: bool | None, stage: int | None) -> Backbone:  # noqa: FBT001 - like the registry's Builder
    """Build timm's network `name` without its classifier; random weights unless `pretrained` is True.

    Args:
        name: Any of timm's, with or without the tag of its weights.
        pretrained: Whether timm downloads weights.
        stage: The index of the feature map to stop after, as timm counts `out_indices`; None is the whole network.

    Raises:
        UsageError: The network has no such stage.
        ModelError: Pretrained weights were asked for and timm cannot get them.
    """
    net, features = _create_cut(name, stage)  # first without weights: what fails later is the hub's doing
    if not pretrained:
        return Backbone(net, features, _preprocess(name), pretrained=False)
    try:
        net, features = _create(name, stage, pretrained=True)
    except Exception as error:  # the hub's client raises whatever its transport raises
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"backbone {name}: expected pretrained weights from timm's hub (found: {first_line}); "
            "check the connection, or set model.backbone.pretrained to false"
        ) from error
    return Backbone(net, features, _preprocess(name), pretrained=True)


def _create_cut(name: str, stage: int | None) -> tuple[nn.Module, int]:
    """Make the network with random weights; a stage that it has not is refused.

    Raises:
        UsageError: The network has no such stage.
    """
    try:
        return _create(name, stage, pretrained=False)
    except (IndexError, AssertionError, RuntimeError) as error:  # timm has no one error for a stage that is not there
        if stage is None:
            raise
        raise UsageError(f"model.backbone.stage: timm cannot cut {name} after stage {stage}; leave it out") from error


def _preprocess(name: str) -> Preprocess:
    """Read the card that timm keeps beside a network's weights; ImageNet's values where it has none."""
    card: Any = timm.models.get_pretrained_cfg(name)
    resolve: Any = resolve_data_config  # timm gives it no types
    wanted = resolve(pretrained_cfg=card.to_dict() if card else {})
    return Preprocess(int(wanted["input_size"][-1]), _rgb(wanted["mean"]), _rgb(wanted["std"]))
