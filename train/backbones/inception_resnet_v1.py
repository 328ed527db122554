"""facenet's Inception-ResNet v1, with the layer names of facenet-pytorch's files.

Source of the architecture: Szegedy et al. 2016 (arXiv 1602.07261) as facenet trains it: batch norm with epsilon 0.001,
residual branches scaled by 0.17, 0.10 and 0.20, and a dense layer with batch norm to an embedding of 512.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..weights import Preprocess
from .base import Built, Shape, StagedNet, build_staged

EMBEDDING = 512
PREPROCESS = Preprocess(160, (127.5,) * 3, (128.0,) * 3)

Kernel = int | tuple[int, int]
Branch = tuple[tuple[int, Kernel, int, bool], ...]
"""Units one after another: width, kernel, stride, and whether the border is padded."""

_BLOCK35: tuple[Branch, ...] = (
    ((32, 1, 1, False),),
    ((32, 1, 1, False), (32, 3, 1, True)),
    ((32, 1, 1, False), (32, 3, 1, True), (32, 3, 1, True)),
)
_MIXED_6A: tuple[Branch, ...] = (
    ((384, 3, 2, False),),
    ((192, 1, 1, False), (192, 3, 1, True), (256, 3, 2, False)),
)
_BLOCK17: tuple[Branch, ...] = (
    ((128, 1, 1, False),),
    ((128, 1, 1, False), (128, (1, 7), 1, True), (128, (7, 1), 1, True)),
)
_MIXED_7A: tuple[Branch, ...] = (
    ((256, 1, 1, False), (384, 3, 2, False)),
    ((256, 1, 1, False), (256, 3, 2, False)),
    ((256, 1, 1, False), (256, 3, 1, True), (256, 3, 2, False)),
)
_BLOCK8: tuple[Branch, ...] = (
    ((192, 1, 1, False),),
    ((192, 1, 1, False), (192, (1, 3), 1, True), (192, (3, 1), 1, True)),
)


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, width_in: int, width: int, kernel: Kernel, stride: int, *, padded: bool) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(width_in, width, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, width_in, H, W] to [N, width, H', W']."""
        return torch.relu(self.bn(self.conv(x)))


def _branch(width_in: int, branch: Branch) -> nn.Module:
    """Make a branch; one unit alone stands bare, as the files name it."""
    widths = (width_in, *(width for width, *_ in branch))
    units = [
        _Unit(a, b, kernel, stride, padded=padded)
        for (a, b), (_, kernel, stride, padded) in zip(pairwise(widths), branch, strict=True)
    ]
    return units[0] if len(units) == 1 else nn.Sequential(*units)


class _Branches(nn.Module):
    """Branches side by side; with `pooled` a 3 x 3 max pool of stride 2 beside them."""

    def __init__(self, width_in: int, branches: tuple[Branch, ...], *, pooled: bool = False) -> None:
        super().__init__()
        self._count = len(branches) + pooled
        for i, branch in enumerate(branches):
            self.add_module(f"branch{i}", _branch(width_in, branch))
        if pooled:
            self.add_module(f"branch{len(branches)}", nn.MaxPool2d(3, 2))
        self.width = sum(branch[-1][0] for branch in branches) + (width_in if pooled else 0)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, width_in, H, W] to [N, width, H', W']."""
        return torch.cat([self.get_submodule(f"branch{i}")(x) for i in range(self._count)], 1)


class _Residual(_Branches):
    """Branches, joined by a 1 x 1 convolution, scaled and added to the input."""

    def __init__(self, width: int, branches: tuple[Branch, ...], scale: float, *, bends: bool = True) -> None:
        super().__init__(width, branches)
        self.conv2d = nn.Conv2d(self.width, width, 1)
        self.scale, self.bends = scale, bends

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, width, H, W] to the same shape."""
        out: Tensor = x + self.scale * self.conv2d(super().forward(x))
        return torch.relu(out) if self.bends else out


def _repeat(times: int, width: int, branches: tuple[Branch, ...], scale: float) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width, branches, scale) for _ in range(times)))


class InceptionResnetV1(StagedNet):
    """The network from normalized pictures to the embedding, not scaled to length 1.

    Args:
        shape: Channels and stem; `small` starts with stride 1 and without the max pool.
    """

    widths = (256, 256, 896, 1792)
    _STAGES = (
        ("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "conv2d_4b"),
        ("repeat_1",),
        ("mixed_6a", "repeat_2"),
        ("mixed_7a", "repeat_3", "block8"),
    )

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        is_small = shape.stem == "small"
        self.features = EMBEDDING
        self.conv2d_1a = _Unit(shape.channels, 32, 3, 1 if is_small else 2, padded=False)
        self.conv2d_2a = _Unit(32, 32, 3, 1, padded=False)
        self.conv2d_2b = _Unit(32, 64, 3, 1, padded=True)
        self.maxpool_3a: nn.Module = nn.Identity() if is_small else nn.MaxPool2d(3, 2)
        self.conv2d_3b = _Unit(64, 80, 1, 1, padded=False)
        self.conv2d_4a = _Unit(80, 192, 3, 1, padded=False)
        self.conv2d_4b = _Unit(192, 256, 3, 2, padded=False)
        self.repeat_1 = _repeat(5, 256, _BLOCK35, 0.17)
        self.mixed_6a = _Branches(256, _MIXED_6A, pooled=True)
        self.repeat_2 = _repeat(10, 896, _BLOCK17, 0.10)
        self.mixed_7a = _Branches(896, _MIXED_7A, pooled=True)
        self.repeat_3 = _repeat(5, 1792, _BLOCK8, 0.20)
        self.block8 = _Residual(1792, _BLOCK8, 1.0, bends=False)
        self.last_linear = nn.Linear(1792, EMBEDDING, bias=False)
        self.last_bn = nn.BatchNorm1d(EMBEDDING, eps=0.001)
        self._names = [name for stage in self._STAGES for name in stage]

    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the last map."""
        for name in self._names:
            x = self.get_submodule(name)(x)
        return x

    def head(self, maps: Tensor) -> Tensor:
        """Map the last map to the embedding."""
        out: Tensor = self.last_bn(self.last_linear(maps.mean(dim=(2, 3))))
        return out

    def drop_after(self, stage: int) -> None:
        """Remove the later stages and the embedding."""
        self._names = [name for names in self._STAGES[:stage] for name in names]
        for name in [name for names in self._STAGES[stage:] for name in names] + ["last_linear", "last_bn"]:
            delattr(self, name)


def build(shape: Shape) -> Built:
    """Build the network with random weights."""
    return build_staged(InceptionResnetV1(shape), PREPROCESS, heads=("logits",))
