"""How a network wants its pictures; it travels with the weights."""

from dataclasses import dataclass
from typing import Literal

RGB = tuple[float, float, float]
Order = Literal["rgb", "bgr"]
Channels = Literal[1, 3]


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its pictures.

    Attributes:
        size_px: Height and width of the square input.
        mean: Subtracted, always listed R, G, B, on the scale 0 to 255.
        std: Divided by after that, always listed R, G, B, on the scale 0 to 255.
        order: In which order the network takes the three channels.
        channels: 3, or 1 for the luma of the picture, normalized by the averages of `mean` and `std`.
        template: The alignment the weights were trained on, a name of `align.TEMPLATES`; None where it is none of them.
    """

    size_px: int
    mean: RGB
    std: RGB
    order: Order = "rgb"
    channels: Channels = 3
    template: str | None = None
