"""Measures one case, in this process."""

import math
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from ..backbones import BackboneSpec
from ..finetune import FinetuneSpec, parameter_groups
from ..module import FaceModel
from ..schedule import OptimizerSpec, make_optimizer
from ..tasks import Tasks
from .memory import CudaMeter, ProcessMeter
from .plan import Case

_WARM_UP = 3
_LATENCIES = 50
_LATENCIES_MOST = 1000

Step = Callable[[], object]


def measure(case: Case) -> dict[str, Any]:
    """Measure one case.

    Weights are random: they cost as much as others. Pictures stand on the device, so that no loader counts.

    Returns:
        Plain values: the case, the input size, and the figures of `count`, `inference` and `training`.
    """
    if case.threads:
        torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    meter = CudaMeter() if case.device == "cuda" else ProcessMeter()
    model = _model(case).to(case.device)
    size = model.preprocess.size_px
    images = torch.randint(0, 256, (case.batch, 3, size, size), dtype=torch.uint8, device=case.device)
    images = images.contiguous(memory_format=torch.channels_last)
    figures = count(model) | inference(model, images, case)
    figures["inference_memory"] = meter.peak()
    meter.start()
    figures |= training(model, images, case)
    figures["training_memory"] = meter.peak()
    return {**asdict(case), "size_px": size, "threads": torch.get_num_threads(), **figures}


def _model(case: Case) -> FaceModel:
    tasks = Tasks(classes=[f"class {i}" for i in range(case.classes)])
    backbone = BackboneSpec(case.backbone, channels=case.channels, size_px=case.size_px, stem=case.stem)
    model = FaceModel(tasks, backbone.without_weights(), finetune=FinetuneSpec("all" if case.freeze else "none"))
    model.backbone.net.to(memory_format=torch.channels_last)
    return model.eval()


def count(model: FaceModel) -> dict[str, int]:
    """Count what needs no clock.

    Returns:
        `parameters` of backbone and head; `statistics`, the running means and variances of batch norm, which Keras
        counts as parameters that do not train and torch does not; `multiply_adds` for one face; `weights_bytes` of
        the file that torch saves.
    """
    network = nn.ModuleList([model.backbone, model.head])
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    statistics = sum(b.numel() for norm in norms for b in (norm.running_mean, norm.running_var) if b is not None)
    size = model.preprocess.size_px
    face = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=model.device)
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        model(face)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.pt"
        torch.save(network.state_dict(), file)
        weights_bytes = file.stat().st_size
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "statistics": statistics,
        "multiply_adds": flops.get_total_flops() // 2,  # it counts each as two operations
        "weights_bytes": weights_bytes,
    }


def inference(model: FaceModel, images: Tensor, case: Case) -> dict[str, Any]:
    """Measure images/s of whole batches, and the latency of one face."""
    model.eval()

    def answer(batch: Tensor) -> Step:
        def step() -> object:
            with torch.inference_mode(), _autocast(case):
                return model(batch)

        return step

    speeds = _speeds(answer(images), case)
    times = _latencies(answer(images[:1]), case)
    return {
        **_spread("inference_images_per_s", speeds),
        "latency_ms": median(times) * 1e3,
        "latency_p95_ms": times[math.ceil(0.95 * len(times)) - 1] * 1e3,
    }


def training(model: FaceModel, images: Tensor, case: Case) -> dict[str, Any]:
    """Measure images/s of forward, backward and the optimizer's step."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*self\.trainer.*")  # there is none: this is a bare loop
        model.train()
    spec = OptimizerSpec()
    optimizer = make_optimizer(parameter_groups(model.backbone, model.head, model.finetune, spec), spec, spec.lr)
    labels = torch.arange(case.batch, device=images.device) % case.classes
    targets = nn.functional.one_hot(labels, case.classes).float()

    def step() -> object:
        optimizer.zero_grad()
        with _autocast(case):
            loss = model.loss(model(images), targets)["loss"]
        loss.backward()
        return optimizer.step()

    return _spread("training_images_per_s", _speeds(step, case))


def _autocast(case: Case) -> torch.autocast:
    return torch.autocast(case.device, torch.bfloat16, enabled=case.precision == "bf16-mixed")


def _sync(case: Case) -> None:
    if case.device == "cuda":
        torch.cuda.synchronize()


def _speeds(step: Step, case: Case) -> list[float]:
    """Run rounds of steps, each at least `round_s` long, and give images/s of each, ascending."""
    for _ in range(_WARM_UP):
        step()
    _sync(case)
    began = time.perf_counter()
    step()
    _sync(case)
    steps = max(1, math.ceil(case.round_s / (time.perf_counter() - began)))
    speeds = []
    for _ in range(case.rounds):
        began = time.perf_counter()
        for _ in range(steps):
            step()
        _sync(case)
        speeds.append(steps * case.batch / (time.perf_counter() - began))
    return sorted(speeds)


def _latencies(step: Step, case: Case) -> list[float]:
    """Time single faces one by one, for as long as the rounds take together; ascending, in seconds."""
    for _ in range(_WARM_UP):
        step()
    _sync(case)
    times: list[float] = []
    while len(times) < _LATENCIES or (sum(times) < case.rounds * case.round_s and len(times) < _LATENCIES_MOST):
        began = time.perf_counter()
        step()
        _sync(case)
        times.append(time.perf_counter() - began)
    return sorted(times)


def _spread(name: str, values: list[float]) -> dict[str, Any]:
    return {name: median(values), f"{name}_least": values[0], f"{name}_most": values[-1]}
