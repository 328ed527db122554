"""Finds the layers of a backbone by running it once, and reads what they give as maps over the picture."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from align import EyelineError, UsageError

from ..backbones import Backbone

Grid = tuple[int, int]
_CHANNELS_FIRST = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d)
_BEFORE_ATTENTION = "norm1"  # the norm before the attention of a block: the last place where every token still counts


@dataclass(frozen=True)
class Layer:
    """A layer of a backbone.

    Attributes:
        name: Dotted, as `named_modules` of the network has it.
        kind: Class of the module.
        weight: Shape of its filters [out, in, h, w]; empty where it is no convolution.
        maps: Channels, height and width of what it gives; empty where it gives no map over the picture.
    """

    name: str
    kind: str
    weight: tuple[int, ...]
    maps: tuple[int, ...]


Layers = dict[str, Layer]


@contextmanager
def hooked(net: nn.Module, hook: Callable[[str, nn.Module, Tensor], Tensor | None]) -> Iterator[None]:
    """Show `hook` what each module of `net` gives; where it returns a tensor, this takes its place."""

    def watch(name: str) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        return lambda module, _, output: hook(name, module, output) if isinstance(output, Tensor) else None

    handles = [module.register_forward_hook(watch(name)) for name, module in net.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def token_grid(net: nn.Module) -> tuple[Grid, int] | None:
    """Read rows and columns of a transformer's tokens, and how many tokens before them stand for no place.

    Only timm's networks say so (`patch_embed.grid_size`, `num_prefix_tokens`); None for all others.
    """
    for module in net.modules():
        for name in ("patch_embed", "stem"):
            size: Any = getattr(getattr(module, name, None), "grid_size", None)
            if isinstance(size, tuple) and len(size) == 2 and isinstance(getattr(module, "blocks", None), nn.Module):
                return (int(size[0]), int(size[1])), int(getattr(module, "num_prefix_tokens", 0))
    return None


def as_maps(output: Tensor, module: nn.Module, net: nn.Module) -> Tensor | None:
    """Read what a module gives as maps [N, channels, h, w]; None where it is none, or of one pixel.

    Args:
        output: What it gave.
        module: The module.
        net: The network around it.
    """
    tokens = token_grid(net)
    if tokens and output.ndim == 3:
        (height, width), prefix = tokens
        if output.shape[1] == prefix + height * width:
            places = output[:, prefix:]
            return places.reshape(len(output), height, width, -1).permute(0, 3, 1, 2)
    if output.ndim != 4 or (tokens and not isinstance(module, _CHANNELS_FIRST)):
        return None  # a transformer's tensors of four dimensions are its heads
    is_last = any(getattr(part, "output_fmt", None) == "NHWC" for part in net.modules())
    if is_last and not isinstance(module, _CHANNELS_FIRST):
        output = output.permute(0, 3, 1, 2)
    return output if output.shape[2] * output.shape[3] > 1 else None


@torch.no_grad()
def find_layers(backbone: Backbone, size_px: int | None = None) -> Layers:
    """Run a backbone once on a grey picture and list its layers in the order in which they finish.

    Args:
        backbone: In evaluation mode.
        size_px: Height and width of the picture; None is the backbone's own.

    Returns:
        By name: the convolutions, and whatever gives maps.
    """
    found: Layers = {}

    def note(name: str, module: nn.Module, output: Tensor) -> None:
        weight = tuple(module.weight.shape) if isinstance(module, nn.Conv2d) else ()
        maps = as_maps(output, module, backbone.net)
        if weight or maps is not None:
            found.pop(name, None)  # called again: its last call counts
            found[name] = Layer(name, type(module).__name__, weight, () if maps is None else tuple(maps.shape[1:]))

    side = size_px or backbone.preprocess.size_px
    device = next(backbone.parameters()).device
    with hooked(backbone.net, note):
        backbone(torch.full((1, 3, side, side), 128, dtype=torch.uint8, device=device))
    return found


def last_map(layers: Layers, net: nn.Module) -> Layer:
    """Choose the layer for Grad-CAM: the last that gives a map, before it is averaged over the picture.

    Of a transformer it is the norm before the last attention: what comes after the last block is often read from the
    class token alone, and the other tokens have no gradient there.

    Raises:
        EyelineError: The network gives no maps.
    """
    with_maps = [layer for layer in layers.values() if layer.maps]
    if token_grid(net):
        norms = [layer for layer in with_maps if layer.name.rpartition(".")[2] == _BEFORE_ATTENTION]
        with_maps = norms or with_maps
    if not with_maps:
        raise EyelineError(
            f"{type(net).__name__}: expected a layer that gives maps over the picture (found none); "
            "Grad-CAM and activation maps need a convolutional network, or a timm transformer with a grid of tokens"
        )
    return with_maps[-1]


def layer_named(layers: Layers, name: str, flag: str) -> Layer:
    """Give the layer of a name.

    Raises:
        UsageError: There is none.
    """
    if name in layers:
        return layers[name]
    near = difflib.get_close_matches(name, layers, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"{flag}: expected a layer of the backbone (got {name!r}); {hint}--list lists them")
