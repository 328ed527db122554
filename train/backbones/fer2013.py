"""Two networks for FER2013's grey pictures of 48 px, neither of them pretrained: a study's small one, and a VGG.

The small one has four convolutions of 32, 64, 128 and 256 filters, of 5, 5, 7 and 7 px, and dense layers of 128, 32 and
7, the last of which is the head. Of it the study gives one number more, 6,783,559 parameters, from which follows:

- The convolutions have 832 + 51,264 + 401,536 + 1,605,888 = 2,059,520, biases counted; the last two dense layers have
  4,128 + 231 = 4,359.
- That leaves 4,719,680 for batch norm and the first dense layer, which has 128 n + 128 where n numbers come in. With a
  gain and a shift for each of the 480 filters, 960, n is 36,864 = 256 x 12 x 12. So batch norm stands at the
  convolutions and not at the dense layers, its 960 running statistics are not counted (with them it is 6,784,519), the
  convolutions keep 48 px, and two pools halve them. Without batch norm, with its statistics counted, with batch norm at
  the dense layers or without biases, n is no whole number, or no number of filters times a square.

Which two convolutions the pools follow changes no parameter. Here they are the first two. An epoch of 50,505 faces
(7,215 of each class) then takes some 100 * 10^12 operations, and took the study 100 s, on a card that does at most
3.9 * 10^12 a second; with pools after the second and the fourth it would be 390 * 10^12, all that the card can do.
"""

import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor, nn

from align import UsageError

from ..weights import Preprocess
from .base import Built, Shape, StagedNet, build_staged
from .options import Known, choose

PREPROCESS = Preprocess(48, (127.5,) * 3, (127.5,) * 3)

CNN_OPTIONS: Known = {"activation": ("before", "after"), "pooling": ("max", "average")}
"""Of `fer2013_cnn`: whether the activation comes before batch norm or after it, and how the maps are halved."""

_KERNELS = (5, 5, 7, 7)
_POOLED = 2
_POOLS: dict[str, type[nn.MaxPool2d | nn.AvgPool2d]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
_MAP_PX = 12
_HIDDEN = (128, 32)
_VGG_MAP_PX = 3


class Fer2013Cnn(StagedNet):
    """The study's network up to its last hidden layer, 32 features.

    Args:
        shape: Channels, and the options of `CNN_OPTIONS`.
    """

    widths = (32, 64, 128, 256)

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        chosen = choose("fer2013_cnn", CNN_OPTIONS, shape.options)
        self.features = _HIDDEN[-1]
        self.stages = nn.Sequential()
        before: int = shape.channels
        for number, (width, kernel) in enumerate(zip(self.widths, _KERNELS, strict=True)):
            stage = nn.Sequential()
            stage.add_module("conv", nn.Conv2d(before, width, kernel, padding=kernel // 2))
            parts: dict[str, nn.Module] = {"activation": nn.LeakyReLU(), "norm": nn.BatchNorm2d(width)}
            for name in parts if chosen["activation"] == "before" else reversed(parts):
                stage.add_module(name, parts[name])
            if number < _POOLED:
                stage.add_module("pool", _POOLS[chosen["pooling"]](2))
            self.stages.append(stage)
            before = width
        self.dense = nn.Sequential(
            nn.Linear(before * _MAP_PX**2, _HIDDEN[0]), nn.LeakyReLU(), nn.Linear(*_HIDDEN), nn.LeakyReLU()
        )

    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the last map."""
        out: Tensor = self.stages(x)
        return out

    def head(self, maps: Tensor) -> Tensor:
        """Map the last map, averaged or spread to 12 x 12 where it is of another size, to the features."""
        out: Tensor = self.dense(F.adaptive_avg_pool2d(maps, _MAP_PX).flatten(1))
        return out

    def drop_after(self, stage: int) -> None:
        """Remove the later convolutions and the dense layers."""
        self.stages = self.stages[:stage]
        self.dense = nn.Sequential()


class Fer2013Vgg(StagedNet):
    """VGG with batch norm for 48 px: four stages of two convolutions of 3 x 3 and a max pool, 4,608 features.

    The dense layers, 4096 and 4096 wide, belong into the head, which has dropout. Source: Facial Emotion Recognition:
    State of the Art Performance on FER2013 (2021, arXiv 2105.03588), which shows the network crops of 40 px.

    Args:
        shape: Channels.
    """

    widths = (64, 128, 256, 512)

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.features = self.widths[-1] * _VGG_MAP_PX**2
        self.stages = nn.Sequential()
        before: int = shape.channels
        for width in self.widths:
            stage = nn.Sequential()
            for number in (1, 2):
                stage.add_module(f"conv{number}", nn.Conv2d(before, width, 3, padding=1))
                stage.add_module(f"norm{number}", nn.BatchNorm2d(width))
                stage.add_module(f"activation{number}", nn.ReLU())
                before = width
            stage.add_module("pool", nn.MaxPool2d(2))
            self.stages.append(stage)

    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the last map."""
        out: Tensor = self.stages(x)
        return out

    def head(self, maps: Tensor) -> Tensor:
        """Lay the last map, averaged or spread to 3 x 3 where it is of another size, out as features."""
        return F.adaptive_avg_pool2d(maps, _VGG_MAP_PX).flatten(1)

    def drop_after(self, stage: int) -> None:
        """Remove the later stages."""
        self.stages = self.stages[:stage]


def build_cnn(shape: Shape) -> Built:
    """Build the study's network with random weights."""
    return _build("fer2013_cnn", Fer2013Cnn, shape)


def build_vgg(shape: Shape) -> Built:
    """Build the VGG for 48 px with random weights."""
    return _build("fer2013_vgg", Fer2013Vgg, shape)


def _build(name: str, kind: type[Fer2013Cnn | Fer2013Vgg], shape: Shape) -> Built:
    if shape.stem == "small":
        raise UsageError(f"model.backbone.stem: expected stock for {name}, which is made for 48 px (got small)")
    return build_staged(kind(shape), PREPROCESS, heads=(), needs_card=False, small_stem=False)
