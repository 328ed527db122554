"""Cuts a backbone into groups of layers, from the stem to the last."""

from collections.abc import Iterator
from typing import Any

from torch import nn

_Parameters = list[nn.Parameter]


def layer_groups(backbone: nn.Module) -> list[list[nn.Parameter]]:
    """Cut a backbone into groups of layers in the order of its forward pass.

    A timm network says itself where its stem and stages, or blocks, begin (`group_matcher`, coarse). Of any other
    network the order of its modules counts: each member of a plain sequence of layers or blocks is a group (AlexNet,
    VGG, dlib's ResNet), and each whole sequence is where there are several of blocks (a ResNet cut after a stage).
    Batch norm and other gains and shifts go with the layer before them.

    Args:
        backbone: Any network, a `Backbone` among them.

    Returns:
        Every parameter once, the stem first; no group is empty.
    """
    net = _unwrapped(backbone)
    groups = _by_timm(net) if hasattr(net, "group_matcher") else _by_order(net)
    seen: set[int] = set()
    merged: list[_Parameters] = []
    for group in groups:
        fresh = [parameter for parameter in group if id(parameter) not in seen]
        seen.update(map(id, fresh))
        if merged and all(parameter.ndim <= 1 for parameter in fresh):
            merged[-1] += fresh
        elif fresh:
            merged.append(fresh)
    return merged


def _children(module: nn.Module) -> list[nn.Module]:
    """List the children that hold parameters."""
    return [child for child in module.children() if any(True for _ in child.parameters())]


def _own(module: nn.Module) -> _Parameters:
    return list(module.parameters(recurse=False))


def _unwrapped(module: nn.Module) -> nn.Module:
    """Go down through modules that only hold one other."""
    while not hasattr(module, "group_matcher") and not _own(module) and len(_children(module)) == 1:
        (module,) = _children(module)
    return module


def _by_timm(net: Any) -> list[_Parameters]:
    from timm.models import group_parameters

    named = dict(net.named_parameters())
    levels = group_parameters(net, net.group_matcher(coarse=True))
    return [[named[name] for name in levels[level]] for level in sorted(levels)]


def _by_order(net: nn.Module) -> Iterator[_Parameters]:
    if not _children(net):
        yield list(net.parameters())
        return
    staged = sum(_is_sequence(child) and _has_blocks(child) for child in _children(net)) > 1
    yield _own(net)
    for child in _children(net):
        if _is_sequence(child) and not staged:
            yield from (list(member.parameters()) for member in child.children())
        else:
            yield list(child.parameters())


def _is_sequence(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential | nn.ModuleList)


def _has_blocks(sequence: nn.Module) -> bool:
    """Tell whether a sequence holds more than single layers."""
    return any(_children(member) for member in sequence.children())
