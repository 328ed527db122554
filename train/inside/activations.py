"""What a layer gives for some pictures: its maps, and which of its channels answer most."""

import torch
from torch import Tensor, nn

from ..backbones import Backbone
from .layers import Layer, as_maps, hooked


@torch.no_grad()
def activation_maps(backbone: Backbone, images: Tensor, layer: Layer) -> Tensor:
    """Compute what a layer gives.

    Args:
        backbone: In evaluation mode.
        images: uint8 or float [N, 3, S, S], RGB, 0 to 255.
        layer: One that gives maps.

    Returns:
        float32 [N, channels, h, w], on the CPU.
    """
    kept: list[Tensor] = []

    def keep(name: str, module: nn.Module, output: Tensor) -> None:
        maps = as_maps(output, module, backbone.net) if name == layer.name else None
        if maps is not None:
            kept.append(maps.detach().float().cpu().clone())  # what follows may overwrite it in place

    with hooked(backbone.net, keep):
        backbone(images)
    return kept[-1]


def strongest(maps: Tensor, most: int) -> list[int]:
    """Choose the channels with the greatest mean magnitude over all pictures, the strongest first.

    Args:
        maps: float [N, channels, h, w].
        most: How many at most.
    """
    strength = maps.abs().mean(dim=(0, 2, 3))
    return [int(i) for i in strength.sort(descending=True, stable=True).indices[:most]]
