"""Measures what each distinct network of a sweep costs to run, one after the other, each in a fresh process."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from align import EyelineError, console, write_atomic

from ..parent import command
from .options import CostSpec
from .plan import Plan, Run

Told = Callable[[int, int, str], None]
Figures = dict[str, Any]

DEVICES = ("cpu", "cuda")
_PARTS = ("backbone", "head")


def measure_costs(plan: Plan, out: Path, told: Told | None = None) -> list[dict[str, Figures]]:
    """Measure each distinct network once on each device; what was measured before with the same settings is kept.

    Weights are random: they cost as much as others, and a run that lacks its weights has costs all the same.

    Args:
        plan: The runs; its `costs` says how.
        out: The sweep's folder.
        told: Is told how many are done, of how many, and which is next.

    Returns:
        For each run, in the plan's order, the figures of `benchmark` by device; `error` where one failed.
    """
    spec = plan.costs
    if spec is None:
        return [{} for _ in plan.runs]
    asked = [{device: _job(run, device, spec) for device in _devices(spec)} for run in plan.runs]
    distinct = {_digest(job): job for jobs in asked for job in jobs.values()}
    figures: dict[str, Figures] = {}
    for name, job in distinct.items():
        if told:
            told(len(figures), len(distinct), f"{job['backbone'].get('name', 'backbone')}, {job['device']}")
        figures[name] = _measured(out / "costs" / f"{name}.json", job)
    if told:
        told(len(figures), len(distinct), "")
    return [{device: figures[_digest(job)] for device, job in jobs.items()} for jobs in asked]


def with_costs(results: Sequence[Figures], costs: Sequence[dict[str, Figures]]) -> list[Figures]:
    """Put the costs beside the results of the runs; a measurement that failed is an error of a run that has none.

    Args:
        results: From `sweep`.
        costs: From `measure_costs`.
    """
    joined = []
    for result, figures in zip(results, costs, strict=True):
        failed = [said["error"] for said in figures.values() if "error" in said]
        joined.append({**({"error": failed[0]} if failed else {}), **result, "costs": figures})
    return joined


def _devices(spec: CostSpec) -> Sequence[str]:
    if spec.devices:
        return spec.devices
    import torch

    return DEVICES if torch.cuda.is_available() else DEVICES[:1]


def _job(run: Run, device: str, spec: CostSpec) -> dict[str, Any]:
    from ..benchmark.machine import machine

    model, data = run.config.get("model") or {}, run.config["data"]
    parts = {part: dict(model.get(part) or {}) for part in _PARTS}
    how = {name: value for name, value in asdict(spec).items() if name != "devices"}
    wanted = {"root": str(data["root"]), "tasks": data.get("tasks"), "units": data.get("units")}
    return {**parts, **wanted, "device": device, "how": how, "machine": machine()}


def _digest(job: dict[str, Any]) -> str:
    return blake2b(json.dumps(job, sort_keys=True).encode(), digest_size=8).hexdigest()


def _measured(file: Path, job: dict[str, Any]) -> Figures:
    if file.is_file():
        return dict(json.loads(file.read_text())["figures"])
    ran = subprocess.run(  # noqa: S603 - our own module
        command(f"{__package__}.costs"), input=json.dumps(job), capture_output=True, text=True, check=False
    )
    try:
        figures: Figures = json.loads(ran.stdout)
    except json.JSONDecodeError:
        lines = ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode} and said nothing"]
        figures = {"error": f"costs on {job['device']}: expected figures (found: {lines[-1]})"}
    if "error" not in figures:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps({"job": job, "figures": figures}, indent=2) + "\n")
    return figures


def _measure(job: dict[str, Any]) -> Figures:
    """Measure one network on one device, in this process."""
    import torch

    from ..backbones import BackboneSpec
    from ..benchmark.measure import count, inference
    from ..benchmark.plan import Case
    from ..heads import HeadSpec
    from ..module import FaceModel
    from ..rows import read_rows, read_tasks

    if job["device"] == "cuda" and not torch.cuda.is_available():
        raise EyelineError("costs on cuda: expected a CUDA device that torch can use (found none); leave cuda out")
    root = Path(job["root"])
    tasks = read_tasks(root, read_rows(root), job["tasks"], job["units"])
    torch.manual_seed(0)
    model = FaceModel(tasks, BackboneSpec(**job["backbone"]).without_weights(), HeadSpec(**job["head"]))
    model.backbone.net.to(memory_format=torch.channels_last)
    model.to(job["device"]).eval()
    case = Case("", None, job["device"], "32-true", **job["how"])
    size = model.preprocess.size_px
    images = torch.randint(0, 256, (case.batch, 3, size, size), dtype=torch.uint8, device=case.device)
    return {"size_px": size, **count(model), **inference(model, images, case)}


def main() -> int:
    """Measure the network that stands on stdin as JSON; the figures go to stdout."""
    try:
        console.emit_json(_measure(json.load(sys.stdin)))
    except EyelineError as error:
        console.emit_json({"error": str(error)})
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())
