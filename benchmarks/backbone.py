"""dlib's face-recognition ResNet in torch against dlib itself: the largest difference, and pictures a second."""

import dlib
import numpy as np
import skimage.data
import torch

import align
from train.backbones import BackboneSpec, create_backbone

from ._timing import compare, show

COUNT = 32


def main() -> None:
    """Print the largest difference of any of the 128 numbers over real and random chips, and both speeds."""
    astronaut = skimage.data.astronaut()
    face = align.find_faces(astronaut)[0]
    chip = align.align_face(astronaut, face, align.CropSpec(template="arcface", size=150)).image
    noise = np.random.default_rng(0).integers(0, 256, (COUNT - 1, 150, 150, 3), dtype=np.uint8)
    chips = [chip, *noise]
    theirs = dlib.face_recognition_model_v1(str(align.find_model("dlib_face_recognition_resnet_model_v1.dat")))
    ours = create_backbone(BackboneSpec("dlib_face_resnet")).eval()
    batch = torch.from_numpy(np.stack(chips)).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)

    def run_ours() -> np.ndarray:
        with torch.inference_mode():
            return ours(batch).numpy()

    def run_theirs() -> np.ndarray:
        return np.asarray(theirs.compute_face_descriptor(chips))

    print(f"largest difference over {COUNT} chips: {np.abs(run_ours() - run_theirs()).max():.1e}")
    seconds = compare({"torch": run_ours, "dlib": run_theirs}, rounds=3)
    show(f"descriptors of {COUNT} chips of 150 px", seconds, COUNT, "chips")
