"""Refuses an input so small that the network shrinks it to nothing."""

from typing import Any

import torch
from torch import nn

from align import UsageError

from .spec import MIN_SIZE_PX, BackboneSpec

MIN_MAP = 2
_STEP_PX = 16


def map_side(net: nn.Module, side_px: int, channels: int) -> int:
    """Give the smaller side of the network's last map for an input of `side_px`; 0 where it cannot take it."""
    was_training = net.training
    forward: Any = getattr(net, "maps", None) or getattr(net, "forward_features", None)
    net.eval()
    try:
        with torch.no_grad():
            maps = forward(torch.zeros(1, channels, side_px, side_px))
    except (RuntimeError, AssertionError, ValueError):  # a kernel larger than the map; each family has its own
        return 0
    finally:
        net.train(was_training)
    if maps.ndim == 3:  # tokens
        return int((maps.shape[1] - int(getattr(net, "num_prefix_tokens", 0))) ** 0.5)
    is_last = maps.shape[-1] == getattr(net, "num_features", 0) != maps.shape[1]
    return int(min(maps.shape[1:3] if is_last else maps.shape[2:]))


def require_map(net: nn.Module, spec: BackboneSpec, own_px: int, *, has_small_stem: bool) -> None:
    """Refuse a size below the network's own at which its last map would be smaller than 2 x 2.

    Args:
        net: The network, whole or cut.
        spec: What was asked for.
        own_px: The network's own size, or its weights'.
        has_small_stem: Whether there is a small stem to advise.

    Raises:
        UsageError: It would be smaller.
    """
    if spec.size_px is None or spec.size_px >= own_px:
        return
    found = map_side(net, spec.size_px, spec.channels)
    if found >= MIN_MAP:
        return
    sizes = range(max(MIN_SIZE_PX, spec.size_px) // _STEP_PX * _STEP_PX + _STEP_PX, own_px, _STEP_PX)
    enough = next((side for side in sizes if map_side(net, side, spec.channels) >= MIN_MAP), own_px)
    stem = " or stem small," if has_small_stem and spec.stem == "stock" else ""
    raise UsageError(
        f"model.backbone.size_px: {spec.name} would shrink {spec.size_px} px to a map of {found} x {found}; "
        f"take size_px {enough},{stem} or an earlier stage"
    )
