"""The small stem of timm's networks: for faces of 48 to 64 px, which the stock stem would shrink to nothing.

The first convolution keeps its kernel, and so its weights, and moves by half its stride; a max pool right behind it
goes. The maps are then two or four times as wide and high as with the stock stem, and every pretrained tensor fits.
"""

from collections.abc import Iterator
from typing import Any

from torch import nn

from align import UsageError

_POOLS = {"ResNet": "maxpool", "DenseNet": "features.pool0", "VGG": "features.4"}
"""Class of timm's network -> the pool that goes; VGG's first convolution has stride 1 already."""

FAMILIES = ("ConvNeXt", "DenseNet", "EfficientNet", "MobileNetV3", "RegNet", "ResNet", "VGG")
"""Classes of timm's networks that have a small stem."""


def has_small_stem(net: nn.Module) -> bool:
    """Tell whether a whole timm network has a small stem."""
    family = type(net).__name__
    if family not in FAMILIES:
        return False
    pools = [module for name, module in net.named_modules() if name == _POOLS.get(family)]
    return all(next(pool.parameters(), None) is None for pool in pools)  # some ResNets pool by a convolution


def shrink_less(net: nn.Module, whole: nn.Module, name: str) -> None:
    """Give `net`, a whole timm network or one cut after a stage, the small stem.

    Args:
        net: Changed in place.
        whole: The whole network, which says of which family it is.
        name: Of the network, for the error.

    Raises:
        UsageError: Networks of this family have no small stem.
    """
    if not has_small_stem(whole):
        raise UsageError(
            f"model.backbone.stem: expected stock for {name}, which has no small stem (got small); "
            f"these families have one: {', '.join(FAMILIES)}"
        )
    config: Any = whole.pretrained_cfg
    for path in _paths(net, str(config["first_conv"])):
        convolution: Any = net.get_submodule(path)
        convolution.stride = tuple(max(1, stride // 2) for stride in convolution.stride)
    family = type(whole).__name__
    pool = _first_pool(whole) if family == "VGG" else _POOLS.get(family, "")
    for path in _paths(net, pool):
        parent, _, leaf = path.rpartition(".")
        setattr(net.get_submodule(parent), leaf, nn.Identity())


def _first_pool(whole: nn.Module) -> str:
    return next(str(name) for name, module in whole.named_modules() if isinstance(module, nn.MaxPool2d))


def plain(name: str) -> str:
    """Write a module's or tensor's name so that it is the same in a whole timm network and in a cut one."""
    return name.removeprefix("net.").removeprefix("model.").replace("_", ".")


def _paths(net: nn.Module, wanted: str) -> Iterator[str]:
    """Yield the paths of the module `wanted` of the whole network in `net`: one, or none where it was cut off."""
    yield from [name for name, _ in net.named_modules() if name and plain(name) == plain(wanted)][:1]
