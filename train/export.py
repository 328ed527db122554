"""Writes a trained model as one file that runs without eyeline: ONNX, TorchScript, or torch.export's own format.

The file takes pictures as they are, RGB of 0 to 255, and gives what a user reads; preprocessing stands inside it, and
what a caller must know (classes, size, alignment) stands in its metadata. Nothing is written that was not read back
and held against the model first.
"""

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from align import EyelineError, UsageError, replacing

from .checkpoints import load_model
from .module import FaceModel
from .pack import pack
from .rows import read_rows, select

Format = Literal["onnx", "torchscript", "pt2"]
Input = Literal["uint8", "float32"]
Runner = Callable[[Tensor], list[NDArray[np.float32]]]

INPUT, METADATA = "images", "eyeline.json"
TOLERANCE = 1e-4
_BATCHES = (1, 2, 5)
_MOST_CROPS = 32
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class ExportSpec:
    """What to write.

    Attributes:
        to: `onnx`; `torchscript`, which torch has deprecated; or `pt2`, torch.export's format, which takes its place.
        input: Type of the pictures.
        tolerance: The greatest difference to the model that is accepted, in any number of any answer.
    """

    to: Format = "onnx"
    input: Input = "uint8"
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if self.to not in get_args(Format):
            raise UsageError(f"--to must be one of {', '.join(get_args(Format))} (got {self.to!r})")
        if self.input not in get_args(Input):
            raise UsageError(f"--input must be one of {', '.join(get_args(Input))} (got {self.input!r})")
        if not self.tolerance > 0:
            raise UsageError(f"--tolerance must be above 0 (got {self.tolerance})")


