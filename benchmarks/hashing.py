"""pHash of 112-px crops against imagehash, one process, with the bits compared."""

import imagehash
import numpy as np
from PIL import Image

from curate import hashing

from ._timing import compare, show

COUNT = 1000


def main() -> None:
    """Print hashes a second for 64 and 256 bits, from a stack and from a list of PIL images."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (COUNT, 14, 14, 3), dtype=np.uint8)
    crops = np.stack([np.asarray(Image.fromarray(s).resize((112, 112), Image.Resampling.BICUBIC)) for s in small])
    pictures = [Image.fromarray(crop) for crop in crops]
    for bits, size in ((64, 8), (256, 16)):
        wanted = [str(imagehash.phash(picture, hash_size=size)) for picture in pictures]
        same = hashing.to_hex(hashing.phash(crops, bits)) == wanted == hashing.to_hex(hashing.phash(pictures, bits))
        seconds = compare(
            {
                "eyeline, a stack": lambda bits=bits: hashing.phash(crops, bits),
                "eyeline, PIL images": lambda bits=bits: hashing.phash(pictures, bits),
                "imagehash": lambda size=size: [imagehash.phash(picture, hash_size=size) for picture in pictures],
            }
        )
        show(f"pHash, {bits} bits, {COUNT} RGB crops of 112 px; same bits: {same}", seconds, COUNT, "crops")
