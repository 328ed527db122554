"""What every backbone is to the rest of the package: a network, the size of its features, and its preprocessing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocess:
    """How a backbone wants its pictures.

    Attributes:
        size_px: Height and width of the square input.
        mean: Subtracted, R, G, B, on the scale 0 to 255.
        std: Divided by after that, R, G, B, on the scale 0 to 255.
    """

    size_px: int
    mean: RGB
    std: RGB


class Normalize(nn.Module):
    """Apply `(x - mean) / std` to pictures of 0 to 255; the constants stay out of checkpoints."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalize float or uint8 [N, 3, H, W], RGB, 0 to 255."""
        return (images.to(self.mean.dtype) - self.mean) / self.std


class Backbone(nn.Module):
    """A network from pictures to features, with the preprocessing it was trained with.

    Attributes:
        net: From normalized float [N, 3, H, W] to features [N, features].
        features: Length of the feature vector.
        preprocess: Input size, mean and std.
        pretrained: Whether `net` was made with pretrained weights.
    """

    def __init__(self, net: nn.Module, features: int, preprocess: Preprocess, *, pretrained: bool) -> None:
        super().__init__()
        self.normalize = Normalize(preprocess)
        self.net = net
        self.features = features
        self.preprocess = preprocess
        self.pretrained = pretrained

    def forward(self, images: Tensor) -> Tensor:
        """Compute features.

        Args:
            images: Float or uint8 [N, 3, H, W], RGB, 0 to 255.

        Returns:
            Float [N, features].
        """
        return cast("Tensor", self.net(self.normalize(images)))


Builder = Callable[[bool | None, int | None], Backbone]
"""Makes a backbone: with pretrained weights (None leaves it to the builder), cut after a stage (None is whole)."""
