"""Offline augmentation: of each face some copies that are drawn once and stay the same for the whole run.

Published systems write such copies to disk before training. Here only what is drawn for each is kept, 150 bytes in
place of a picture, and the copy is made again each time that it is shown; its pixels are the same each time.
"""

import torch
from torch import Generator, Tensor

from .apply import Augment, Draws, augment_by


class Copies:
    """The fixed copies of the faces of a split.

    Args:
        augment: Draws what happens to each; its `spec.copies` says how many of each face there are.
        faces: How many faces there are.
        side_px: Of their pictures.
        generator: On the CPU.
    """

    def __init__(self, augment: Augment, faces: int, side_px: int, generator: Generator) -> None:
        self.faces = faces
        self.draws = augment.draw(faces * augment.spec.copies, side_px, generator)

    def __call__(self, images: Tensor, rows: Tensor, copies: Tensor) -> Tensor:
        """Give a batch as it is to be shown.

        Args:
            images: uint8 [N, 3, S, S], RGB.
            rows: int64 [N], the faces' places in the split.
            copies: int64 [N], which copy of each, counted from 1; 0 is the face as it is.

        Returns:
            float32 [N, 3, S, S], 0 to 255.
        """
        out = images.to(torch.float32)
        changed = copies > 0
        if changed.any():
            places = ((copies - 1) * self.faces + rows)[changed].cpu()
            out[changed] = augment_by(images[changed], Draws(*(drawn[places] for drawn in self.draws)))
        return out
