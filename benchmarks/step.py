"""Training faces a second at 112 px: from the pack with augmentation against a constant tensor, and timm's own step."""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path

import timm
import torch
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from train.augment import Augment, AugmentSpec
from train.backbones import BackboneSpec, create_backbone
from train.heads import HeadSpec, build_head
from train.pack import Pack, PackRow, open_pack

from ._timing import compare, show
from .loader import write_faces

CLASSES, SIZE_PX = 7, 112
MODELS = ("resnet18", "resnet50")
Batches = Iterator[tuple[Tensor, Tensor]]


class Network(nn.Module):
    """A backbone and a head, from random weights, as `train` builds them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.backbone = create_backbone(BackboneSpec(name, size_px=SIZE_PX))
        self.head = build_head(self.backbone.features, CLASSES, HeadSpec())

    def forward(self, images: Tensor) -> Tensor:
        """Give logits of pictures of 0 to 255."""
        return self.head(self.backbone(images.contiguous(memory_format=torch.channels_last)))


def main(*options: str) -> None:
    """Print faces a second of each model, with and without compiling, and the share of the constant tensor's rate."""
    has_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser("python -m benchmarks step", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=512 if has_gpu else 16)
    parser.add_argument("--steps", type=int, default=50 if has_gpu else 2, help="steps of each in a round")
    parser.add_argument("--faces", type=int, default=4096 if has_gpu else 64, help="crops to cut out of the photos")
    parser.add_argument("--rounds", type=int, default=5 if has_gpu else 3)
    parser.add_argument("--compile", action="store_true", default=has_gpu, help="compiled, too (always on a GPU)")
    chosen = parser.parse_args(options)
    device = torch.device("cuda" if has_gpu else "cpu")
    print(
        f"on {torch.cuda.get_device_name() if has_gpu else f'{torch.get_num_threads()} threads of a CPU: no GPU here'}"
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_faces(folder, chosen.faces)
        rows = [PackRow(path.stem, path) for path in sorted((folder / "face").iterdir())]
        pack = open_pack(folder, rows, SIZE_PX).placed(device)
        for name in MODELS:
            for compiled in (False, True) if chosen.compile else (False,):
                real, constant = from_pack(pack, chosen.batch), constant_batches(chosen.batch, device)
                runs = {
                    "from the pack, augmented": partial(our_steps(name, device, compiled), real, chosen.steps),
                    "from a constant tensor": partial(our_steps(name, device, compiled), constant, chosen.steps),
                    "timm's step, constant tensor": partial(timm_steps(name, device, compiled), constant, chosen.steps),
                }
                title = f"{name}, bf16, channels last, batch {chosen.batch}{', compiled' if compiled else ''}"
                show(title, compare(runs, chosen.rounds), chosen.batch * chosen.steps, "faces")


def from_pack(pack: Pack, batch: int) -> Batches:
    """Give augmented batches without end, on the pack's device."""
    augment = Augment(AugmentSpec(noise=0.03, erase=0.25))
    for number in cycle(range(10**6)):
        generator = torch.Generator().manual_seed(number)
        indices = torch.randint(len(pack), (batch,), generator=generator)
        images = augment(pack.gather(indices), generator)
        yield images, (indices % CLASSES).to(images.device, non_blocking=True)


def constant_batches(batch: int, device: torch.device) -> Batches:
    """Give one batch again and again."""
    return cycle(
        [(torch.rand(batch, 3, SIZE_PX, SIZE_PX, device=device) * 255, torch.arange(batch, device=device) % 7)]
    )


def our_steps(name: str, device: torch.device, compiled: bool) -> Callable[[Batches, int], None]:  # noqa: FBT001
    """Make what trains our network for some steps."""
    network = Network(name)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return _steps(network, optimizer, device, compiled)


def timm_steps(name: str, device: torch.device, compiled: bool) -> Callable[[Batches, int], None]:  # noqa: FBT001
    """Make what trains timm's network by timm's optimizer, as its training script does at each step."""
    network = timm.create_model(name, num_classes=CLASSES)
    return _steps(network, create_optimizer_v2(network, "sgd", 0.01, 5e-4, 0.9), device, compiled)


def _steps(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    compiled: bool,  # noqa: FBT001
) -> Callable[[Batches, int], None]:
    network.to(device, memory_format=torch.channels_last).train()
    if compiled:
        network.compile()
    loss_of = nn.CrossEntropyLoss()

    def run(batches: Batches, steps: int) -> None:
        for _ in range(steps):
            images, labels = next(batches)
            with torch.autocast(device.type, torch.bfloat16):
                loss = loss_of(network(images.contiguous(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run
