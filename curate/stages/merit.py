"""Which of several near-identical crops is the best, and so stays for all of them."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from align import CropSpec

PUBLISHED = {"train": 1, "val": 2, "test": 3}
"""A copy that stands in a published test part stays, whatever its quality: so it is the one in training that goes."""

HALF_SHARPNESS = 100.0
"""Variance of the Laplacian at which a crop has half of the merit that sharpness can give."""

UNKNOWN = 0.5


def merit(rows: pd.DataFrame, spec: CropSpec) -> NDArray[np.float64]:
    """Rate crops, higher is better: first by the published part that they stand in, then by sharp, large and frontal.

    The second is a product of three terms from 0 to 1, so that a crop that is bad in one way is not saved by another:

    - sharp: v / (v + 100) of the Laplacian's variance v. Without a bound, noise would win, which raises v, too.
    - large: the share of the crop's own eye distance that the source has. What is larger is reduced to it and shows no
      more; what is smaller is enlarged, and no sharpening brings back what it lacks.
    - frontal: the cosine of the yaw, the share of a face's width that is seen.

    A term that is not known is a half, so that what is known to be good is preferred, and what is known to be bad not.

    Args:
        rows: With `published_split`, `sharpness`, `interocular_px` and `yaw_deg`.
        spec: Of the crops.

    Returns:
        float64 [N]: 0 to 1, and 1, 2 or 3 more for a published train, val or test.
    """
    sharpness = _numbers(rows, "sharpness")
    left, right = spec.eyes_px
    terms = (
        sharpness / (sharpness + HALF_SHARPNESS),
        np.minimum(_numbers(rows, "interocular_px") / np.hypot(*(right - left)), 1),
        np.cos(np.radians(np.clip(_numbers(rows, "yaw_deg"), -90, 90))),
    )
    published = rows["published_split"].map(PUBLISHED).fillna(0).to_numpy(np.float64)
    product = np.prod([np.where(np.isnan(term), UNKNOWN, term) for term in terms], axis=0)
    return np.asarray(published + product, np.float64)


def _numbers(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return np.asarray(pd.to_numeric(rows[column]).to_numpy(np.float64, na_value=np.nan), np.float64)
