"""How far each augmentation may go."""

import math
from dataclasses import dataclass, fields

from align import UsageError

_SHARES = {"flip", "grey", "low_resolution", "blur", "shift", "brightness", "noise", "erase", "erase_area"}
_MOST = {"perspective": 0.45, "shear_deg": 80.0}  # beyond, corners meet and pictures fold over


@dataclass(frozen=True)
class AugmentSpec:
    """How far each augmentation may go; 0 turns one off, and all at 0 leave pictures as they are.

    Attributes:
        flip: Probability of mirroring left and right.
        rotate_deg: Largest rotation, either way.
        shift: Largest shift, as a share of the picture's side, either way and axis.
        zoom: Largest change of size: 0.25 means a factor of 1 / 1.25 to 1.25.
        shear_deg: Largest slant of the columns, either way.
        perspective: Largest move of each corner, as a share of the side, either way and axis.
        brightness: Largest change, as a share of white.
        contrast: Largest change of contrast: 0.5 means a factor of 1 / 1.5 to 1.5.
        saturation: Largest change of saturation, likewise.
        grey: Probability of turning grey.
        noise: Largest standard deviation of Gaussian noise, as a share of white; each picture draws its own.
        low_resolution: Probability of shrinking the picture and enlarging it again.
        min_side_px: The smallest side to shrink to.
        blur: Probability of a Gaussian blur.
        blur_sigma_px: Its largest standard deviation.
        erase: Probability of covering a rectangle with grey noise.
        erase_area: The largest share of the picture that it covers; the smallest is a sixteenth of that.
        copies: 0 draws anew each time a face is shown. Above, augmentation is offline: an epoch shows each face as it
            is and so many copies of it, which are drawn once and stay the same for the whole run.
        one_move: Draw rotation, shift, zoom and shear once, for all faces of the whole run; a fault of a published
            system, for reproduction.
    """

    flip: float = 0.5
    rotate_deg: float = 10.0
    shift: float = 0.05
    zoom: float = 0.1
    shear_deg: float = 0.0
    perspective: float = 0.0
    brightness: float = 0.1
    contrast: float = 0.2
    saturation: float = 0.0
    grey: float = 0.1
    noise: float = 0.0
    low_resolution: float = 0.1
    min_side_px: int = 24
    blur: float = 0.1
    blur_sigma_px: float = 2.0
    erase: float = 0.0
    erase_area: float = 1 / 3
    copies: int = 0
    one_move: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            top = 1.0 if field.name in _SHARES else _MOST.get(field.name, math.inf)
            if not 0 <= value <= top:
                raise UsageError(f"data.augment.{field.name} must be a number from 0 to {top:g} (got {value})")
        if not isinstance(self.copies, int):
            raise UsageError(f"data.augment.copies must be an integer >= 0 (got {self.copies})")
        if self.min_side_px < 1:
            raise UsageError(f"data.augment.min_side_px must be an integer >= 1 (got {self.min_side_px})")
