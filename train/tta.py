"""Shows each face in several views at test, and averages what the network answers."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it
from torch import Tensor

from .tasks import Tasks

Views = Literal["none", "flip", "ten_crop"]
"""The face alone; and its mirror image; or five crops (corners and centre) and their mirror images."""

_CROP_SHARE = 7 / 8


def tta_views(images: Tensor, kind: Views) -> Tensor:
    """Make the views of a batch, all of the input's size.

    The crops of `ten_crop` have 7/8 of the side, which keeps the eyes and the mouth of an aligned face in each, and
    are brought back to the full size, so that the network sees the size it was trained at (ten crops as in
    Krizhevsky et al. 2012).

    Args:
        images: [N, C, S, S].
        kind: Which views.

    Returns:
        [V * N, C, S, S], the first view of all pictures first; float32 for `ten_crop`, else of the input's type.
    """
    if kind == "none":
        return images
    if kind == "flip":
        return torch.cat([images, images.flip(3)])
    height, width = images.shape[-2:]
    tall, wide = round(height * _CROP_SHARE), round(width * _CROP_SHARE)
    low, right = height - tall, width - wide
    corners = [(0, 0), (0, right), (low, 0), (low, right), (low // 2, right // 2)]
    crops = torch.cat([images[..., y : y + tall, x : x + wide] for y, x in corners]).float()
    resized = F.interpolate(crops, size=(height, width), mode="bilinear", align_corners=False)
    return torch.cat([resized, resized.flip(3)])


def average(outputs: Tensor, tasks: Tasks, views: int) -> Tensor:
    """Average the answers over the views: probabilities of classes and units, valence and arousal as they are.

    What comes out is again what a network gives, so that metrics and calibration go on from there: the logarithm of
    the classes' mean probabilities, and the logits of the units' mean probabilities.

    Args:
        outputs: float [V * N, outputs], as `tta_views` orders them.
        tasks: Whose columns they are.
        views: V.

    Returns:
        float [N, outputs].
    """
    if views == 1:
        return outputs
    classes, affect, units = (
        part.reshape(views, len(outputs) // views, part.shape[1]) for part in tasks.split(outputs)
    )
    yes, no = (F.logsigmoid(signed).logsumexp(0) for signed in (units, -units))
    log_mean = classes.log_softmax(2).logsumexp(0) if tasks.classes else classes[0]
    return torch.cat([log_mean - torch.tensor(float(views)).log().to(log_mean), affect.mean(0), yes - no], dim=1)
