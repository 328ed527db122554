"""Grad-CAM: which places of a picture speak for an answer.

Source: Selvaraju et al. 2017 (arXiv 1610.02391): the maps of a late layer, each weighted by the mean gradient of the
answer with respect to it, added up, and what speaks against the answer cut off.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor, nn

from ..module import FaceModel
from .layers import Layer, as_maps, hooked


class Cam(NamedTuple):
    """What speaks for an answer.

    Attributes:
        heat: float32 [N, S, S], 0 to 1: as a share of each picture's hottest place. All 0 where nothing speaks for it.
        peak: float32 [N], the hottest value before it was made 1.
        score: float32 [N], the answer: a logit, or valence or arousal as they are.
    """

    heat: Tensor
    peak: Tensor
    score: Tensor


def grad_cam(model: FaceModel, images: Tensor, columns: Tensor, layer: Layer) -> Cam:
    """Compute Grad-CAM of one column of the outputs for each picture.

    A frozen backbone answers as well: the gradient starts at the layer, whatever its parameters.

    Args:
        model: In evaluation mode.
        images: uint8 or float [N, 3, S, S], RGB, 0 to 255.
        columns: int64 [N], which of the outputs (`Tasks.names`) each picture is asked about.
        layer: One that gives maps.
    """
    net = model.backbone.net
    leaves: list[tuple[Tensor, nn.Module]] = []

    def begin(name: str, module: nn.Module, output: Tensor) -> Tensor | None:
        if name != layer.name:
            return None
        leaf = output.detach().requires_grad_()
        leaves.append((leaf, module))
        return leaf.clone()  # what follows may work in place, which a leaf forbids

    with torch.enable_grad(), hooked(net, begin):
        outputs = model.head(model.backbone(images))  # the model's own forward turns gradients off where it is frozen
        scores = outputs.gather(1, columns.to(outputs.device)[:, None])[:, 0]
        leaf, module = leaves[-1]
        (slope,) = torch.autograd.grad(scores.sum(), leaf, allow_unused=True, materialize_grads=True)
    maps, slopes = as_maps(leaf.detach(), module, net), as_maps(slope, module, net)
    assert maps is not None  # noqa: S101 - the layer gives maps
    assert slopes is not None  # noqa: S101 - likewise
    weights = slopes.float().mean(dim=(2, 3), keepdim=True)
    heat = F.relu((weights * maps.float()).sum(1, keepdim=True))
    heat = F.interpolate(heat, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    peak = heat.amax(dim=(1, 2))
    shares = heat / peak.clamp(min=torch.finfo(heat.dtype).tiny)[:, None, None]
    return Cam(shares.cpu(), peak.cpu(), scores.detach().float().cpu())
