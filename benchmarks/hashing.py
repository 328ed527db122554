"""pHash of 112-px crops against imagehash, one process, with the bits compared."""

from collections.abc import Sequence
from functools import partial

import imagehash
import numpy as np
from PIL import Image

from curate import hashing

from ._timing import compare, show

COUNT = 1000


def one_by_one(pictures: Sequence[Image.Image], size: int) -> list[imagehash.ImageHash]:
    """Hash as imagehash does."""
    return [imagehash.phash(picture, hash_size=size) for picture in pictures]


def main() -> None:
    """Print hashes a second for 64 and 256 bits, from a stack and from a list of PIL images."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (COUNT, 14, 14, 3), dtype=np.uint8)
    crops = np.stack([np.asarray(Image.fromarray(s).resize((112, 112), Image.Resampling.BICUBIC)) for s in small])
    pictures = [Image.fromarray(crop) for crop in crops]
    for bits, size in ((64, 8), (256, 16)):
        wanted = [str(h) for h in one_by_one(pictures, size)]
        same = hashing.to_hex(hashing.phash(crops, bits)) == wanted == hashing.to_hex(hashing.phash(pictures, bits))
        seconds = compare(
            {
                "eyeline, a stack": partial(hashing.phash, crops, bits),
                "eyeline, PIL images": partial(hashing.phash, pictures, bits),
                "imagehash": partial(one_by_one, pictures, size),
            }
        )
        show(f"pHash, {bits} bits, {COUNT} RGB crops of 112 px; same bits: {same}", seconds, COUNT, "crops")
