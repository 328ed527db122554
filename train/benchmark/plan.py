"""What is to be measured: a list of backbones at sizes, on devices, at precisions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from align import UsageError

Device = Literal["cpu", "cuda"]
Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Case:
    """One measurement; it runs in a process of its own.

    Attributes:
        backbone: A name of ours or of timm's.
        size_px: Height and width of the input; None is the backbone's own.
        device: `cpu` or `cuda`.
        precision: `32-true` or `bf16-mixed`, as the trainer names them.
        batch: Faces a step.
        classes: Outputs of the head.
        freeze: Whether training leaves the backbone alone.
        channels: Of the network's input, 3 or 1.
        stem: `stock` or `small`.
        rounds: Each speed is measured so many times; the median counts.
        round_s: Seconds that a round takes at least.
        threads: Of torch on the CPU; None is its own choice.
    """

    backbone: str
    size_px: int | None
    device: Device
    precision: Precision
    batch: int = 32
    classes: int = 7
    freeze: bool = False
    channels: Literal[1, 3] = 3
    stem: Literal["stock", "small"] = "stock"
    rounds: int = 5
    round_s: float = 1.0
    threads: int | None = None

    def __str__(self) -> str:
        size = f"{self.size_px} px" if self.size_px else "own size"
        return f"{self.backbone}, {size}, {self.device}, {self.precision}"


@dataclass(frozen=True)
class BenchmarkSpec:
    """What to measure: every backbone at every size, on every device, at every precision.

    Attributes:
        backbones: Names of ours or of timm's.
        sizes: Heights and widths of the input; empty is each backbone's own.
        devices: `cpu`, `cuda`.
        precisions: `32-true`, `bf16-mixed`.
        common: What holds for all of them; its first four fields are not looked at.
    """

    backbones: Sequence[str]
    sizes: Sequence[int] = ()
    devices: Sequence[Device] = ("cpu",)
    precisions: Sequence[Precision] = ("32-true",)
    common: Case = Case("", None, "cpu", "32-true")

    def __post_init__(self) -> None:
        if not self.backbones:
            raise UsageError("--backbones must name at least one backbone (got none)")
        known = {"devices": get_args(Device), "precisions": get_args(Precision)}
        for name, allowed in known.items():
            for value in getattr(self, name):
                if value not in allowed:
                    raise UsageError(f"--{name} must be of {', '.join(allowed)} (got {value!r})")
        for name in ("batch", "rounds", "threads"):
            value = getattr(self.common, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} must be an integer >= 1 (got {value})")
        if self.common.classes < 2:
            raise UsageError(f"--classes must be an integer >= 2 (got {self.common.classes})")
        if self.common.round_s <= 0:
            raise UsageError(f"--round_s must be above 0 (got {self.common.round_s})")


def cases(spec: BenchmarkSpec) -> list[Case]:
    """List the measurements, in the order in which they were asked for.

    Raises:
        UsageError: CUDA is asked for and not there.
    """
    if "cuda" in spec.devices:
        _require_cuda()
    return [
        replace(spec.common, backbone=name, size_px=size, device=device, precision=precision)
        for name in dict.fromkeys(spec.backbones)
        for size in dict.fromkeys(spec.sizes or (None,))
        for device in dict.fromkeys(spec.devices)
        for precision in dict.fromkeys(spec.precisions)
    ]


def _require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            "--devices: expected a CUDA device that torch can use (found none); use --devices cpu, or check the driver"
        )
