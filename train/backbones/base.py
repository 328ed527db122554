"""What every backbone is to the rest of the package: a network, the size of its features, and its preprocessing."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn

from align import UsageError

from ..weights import LoadReport, Preprocess
from ..weights.preprocess import Channels

Stem = Literal["stock", "small"]
State = Mapping[str, Tensor]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV and the video decoders have it


class Normalize(nn.Module):
    """Turn RGB pictures of 0 to 255 into what a network takes; the constants stay out of checkpoints."""

    mean: Tensor
    std: Tensor
    luma: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
        self.standardize = preprocess.standardize
        self.is_grey = preprocess.channels == 1
        self.is_bgr = preprocess.order == "bgr" and not self.is_grey
        if self.is_grey:
            mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
        elif self.is_bgr:
            mean, std = mean.flip(0), std.flip(0)
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(_LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalize float or uint8 [N, 3, H, W], RGB, 0 to 255, to float [N, channels, H, W]."""
        if self.is_grey:
            images = (images.to(self.luma.dtype) * self.luma).sum(1, keepdim=True)
        elif self.is_bgr:
            images = images.flip(1)  # before it is made float: a quarter of the bytes
        if self.standardize != "weights":
            return self._by_picture(images)
        return (images.to(self.mean.dtype) - self.mean) / self.std

    def _by_picture(self, images: Tensor) -> Tensor:
        """Standardize each picture by its own mean and deviation, in float32 at least."""
        values = images.to(torch.promote_types(self.mean.dtype, torch.float32)).flatten(1)
        deviation = values.std(1, correction=0, keepdim=True).clamp(min=values.shape[1] ** -0.5)
        out = (values - values.mean(1, keepdim=True)) / deviation
        if self.standardize == "picture_clipped":
            out = out.clamp(0, 1)
        return out.view(images.shape).to(self.mean.dtype)


class Backbone(nn.Module):
    """A network from pictures to features, with the preprocessing it was trained with.

    Attributes:
        net: From normalized float [N, channels, H, W] to features [N, features].
        features: Length of the feature vector.
        preprocess: Input size, mean, std, channels and their order.
        report: What loading the weights matched; None where none were loaded.
    """

    def __init__(self, net: nn.Module, features: int, preprocess: Preprocess, report: LoadReport | None = None) -> None:
        super().__init__()
        self.normalize = Normalize(preprocess)
        self.net = net
        self.features = features
        self.preprocess = preprocess
        self.report = report

    @property
    def pretrained(self) -> bool:
        """Whether `net` was made with pretrained weights."""
        return self.report is not None

    def forward(self, images: Tensor) -> Tensor:
        """Compute features.

        Args:
            images: Float or uint8 [N, 3, H, W], RGB, 0 to 255.

        Returns:
            Float [N, features].
        """
        return cast("Tensor", self.net(self.normalize(images)))


class StagedNet(nn.Module, ABC):
    """A network of ours that may be cut after a stage; it then gives the mean over the picture.

    Attributes:
        features: Length of what comes out.
        widths: Channels at the end of each stage.
    """

    features: int
    widths: tuple[int, ...]
    is_cut: bool = False

    @abstractmethod
    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the last map, [N, width, H', W']."""

    @abstractmethod
    def head(self, maps: Tensor) -> Tensor:
        """Map the last map to the features [N, features]."""

    @abstractmethod
    def drop_after(self, stage: int) -> None:
        """Remove what comes after `stage`, counted from 1."""

    def cut(self, stage: int) -> None:
        """Cut after `stage`.

        Raises:
            UsageError: There is no such stage.
        """
        self.drop_after(require_stage(stage, len(self.widths), type(self).__name__))
        self.is_cut, self.features = True, self.widths[stage - 1]

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to [N, features]."""
        maps = self.maps(x)
        return maps.mean(dim=(2, 3)) if self.is_cut else self.head(maps)


def require_stage(stage: int, stages: int, name: str) -> int:
    """Give the stage back where there is one of that number.

    Raises:
        UsageError: There is none.
    """
    if not 1 <= stage <= stages:
        raise UsageError(f"model.backbone.stage must be 1 to {stages} for {name} (got {stage})")
    return stage


@dataclass(frozen=True)
class Shape:
    """The network that is asked for, apart from its weights.

    Attributes:
        channels: Of the pictures the network takes.
        size_px: Height and width of its input; None is the network's own.
        stem: `small` shrinks less at the start.
        options: What else may be chosen of it, see `options.choose`.
    """

    channels: Channels = 3
    size_px: int | None = None
    stem: Stem = "stock"
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """A whole network with random weights, and what is needed to fill and to cut it.

    Attributes:
        net: From normalized pictures to features.
        features: Their number.
        preprocess: What the network takes where no card says otherwise.
        cut: Gives the network cut after a stage, with the weights that `net` then has, and its number of features.
        heads: Prefixes of the names of tensors in files that belong to the classifier on top.
        published: Library that publishes weights, and a function that gets them; None where there is none.
        adapt: Turns other layouts of the same network into this one's; None where there is none.
        needs_card: Whether files for this network differ in their preprocessing, so that each needs a card.
        small_stem: Whether the network has a small stem.
    """

    net: nn.Module
    features: int
    preprocess: Preprocess
    cut: Callable[[int], tuple[nn.Module, int]]
    heads: tuple[str, ...] = ()
    published: tuple[str, Callable[[], State]] | None = None
    adapt: Callable[[State], State] | None = None
    needs_card: bool = False
    small_stem: bool = True


def build_staged(
    net: StagedNet,
    preprocess: Preprocess,
    heads: tuple[str, ...],
    *,
    needs_card: bool = True,
    small_stem: bool = True,
) -> Built:
    """Describe a network of ours."""

    def cut(stage: int) -> tuple[nn.Module, int]:
        net.cut(stage)
        return net, net.features

    return Built(net, net.features, preprocess, cut, heads, needs_card=needs_card, small_stem=small_stem)


Builder = Callable[[Shape], Built]
"""Makes a network with random weights."""
