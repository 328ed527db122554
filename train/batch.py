"""What travels from the data to the model at each step."""

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Batch(NamedTuple):
    """A batch of crops.

    Attributes:
        images: uint8 [N, 3, H, W], RGB; float, 0 to 255, once augmented.
        targets: float32 [N, outputs], in the columns of `Tasks`; NaN where a face has no label of a task. A class is a
            row of probabilities: 1 for its own, or mixed ones. Padding has no label at all.
        rows: int64 [N], the place in the split.
        copies: int64 [N], which of its fixed copies stands for the face; 0 is the face as it is.
        valid: bool [N], False for the padding that evens out ranks: it counts in no loss and no metric.
    """

    images: Tensor
    targets: Tensor
    rows: Tensor
    copies: Tensor
    valid: Tensor


def derived_seed(*parts: int) -> int:
    """Derive one seed from several numbers, for example (seed, epoch, rank): a resumed run derives the same."""
    entropy = np.random.SeedSequence([abs(part) for part in parts]).generate_state(1, dtype="uint64")[0]
    return int(entropy) >> 1
