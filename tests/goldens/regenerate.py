"""Write the goldens anew: python -m tests.goldens.regenerate. Look at the difference before you keep it."""

import json
from dataclasses import asdict
from pathlib import Path

import skimage.data

import align
from curate import hashing

GOLDEN = Path(__file__).with_name("astronaut.json")


def measure_astronaut() -> dict:
    """Everything that the way from a photo to a row decides, for one photo."""
    image = skimage.data.astronaut()
    (face,) = align.find_faces(image)
    crop = align.align_face(image, face, align.CropSpec(size=112))
    return {
        **face.record(),
        "matrix": crop.matrix.ravel().tolist(),
        **asdict(align.measure(crop.image)),
        "phash256": hashing.to_hex(hashing.phash([crop.image], bits=256))[0],
        "phash64": hashing.to_hex(hashing.phash([crop.image], bits=64))[0],
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(measure_astronaut(), indent=2, sort_keys=True) + "\n")
