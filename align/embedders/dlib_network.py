"""dlib's face-recognition ResNet in torch, with the weights of dlib's own file.

29 convolutions, 5,614,592 parameters, a descriptor of 128 numbers for a face of 150 x 150 pixels. dlib folds each batch
norm into a gain and a shift a channel, so that the network has no running statistics and is the same in training and in
evaluation. Source: the network in dlib's dnn_face_recognition_ex.cpp; the weights are in the public domain.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError
from .dlib_format import Layer, read_layers

FEATURES = 128
_WIDTHS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
_DOWN = (3, 7, 10, 13)  # the blocks that halve height and width
STAGES = (3, 7, 10, 13, 14)  # how many blocks there are up to the end of each stage


class Affine(nn.Module):
    """Scale and shift each channel: dlib's batch norm after training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to [N, channels, H, W]."""
        return torch.addcmul(self.bias.view(-1, 1, 1), x, self.weight.view(-1, 1, 1))


def _pad_to(x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Append zeros to channels, bottom and right until `x` has at least `shape`."""
    channels, height, width = (want - have for want, have in zip(shape, x.shape[1:], strict=True))
    if max(channels, height, width) <= 0:
        return x
    return F.pad(x, (0, max(width, 0), 0, max(height, 0), 0, max(channels, 0)))


class Block(nn.Module):
    """Two 3 x 3 convolutions and a skip; a block that halves the picture skips through a 2 x 2 average."""

    def __init__(self, width_in: int, width: int, *, down: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if down else (1, 1)
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding)
        self.affine1 = Affine(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self.affine2 = Affine(width)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, width_in, H, W] to [N, width, H', W']."""
        skip = F.avg_pool2d(x, 2) if self.down else x
        y = self.affine2(self.conv2(F.relu(self.affine1(self.conv1(x)))))
        if y.shape != skip.shape:
            shape = (
                max(y.shape[1], skip.shape[1]),
                max(y.shape[2], skip.shape[2]),
                max(y.shape[3], skip.shape[3]),
            )
            y, skip = _pad_to(y, shape), _pad_to(skip, shape)
        return F.relu(y + skip)


class DlibFaceResNet(nn.Module):
    """The network from normalized pictures to the descriptor, or to the mean over the picture after an earlier stage.

    Args:
        stage: Stop after this stage, 1 to 5, at 32, 64, 128, 256 or 256 features; None goes on to the descriptor.

    Attributes:
        features: Length of what comes out.
        model_file: Name of the file that holds its weights.
        side_px: Width and height of the pictures that it was trained on.
        mean_rgb: Subtracted from pictures of 0 to 255, which are then divided by `std`.
        std: The same for all three channels.
        stages: How many stages there are.
    """

    model_file: ClassVar[str] = "dlib_face_recognition_resnet_model_v1.dat"
    side_px: ClassVar[int] = 150
    mean_rgb: ClassVar[tuple[float, float, float]] = (122.782, 117.001, 104.298)
    std: ClassVar[float] = 256.0
    stages: ClassVar[int] = len(STAGES)

    def __init__(self, stage: int | None = None) -> None:
        super().__init__()
        depth = len(_WIDTHS) if stage is None else STAGES[stage - 1]
        self.features = FEATURES if stage is None else _WIDTHS[depth - 1]
        self.conv = nn.Conv2d(3, _WIDTHS[0], 7, 2)
        self.affine = Affine(_WIDTHS[0])
        widths_in = (_WIDTHS[0], *_WIDTHS[:-1])
        blocks = (Block(a, b, down=i in _DOWN) for i, (a, b) in enumerate(zip(widths_in, _WIDTHS, strict=True)))
        self.blocks = nn.Sequential(*list(blocks)[:depth])
        self.fc = nn.Identity() if stage else nn.Linear(_WIDTHS[-1], FEATURES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized [N, 3, H, W], best 150 x 150, to [N, features]."""
        x = F.max_pool2d(F.relu(self.affine(self.conv(x))), 3, 2)
        pooled = self.blocks(x).mean(dim=(2, 3))
        descriptor: Tensor = self.fc(pooled)
        return descriptor

    def load(self, path: Path) -> Self:
        """Fill the network from dlib's file and return it.

        Raises:
            ModelError: The bytes do not follow the layout, or are another network's.
        """
        load_layers(self, read_layers(path.read_bytes(), path.name), path.name)
        return self


def _modules(net: DlibFaceResNet) -> Iterator[nn.Conv2d | Affine | nn.Linear]:
    """Yield the modules with parameters in the order of dlib's file."""
    yield net.conv
    yield net.affine
    for block in net.blocks:
        assert isinstance(block, Block)  # noqa: S101 - tells the type checker what the Sequential holds
        yield from (block.conv1, block.affine1, block.conv2, block.affine2)
    if isinstance(net.fc, nn.Linear):
        yield net.fc


def _geometry(module: nn.Module) -> tuple[str, tuple[int, ...]]:
    """Say which layer of dlib's file, with which numbers, `module` stands for."""
    if isinstance(module, nn.Conv2d):
        return "con_4", (module.out_channels, *module.kernel_size, *module.stride, *map(int, module.padding))
    if isinstance(module, nn.Linear):
        return "fc_2", (module.out_features, module.in_features, 1)
    return "affine_", ()


@torch.no_grad()
def _fill(module: nn.Conv2d | Affine | nn.Linear, params: NDArray[np.float32]) -> None:
    """Copy one layer's parameters: the weights, then the biases where there are any."""
    flat = torch.from_numpy(params.astype(np.float32))  # a copy in native byte order
    split = module.weight.numel()
    if isinstance(module, nn.Linear):
        module.weight.copy_(flat.view(module.in_features, module.out_features).T)
        return
    module.weight.copy_(flat[:split].view_as(module.weight))
    if module.bias is not None:
        module.bias.copy_(flat[split:])


def load_layers(net: DlibFaceResNet, layers: Iterable[Layer], name: str) -> None:
    """Fill `net` from the layers of dlib's file; a net that stops after a stage takes as many layers as it has.

    Raises:
        ModelError: The file's layers are not those of this network.
    """
    stored = [layer for layer in layers if layer.params.size]
    modules = list(_modules(net))
    if isinstance(net.fc, nn.Identity):
        stored = stored[: len(modules)]
    wanted = [(*_geometry(m), sum(p.numel() for p in m.parameters())) for m in modules]
    found = [(layer.kind, layer.numbers, layer.params.size) for layer in stored]
    if wanted != found:
        raise ModelError(
            f"{name}: expected the {len(wanted)} layers of dlib's face-recognition ResNet "
            f"(found {len(found)} layers of other kinds or sizes); get the file from github.com/davisking/dlib-models"
        )
    for module, layer in zip(modules, stored, strict=True):
        _fill(module, layer.params)
