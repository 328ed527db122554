"""Augmented batches of 112-px faces on two cores: ours from the pack against PIL folder loaders, in one run."""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import transforms as v1

import align
from train.augment import Augment, AugmentSpec
from train.pack import PackRow, open_pack
from train.samplers import RepeatSampler

from ._faces import read_index
from ._timing import compare, show

SIZE_PX, BATCH, CORES = 112, 128, 2
SPEC = AugmentSpec(shear_deg=5, noise=0.03, erase=0.25, low_resolution=0)
"""What both sides do; the peers have no loss of resolution."""


class Noise(nn.Module):
    """Gaussian noise on float pictures, 0 to 1, of a deviation of its own for each picture."""

    def forward(self, image: Tensor) -> Tensor:
        """Add it."""
        return (image + torch.randn_like(image) * (torch.rand(()) * SPEC.noise)).clamp(0, 1)


def write_faces(folder: Path, count: int) -> None:
    """Cut faces out of the photos, each time a little otherwise, until there are so many."""
    rng = np.random.default_rng(0)
    found = []
    for photo in [photo for photo in read_index() if photo.set_name == "london"][:60]:
        image = align.load_image(photo.path)
        found += [(image, face) for face in align.find_faces(image)[:1] if face.eyes is not None]
    spec = align.CropSpec(template="arcface", size=SIZE_PX)
    (folder / "face").mkdir()
    for number, (image, face) in enumerate(islice(cycle(found), count)):
        crop = align.align_face(image, face, spec)
        jitter = np.array([[1, 0, 0], [0, 1, 0]]) + rng.normal(0, [0.03, 0.03, 2], (2, 3))
        moved = align.warp(crop.image, jitter, (SIZE_PX, SIZE_PX))
        Image.fromarray(moved).save(folder / "face" / f"{number:05d}.png")


def pil_transform() -> Callable[[Image.Image], Tensor]:
    """Make torchvision's transforms of the same effect on PIL pictures."""
    zoom = 1 + SPEC.zoom
    return v1.Compose(
        [
            v1.RandomHorizontalFlip(SPEC.flip),
            v1.RandomAffine(
                SPEC.rotate_deg,
                (SPEC.shift, SPEC.shift),
                (1 / zoom, zoom),
                SPEC.shear_deg,
                InterpolationMode.BILINEAR,
            ),
            v1.ColorJitter(SPEC.brightness, SPEC.contrast),
            v1.RandomGrayscale(SPEC.grey),
            v1.RandomApply([v1.GaussianBlur(9, (0.01, SPEC.blur_sigma_px))], SPEC.blur),
            v1.ToTensor(),
            Noise(),
            v1.RandomErasing(SPEC.erase, (SPEC.erase_area / 16, SPEC.erase_area), value="random"),
        ]
    )


def tensor_transform() -> Callable[[Image.Image], Tensor]:
    """Make torchvision's transforms of the same effect on tensors (v2)."""
    zoom = 1 + SPEC.zoom
    return v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomHorizontalFlip(SPEC.flip),
            v2.RandomAffine(
                SPEC.rotate_deg,
                (SPEC.shift, SPEC.shift),
                (1 / zoom, zoom),
                SPEC.shear_deg,
                InterpolationMode.BILINEAR,
            ),
            v2.ColorJitter(SPEC.brightness, SPEC.contrast),
            v2.RandomGrayscale(SPEC.grey),
            v2.RandomApply([v2.GaussianBlur(9, (0.01, SPEC.blur_sigma_px))], SPEC.blur),
            v2.ToDtype(torch.float32, scale=True),
            Noise(),
            v2.RandomErasing(SPEC.erase, (SPEC.erase_area / 16, SPEC.erase_area), value="random"),
        ]
    )


def from_folder(folder: Path, transform: Callable[[Image.Image], Tensor], batches: int) -> Callable[[], None]:
    """Make what takes so many batches from as many worker processes as there are cores.

    That is an epoch of the loader: it fetches nothing ahead that would be worked on while another is timed.
    """
    faces = ImageFolder(str(folder), transform, allow_empty=True)
    sampler = RandomSampler(faces, replacement=True, num_samples=batches * BATCH)
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        faces, BATCH, sampler=sampler, num_workers=CORES, persistent_workers=True
    )
    return lambda: check(images for images, _ in loader)


def from_pack(folder: Path) -> Iterator[Tensor]:
    """Give batches without end, as training draws them."""
    rows = [PackRow(path.stem, path) for path in sorted((folder / "face").iterdir())]
    pack = open_pack(folder, rows, SIZE_PX)
    sampler = RepeatSampler(np.ones(len(pack), dtype=np.int64), seed=0)
    augment = Augment(SPEC)
    for epoch in range(10**9):
        sampler.set_epoch(epoch)
        order = torch.tensor(list(sampler)).split(BATCH)
        for number, rows_of_batch in enumerate(order[: len(pack) // BATCH]):
            yield augment(pack.gather(rows_of_batch), torch.Generator().manual_seed(epoch * len(pack) + number))


def main(*options: str) -> None:
    """Print faces a second of each, and how many times as fast as each peer ours is, round by round."""
    parser = argparse.ArgumentParser("python -m benchmarks loader", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=int, default=3000, help="crops to cut out of the photos")
    parser.add_argument("--batches", type=int, default=40, help="batches of 128 that each takes in a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds after one to warm up")
    chosen = parser.parse_args(options)
    torch.set_num_threads(CORES)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_faces(folder, chosen.faces)
        ours = from_pack(folder)
        runs = {
            "eyeline, from the pack": lambda: check(islice(ours, chosen.batches)),
            "PIL folder, torchvision v1": from_folder(folder, pil_transform(), chosen.batches),
            "PIL folder, torchvision v2": from_folder(folder, tensor_transform(), chosen.batches),
        }
        seconds = compare(runs, chosen.rounds)
    print(f"{CORES} threads or workers, of {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}")
    title = f"{chosen.batches} batches of {BATCH} faces of {SIZE_PX} px, float32, augmented"
    show(title, seconds, chosen.batches * BATCH, "faces")


def check(batches: Iterable[Tensor]) -> None:
    """Take batches, and refuse any that is not what training takes."""
    for images in batches:
        if images.shape != (BATCH, 3, SIZE_PX, SIZE_PX) or images.dtype != torch.float32:
            raise ValueError(f"a loader gave {images.dtype} {tuple(images.shape)}")
