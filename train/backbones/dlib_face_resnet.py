"""The backbone on dlib's face-recognition ResNet, which `align` rebuilds from dlib's own file."""

import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor, nn

from align import DlibFaceResNet

from ..weights import CARDS
from .base import Built, Shape, require_stage

PREPROCESS = CARDS["dlib"].preprocess


class _Net(DlibFaceResNet):
    """dlib's network for pictures of other channels, and with a stem that shrinks less.

    Args:
        stage: Stop after this stage; None is the whole network.
        shape: Channels and stem; `small` starts with stride 1, padded, and without the max pool.
    """

    def __init__(self, stage: int | None, shape: Shape) -> None:
        super().__init__(stage)
        self._is_small = shape.stem == "small"
        first = self.conv
        if self._is_small:
            self.conv = nn.Conv2d(shape.channels, first.out_channels, 7, 1, 3)
        elif shape.channels != first.in_channels:
            self.conv = nn.Conv2d(shape.channels, first.out_channels, 7, 2)

    def maps(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to the last map."""
        x = F.relu(self.affine(self.conv(x)))
        out: Tensor = self.blocks(x if self._is_small else F.max_pool2d(x, 3, 2))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized [N, channels, H, W] to [N, features]."""
        descriptor: Tensor = self.fc(self.maps(x).mean(dim=(2, 3)))
        return descriptor


def build(shape: Shape) -> Built:
    """Build dlib's network with random weights."""
    whole = _Net(None, shape)

    def cut(stage: int) -> tuple[nn.Module, int]:
        net = _Net(require_stage(stage, DlibFaceResNet.stages, "dlib_face_resnet"), shape)
        state = whole.state_dict()
        net.load_state_dict({key: state[key] for key in net.state_dict()})
        return net, net.features

    return Built(whole, whole.features, PREPROCESS, cut)
