"""How a network wants its pictures; it travels with the weights."""

from dataclasses import dataclass
from typing import Literal

RGB = tuple[float, float, float]
Order = Literal["rgb", "bgr"]
Channels = Literal[1, 3]
Standardize = Literal["weights", "picture", "picture_clipped"]


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its pictures.

    Attributes:
        size_px: Height and width of the square input.
        mean: Subtracted, always listed R, G, B, on the scale 0 to 255.
        std: Divided by after that, always listed R, G, B, on the scale 0 to 255.
        order: In which order the network takes the three channels.
        channels: 3, or 1 for the luma of the picture, normalized by the averages of `mean` and `std`.
        standardize: `weights` takes `mean` and `std`; `picture` each picture's own over all its values, the deviation
            no less than that of one step of one value (TensorFlow's `per_image_standardization`); `picture_clipped`
            then cuts what is below 0 and above 1 off: a fault of a published system, for reproduction.
        template: The alignment the weights were trained on, a name of `align.TEMPLATES`; None where it is none of them.
    """

    size_px: int
    mean: RGB
    std: RGB
    order: Order = "rgb"
    channels: Channels = 3
    standardize: Standardize = "weights"
    template: str | None = None
