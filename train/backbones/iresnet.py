"""The improved residual networks of face recognition, in the layout of AdaFace's files.

A 3 x 3 stem at full resolution, then four stages of residual blocks that normalize before they convolve, each stage
halving the picture at its first block, then one dense layer over the 7 x 7 map. Source: Deng et al. 2019 (ArcFace), Kim
et al. 2022 (AdaFace); the names of the layers are those of AdaFace's published files.
"""

from functools import partial

import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor, nn

from ..weights import Preprocess
from .base import Built, Shape, StagedNet, build_staged

EMBEDDING = 512
_SIDE_PX, _MAP_PX = 112, 7
_DEPTHS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
}

PREPROCESS = Preprocess(_SIDE_PX, (127.5,) * 3, (127.5,) * 3, template="arcface")


class _Block(nn.Module):
    """Norm, convolve, norm, bend, convolve with the stride, norm; beside it the input, or a 1 x 1 convolution of it."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if width_in != width:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Conv2d(width_in, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, width_in, H, W] to [N, width, H / stride, W / stride]."""
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


class IResNet(StagedNet):
    """The network from normalized pictures to the embedding, not scaled to length 1.

    Args:
        depths: Blocks in each stage.
        shape: Channels and stem; `small` leaves the first stage at full resolution.
        width: Channels of the first stage; published files have 64.
    """

    def __init__(self, depths: tuple[int, ...], shape: Shape, width: int = 64) -> None:
        super().__init__()
        self.widths = (width, 2 * width, 4 * width, 8 * width)
        self.features = EMBEDDING
        self._ends = tuple(sum(depths[: i + 1]) for i in range(len(depths)))
        self.input_layer = nn.Sequential(
            nn.Conv2d(shape.channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        blocks: list[nn.Module] = []
        width_in = width
        for stage, (depth, width_out) in enumerate(zip(depths, self.widths, strict=True)):
            first = 1 if stage == 0 and shape.stem == "small" else 2
            for i in range(depth):
                blocks.append(_Block(width_in, width_out, first if i == 0 else 1))
                width_in = width_out
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(width_in * _MAP_PX**2, EMBEDDING),
            nn.BatchNorm1d(EMBEDDING, affine=False),
        )

    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the last map."""
        out: Tensor = self.body(self.input_layer(x))
        return out

    def head(self, maps: Tensor) -> Tensor:
        """Map the last map, averaged or spread to 7 x 7 where it is of another size, to the embedding."""
        out: Tensor = self.output_layer(F.adaptive_avg_pool2d(maps, _MAP_PX))
        return out

    def drop_after(self, stage: int) -> None:
        """Remove the later stages and the embedding."""
        self.body = self.body[: self._ends[stage - 1]]
        self.output_layer = nn.Sequential()


def _build(name: str, shape: Shape) -> Built:
    return build_staged(IResNet(_DEPTHS[name], shape), PREPROCESS, heads=())


BUILDERS = {name: partial(_build, name) for name in _DEPTHS}
"""Name -> builder."""
