"""AlexNet as torchvision has it, and as the Oxford group trained it on faces."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, alexnet  # type: ignore[import-untyped]

from ..weights import Preprocess
from .base import Built, Shape, StagedNet, State, build_staged

FEATURES = 4096
_MAP_PX = 6
_IMAGENET = Preprocess(224, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_FACE = Preprocess(227, (131.09375, 103.88607788085938, 91.47599792480469), (1.0,) * 3)
_SMALL_STRIDE = 2


class AlexNet(StagedNet):
    """torchvision's AlexNet up to its last hidden layer, 4096 features.

    Args:
        shape: Channels and stem; `small` halves the first stride and leaves out the first max pool.
    """

    widths = (64, 192, 384, 256, 256)
    _ENDS = (3, 6, 8, 10, 13)

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        stock = alexnet()
        self.features = FEATURES
        self.layers = stock.features  # `features` is the number of them
        self.classifier = stock.classifier[:-1]
        first = self.layers[0]
        stride = _SMALL_STRIDE if shape.stem == "small" else first.stride
        self.layers[0] = nn.Conv2d(shape.channels, first.out_channels, first.kernel_size, stride, first.padding)
        if shape.stem == "small":
            self.layers[2] = nn.Identity()

    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the last map."""
        out: Tensor = self.layers(x)
        return out

    def head(self, maps: Tensor) -> Tensor:
        """Map the last map, averaged or spread to 6 x 6, to the features."""
        out: Tensor = self.classifier(F.adaptive_avg_pool2d(maps, _MAP_PX).flatten(1))
        return out

    def drop_after(self, stage: int) -> None:
        """Remove the later convolutions and the dense layers."""
        self.layers = self.layers[: self._ENDS[stage - 1]]
        self.classifier = nn.Sequential()


def _rename(state: State) -> State:
    """Give torchvision's tensors our names."""
    return {key.replace("features.", "layers.", 1): tensor for key, tensor in state.items()}


def _published() -> State:
    """Download torchvision's ImageNet weights, checked by the hash in their name."""
    weights: State = AlexNet_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    return _rename(weights)


class FaceAlexNet(StagedNet):
    """The Oxford group's AlexNet with batch norm and convolutions in two groups, up to its last hidden layer.

    Source: the published definition of alexnet_face_fer_bn_dag.

    Args:
        shape: Channels and stem; `small` halves the first stride and leaves out the first max pool.
        hidden: Width of the dense layers; published files have 4096.
    """

    widths = (96, 256, 384, 384, 256)
    _STAGES = len(widths)

    def __init__(self, shape: Shape, hidden: int = FEATURES) -> None:
        super().__init__()
        self.features = hidden
        self._depth = self._STAGES
        self._pools_first = shape.stem == "stock"
        layers = {
            "conv1": nn.Conv2d(shape.channels, 96, 11, 4 if self._pools_first else _SMALL_STRIDE),
            "conv2": nn.Conv2d(96, 256, 5, padding=2, groups=2),
            "conv3": nn.Conv2d(256, 384, 3, padding=1),
            "conv4": nn.Conv2d(384, 384, 3, padding=1, groups=2),
            "conv5": nn.Conv2d(384, 256, 3, padding=1, groups=2),
            "fc6": nn.Conv2d(256, hidden, _MAP_PX),
            "fc7": nn.Conv2d(hidden, hidden, 1),
        }
        for number, (name, layer) in enumerate(layers.items(), start=1):
            self.add_module(name, layer)
            self.add_module(f"bn{number}", nn.BatchNorm2d(layer.out_channels))

    def _layer(self, name: str, number: int, x: Tensor) -> Tensor:
        x = self.get_submodule(f"{name}{number}")(x)
        return torch.relu(self.get_submodule(f"bn{number}")(x))

    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the last map."""
        for number in range(1, self._depth + 1):
            x = self._layer("conv", number, x)
            if number in (2, 5) or (number == 1 and self._pools_first):
                x = F.max_pool2d(x, 3, 2)
        return x

    def head(self, maps: Tensor) -> Tensor:
        """Map the last map, averaged or spread to 6 x 6 where it is of another size, to the features."""
        x = self._layer("fc", 6, F.adaptive_avg_pool2d(maps, _MAP_PX))
        return self._layer("fc", 7, x).flatten(1)

    def drop_after(self, stage: int) -> None:
        """Remove the later convolutions and the dense layers."""
        self._depth = stage
        for number in range(stage + 1, self._STAGES + 3):
            kind = "conv" if number <= self._STAGES else "fc"
            delattr(self, f"{kind}{number}")
            delattr(self, f"bn{number}")


def build(shape: Shape) -> Built:
    """Build torchvision's AlexNet with random weights."""
    net = AlexNet(shape)
    built = build_staged(net, _IMAGENET, heads=("classifier.6",), needs_card=False)
    return Built(
        net, net.features, _IMAGENET, built.cut, built.heads, published=("torchvision", _published), adapt=_rename
    )


def build_face(shape: Shape) -> Built:
    """Build the Oxford group's AlexNet with random weights."""
    return build_staged(FaceAlexNet(shape), _FACE, heads=("fc8",))
