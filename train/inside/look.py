"""Looks inside a trained model and leaves the pictures in one folder."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from align import UsageError, replacing, write_atomic

from ..checkpoints import load_model
from ..figures import save_figure
from ..module import FaceModel
from ..predict import to_values
from ..rows import Split
from ..tasks import AFFECT
from .activations import activation_maps, strongest
from .faces import Faces, choose_faces, default_targets, target_columns
from .figures import Panel, filters_figure, sheet
from .filters import filter_grid
from .gradcam import grad_cam
from .layers import Layer, Layers, find_layers, last_map, layer_named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL, FIRST = "all", "first"


@dataclass(frozen=True)
class LookSpec:
    """What to look at.

    Attributes:
        filters: Names of convolutions; `first` is the first one and `all` every one that sees more than one pixel.
        activations: Names of layers; empty is the layer of Grad-CAM.
        cam_layer: The layer of Grad-CAM; None is the last that gives maps.
        targets: What Grad-CAM asks about; empty is the predicted class, and all else that the model tells.
        split: Where faces are taken from.
        count: How many faces.
        face_ids: The faces, when they are named.
        channels: How many of a layer's channels are shown.
        most_filters: How many filters of a layer, and slices of a filter, are shown.
    """

    filters: Sequence[str] = (FIRST,)
    activations: Sequence[str] = ()
    cam_layer: str | None = None
    targets: Sequence[str] = ()
    split: Split = "test"
    count: int = 8
    face_ids: Sequence[str] = field(default_factory=tuple)
    channels: int = 8
    most_filters: int = 64

    def __post_init__(self) -> None:
        for name in ("count", "channels", "most_filters"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be an integer >= 1 (got {getattr(self, name)})")


Named = tuple[str, "Figure"]


def look(checkpoint: Path, root: Path, out: Path, spec: LookSpec, device: str = "cpu") -> dict[str, Any]:
    """Write a model's filters, activation maps and Grad-CAMs as PNGs into a folder, and `look.json` beside them.

    Args:
        checkpoint: Of the model.
        root: A curated set, which the faces are taken from.
        out: The folder.
        spec: What to look at.
        device: Where to run the model.

    Returns:
        What `look.json` holds: `checkpoint`, `cam_layer`, `faces` (id, label, and for each target its column, answer
        and score) and `files`.

    Raises:
        UsageError: A layer, face or target is not there.
        EyelineError: The checkpoint or the set cannot be read.
    """
    model = load_model(checkpoint, device)
    layers = find_layers(model.backbone)
    wanted = _filters(layers, spec)
    cam_layer = (
        layer_named(layers, spec.cam_layer, "--layer") if spec.cam_layer else last_map(layers, model.backbone.net)
    )
    seen = [layer_named(layers, name, "--activations") for name in spec.activations] or [cam_layer]
    for layer in (cam_layer, *seen):
        if not layer.maps:
            raise UsageError(f"--layer: expected a layer that gives maps (got {layer.name!r}); --list lists them")
    faces = choose_faces(root, model.preprocess.size_px, spec.split, spec.count, spec.face_ids)
    with torch.no_grad():
        outputs = model(faces.images.to(device)).float().cpu()
    columns = {
        target: target_columns(target, model.tasks, outputs, faces)
        for target in spec.targets or default_targets(model.tasks)
    }
    files = _save(_filter_figures(model, wanted, spec), out, "filters")
    files += _save(_activation_figures(model, faces, seen, spec.channels), out, "activations")
    cam_figure, scores = _cam_figure((model, to_values(outputs, model.tasks)), faces, columns, cam_layer)
    files += _save(iter([(cam_layer.name, cam_figure)]), out, "gradcam")
    result = {
        "checkpoint": str(checkpoint),
        "cam_layer": cam_layer.name,
        "faces": [
            {"face_id": face_id, "label": label, "targets": {target: told[i] for target, told in scores.items()}}
            for i, (face_id, label) in enumerate(zip(faces.face_ids, faces.labels, strict=True))
        ],
        "files": files,
    }
    write_atomic(out / "look.json", json.dumps(result, indent=2) + "\n")
    return result


def _filters(layers: Layers, spec: LookSpec) -> list[Layer]:
    convolutions = [layer for layer in layers.values() if layer.weight]
    chosen: list[Layer] = []
    for name in spec.filters:
        if name == ALL:
            chosen += [layer for layer in convolutions if max(layer.weight[2:]) > 1]
        elif name == FIRST:
            chosen += convolutions[:1]
        else:
            chosen.append(layer_named(layers, name, "--filters"))
    for layer in chosen:
        if not layer.weight:
            raise UsageError(
                f"--filters: expected a convolution (got {layer.name!r}, a {layer.kind}); --list lists them"
            )
    return list(dict.fromkeys(chosen))


def _filter_figures(model: FaceModel, chosen: Sequence[Layer], spec: LookSpec) -> Iterator[Named]:
    is_bgr = model.preprocess.order == "bgr"
    for layer in chosen:
        module = model.backbone.net.get_submodule(layer.name)
        assert isinstance(module, nn.Conv2d)  # noqa: S101 - only these have a weight here
        picture, shown = filter_grid(module.weight, spec.most_filters, is_bgr=is_bgr and layer.weight[1] == 3)
        count, width, height, across = layer.weight
        channels = "1 channel" if width == 1 else f"{width} channels"
        title = f"{layer.name}: {len(shown)} of {count} filters {height} x {across}, {channels} each"
        yield layer.name, filters_figure(picture, title)


def _activation_figures(model: FaceModel, faces: Faces, layers: Sequence[Layer], most: int) -> Iterator[Named]:
    images = faces.images.to(model.device)
    for layer in layers:
        maps = activation_maps(model.backbone, images, layer)
        channels = strongest(maps, most)
        rows = [
            [Panel(picture, _named(faces, i)), *(Panel(maps[i, c].numpy(), f"channel {c}") for c in channels)]
            for i, picture in enumerate(_pictures(faces))
        ]
        height, width = layer.maps[1:]
        title = f"{layer.name}: the {len(channels)} strongest of {layer.maps[0]} channels, {height} x {width}"
        yield layer.name, sheet(rows, title)


def _cam_figure(
    asked_of: tuple[FaceModel, Tensor], faces: Faces, columns: dict[str, Tensor], layer: Layer
) -> tuple["Figure", dict[str, list[dict[str, Any]]]]:
    """Draw each face and, for each target, the heat over it; give column, answer and score of each as well."""
    model, values = asked_of
    names, pictures = model.tasks.names, _pictures(faces)
    rows = [[Panel(picture, _named(faces, i))] for i, picture in enumerate(pictures)]
    scores: dict[str, list[dict[str, Any]]] = {}
    images = faces.images.to(model.device)
    for target, chosen in columns.items():
        cam = grad_cam(model, images, chosen, layer)
        asked = [names[int(column)] for column in chosen]
        answers = values.gather(1, chosen[:, None])[:, 0].tolist()
        scores[target] = [
            {"column": name, "answer": answer, "score": score}
            for name, answer, score in zip(asked, answers, cam.score.tolist(), strict=True)
        ]
        for i, picture in enumerate(pictures):
            what = asked[i] if asked[i] == target else f"{target}: {asked[i]}"
            none = "" if cam.peak[i] > 0 else "\nnothing speaks for it"
            told = f"{answers[i]:.2f}" if asked[i] in AFFECT else f"{100 * answers[i]:.0f} %"
            rows[i].append(Panel(picture, f"{what} {told}{none}", cam.heat[i].numpy()))
    return sheet(rows, f"Grad-CAM at {layer.name}"), scores


def _pictures(faces: Faces) -> list[Any]:
    return list(faces.images.permute(0, 2, 3, 1).numpy())


def _named(faces: Faces, i: int) -> str:
    label = faces.labels[i]
    return f"{faces.face_ids[i]}\n{label}" if label else faces.face_ids[i]


def _save(figures: Iterator[Named], out: Path, kind: str) -> list[str]:
    """Save figures one after the other, so that only one is in memory."""
    paths = []
    for name, figure in figures:
        path = out / f"{kind}-{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.png"
        with replacing(path) as temporary:
            save_figure(figure, temporary)
        paths.append(str(path))
    return paths