class Answers(nn.Module):
    """A trained model from pictures to what a user reads.

    Args:
        model: In evaluation mode.

    Attributes:
        names: The outputs, in order: `classes` (probabilities), `affect` (valence and arousal, -1 to 1), `units`
            (probabilities), those that the model has.
    """

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        self.backbone, self.head, self.tasks = model.backbone, model.head, model.tasks
        self.names = model.tasks.kinds

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 or float [N, 3, S, S], RGB, 0 to 255, to one float [N, columns] for each of `names`."""
        classes, affect, units = self.tasks.split(self.head(self.backbone(images)))
        told = {"classes": classes.softmax(1), "affect": affect.clamp(-1, 1), "units": units.sigmoid()}
        return tuple(told[name] for name in self.names)


def export(checkpoint: Path, out: Path, spec: ExportSpec, root: Path | None = None) -> dict[str, Any]:
    """Write a trained model as one file, read it back and hold it against the model.

    Args:
        checkpoint: Of the model.
        out: The file.
        spec: What to write.
        root: A curated set; some of its crops are then part of the check, beside random pictures.

    Returns:
        `file`, `bytes`, `metadata` and `parity`: for each output the greatest difference that was found, and
        `pictures`, how many were looked at.

    Raises:
        EyelineError: The file's answers differ from the model's, or a package is missing.
    """
    if spec.to == "onnx":
        _require_onnx()
    model = load_model(checkpoint)
    answers = Answers(model).eval()
    metadata = describe(model, spec)
    write, read = _FORMATS[spec.to]
    dtype = getattr(torch, spec.input)
    example = _random(2, model.preprocess.size_px).to(dtype)
    with replacing(out) as temporary, torch.no_grad():
        _write(spec.to, write, (answers, example, temporary), metadata)
        run = read(temporary, answers.names)
        batches = [_random(count, model.preprocess.size_px) for count in _BATCHES]
        batches += [_crops(root, model.preprocess.size_px)] if root else []
        parity = compare(answers, run, [batch.to(dtype) for batch in batches])
        for name, difference in parity.items():
            if not difference <= spec.tolerance:  # NaN is none either
                raise EyelineError(
                    f"{out}: expected the model's answers within {spec.tolerance:g} (found a difference of "
                    f"{difference:.3g} in {name}); nothing was written: export to another format"
                )
    pictures = sum(map(len, batches))
    return {
        "file": str(out),
        "bytes": out.stat().st_size,
        "metadata": metadata,
        "parity": {**parity, "pictures": pictures, "tolerance": spec.tolerance},
    }


def _write(to: Format, write: Callable[..., None], what: tuple[Any, ...], metadata: dict[str, Any]) -> None:
    try:
        write(*what, {name: json.dumps(value) for name, value in metadata.items()})
    except OSError:
        raise
    except Exception as error:  # torch's exporters raise whatever the part of them that stumbled raises
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EyelineError(
            f"--to {to}: expected a network that torch can write as {to} (found: {said}); choose another format"
        ) from error


def describe(model: FaceModel, spec: ExportSpec) -> dict[str, Any]:
    """Put together what a caller must know; the file keeps each value as JSON under its name."""
    size = model.preprocess.size_px
    columns = {"classes": model.tasks.classes, "affect": ["valence", "arousal"], "units": model.tasks.units}
    return {
        "eyeline": version("eyeline"),
        "tasks": asdict(model.tasks),
        "input": {"name": INPUT, "type": spec.input, "shape": ["N", 3, size, size], "order": "RGB", "range": [0, 255]},
        "outputs": {name: columns[name] for name in model.tasks.kinds},
        "size_px": size,
        "alignment": model.alignment,
    }


def compare(answers: Answers, run: Runner, batches: Sequence[Tensor]) -> dict[str, float]:
    """Find the greatest difference of each output between the model and a file; not a number where either gives none.

    Args:
        answers: The model.
        run: The file.
        batches: Pictures [N, 3, S, S], of several N.
    """
    worst = dict.fromkeys(answers.names, 0.0)
    for batch in batches:
        for name, ours, theirs in zip(answers.names, answers(batch), run(batch), strict=True):
            if tuple(ours.shape) != theirs.shape:
                worst[name] = float("inf")
                continue
            difference = np.abs(ours.numpy() - theirs).max()
            worst[name] = float(np.maximum(worst[name], difference))  # NaN stays
    return worst


def _random(count: int, size_px: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, 3, size_px, size_px), dtype=torch.uint8, generator=generator)


def _crops(root: Path, size_px: int) -> Tensor:
    return pack(select(read_rows(root), root, "all", None).paths[:_MOST_CROPS], size_px)


def _require_onnx() -> None:
    missing = [name for name in _ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise EyelineError(
            f"--to onnx: expected the packages {', '.join(_ONNX_PACKAGES)} (found no {', '.join(missing)}); "
            "install them with: pip install 'eyeline[onnx]'"
        )


def _write_onnx(answers: Answers, example: Tensor, path: Path, metadata: dict[str, str]) -> None:
    program: Any = torch.onnx.export(
        answers,
        (example,),
        dynamo=True,
        input_names=[INPUT],
        output_names=answers.names,
        dynamic_shapes=({0: "N"},),
        verbose=False,
    )
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)


def _read_onnx(path: Path, names: Sequence[str]) -> Runner:
    onnxruntime: Any = import_module("onnxruntime")  # ships no types
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda images: list(session.run(list(names), {INPUT: images.numpy()}))


def _write_torchscript(answers: Answers, example: Tensor, path: Path, metadata: dict[str, str]) -> None:
    with warnings.catch_warnings():
        # torch says that TorchScript is deprecated: so do we, in the help and the docs, and it was asked for.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\..* is deprecated.*", category=FutureWarning)
        # What a trace bakes in are sizes, which are fixed; that the batch is not is checked by several of them.
        jit: Any = torch.jit  # most of it has no types
        warnings.filterwarnings("ignore", category=jit.TracerWarning)
        traced = jit.trace(answers, (example,))
        jit.save(traced, str(path), _extra_files={METADATA: _one(metadata)})


def _read_torchscript(path: Path, names: Sequence[str]) -> Runner:  # noqa: ARG001 - one signature for all formats
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\..* is deprecated.*", category=FutureWarning)
        jit: Any = torch.jit
        loaded = jit.load(str(path))
    return lambda images: [output.numpy() for output in loaded(images)]


def _write_pt2(answers: Answers, example: Tensor, path: Path, metadata: dict[str, str]) -> None:
    program = torch.export.export(answers, (example,), dynamic_shapes=({0: torch.export.Dim("N")},))
    torch.export.save(program, path, extra_files={METADATA: _one(metadata)})


def _read_pt2(path: Path, names: Sequence[str]) -> Runner:  # noqa: ARG001 - one signature for all formats
    module = torch.export.load(path).module()
    return lambda images: [output.numpy() for output in module(images)]


def _one(metadata: dict[str, str]) -> str:
    """Put all metadata into one JSON, for formats that keep files rather than names and values."""
    return json.dumps({name: json.loads(value) for name, value in metadata.items()})


_FORMATS: dict[Format, tuple[Callable[..., None], Callable[..., Runner]]] = {
    "onnx": (_write_onnx, _read_onnx),
    "torchscript": (_write_torchscript, _read_torchscript),
    "pt2": (_write_pt2, _read_pt2),
}
