"""Which backbone to build."""

from dataclasses import dataclass, field, replace
from typing import get_args

from align import UsageError

from ..weights import resolve
from ..weights.preprocess import Channels, Standardize
from .base import Stem

MIN_SIZE_PX = 48


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone to build, and with which weights.

    Attributes:
        name: A name of ours (`dlib_face_resnet`) or any of timm's.
        weights: A card of `train.weights` (`facenet-vggface2`), `CARD:FILE`, or a file; `timm` or `torchvision`
            downloads the library's own; `none` leaves them random; null is what an installed package ships
            (dlib's), else random.
        stage: Stop after this stage, counted from 1, and take the mean over the picture; null is the whole network.
            Late layers know what they were trained for, middle ones carry further to other tasks and pictures.
        channels: 3, or 1 for a network that takes the luma of the picture.
        size_px: Height and width of the input, 48 or more; null is what the weights were trained on.
        stem: `small` shrinks less at the start, for faces of 48 to 64 px.
        options: What else a backbone of ours lets choose: of `fer2013_cnn` `activation`, before (batch norm) or after,
            and `pooling`, max or average.
        standardize: `weights` takes off the mean and divides by the deviation that go with the weights, `picture` each
            picture's own; `picture_clipped` then cuts it to 0 and 1, a fault of a published system, for reproduction.
        load_weights: False takes the preprocessing of `weights` and leaves the network random: a checkpoint's follow.
    """

    name: str = "dlib_face_resnet"
    weights: str | None = None
    stage: int | None = None
    channels: Channels = 3
    size_px: int | None = None
    stem: Stem = "stock"
    options: dict[str, str] = field(default_factory=dict)
    standardize: Standardize = "weights"
    load_weights: bool = True

    def __post_init__(self) -> None:
        if self.channels not in get_args(Channels):
            raise UsageError(f"model.backbone.channels must be 1 or 3 (got {self.channels!r})")
        if self.standardize not in get_args(Standardize):
            expected = "weights, picture or picture_clipped"
            raise UsageError(f"model.backbone.standardize must be {expected} (got {self.standardize!r})")
        if self.stem not in get_args(Stem):
            raise UsageError(f"model.backbone.stem must be stock or small (got {self.stem!r})")
        if self.size_px is not None and self.size_px < MIN_SIZE_PX:
            raise UsageError(
                f"model.backbone.size_px must be {MIN_SIZE_PX} or more (got {self.size_px}); "
                "smaller pictures are enlarged"
            )

    @property
    def is_random(self) -> bool:
        """Whether training starts from random weights."""
        return resolve(self.weights, self.name).is_random

    def without_weights(self) -> "BackboneSpec":
        """Give the same backbone to be filled from a checkpoint: no file of weights is looked for."""
        return replace(self, load_weights=False)
