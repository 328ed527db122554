"""The report of a cascade as one HTML page that needs no network, no script and no other file."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import jinja2

from curate import Crops, Tile, page_environment

from ..checkpoints import flatten
from ..evaluate import Report
from ..evaluate.page import number
from .drawings import draw_matrix

_NUMBERS = {
    "accuracy_micro": "Accuracy over all rows",
    "gain": "Gain over the emotion network alone",
    "accuracy_faces": "Accuracy on faces",
    "accuracy_not_faces": "Accuracy on what is not a face",
    "accuracy_macro": "Recall, mean over answers",
    "precision_macro": "Precision, mean over answers",
    "f1_macro": "F1, mean over answers",
    "f1_weighted": "F1, weighted by rows",
}
"""What the summary shows, in this order, and how it is called."""

_ERRORS = {
    "right": ("Right", "emotion of a face, or not a face"),
    "faces_rejected": ("Faces lost to the filter", "answered as not a face"),
    "not_faces_passed": ("Non-faces let through", "answered with an emotion"),
    "wrong_emotion": ("Wrong emotions", "of faces that passed"),
}
"""The parts of the rows, and what they are."""

_FILTER = ("faces", "not_faces", "faces_rejected", "not_faces_passed")


def render(report: Report) -> str:
    """Render the page; every value from outside is escaped by the templates."""
    record = report.record
    networks, systems = record["networks"], record["systems"]
    return _template().render(
        record=record,
        title=" + ".join("/".join(PurePath(networks[name]["checkpoint"]).parts[-3:]) for name in ("face", "emotion")),
        systems=systems,
        checks=report.checks,
        summary=[(_NUMBERS[name], [_cell(system, name) for system in systems]) for name in _NUMBERS],
        matrices=[draw_matrix(system, record["labels"]["answers"]) for system in systems],
        parts=_ERRORS,
        sheets=[(found, _sheets(found, report.crops)) for found in record["filters"]],
        networks=list(networks.items()),
        settings=sorted({**_settings(networks), **flatten(record["settings"], "cascade.")}.items()),
        unreadable=report.crops.unreadable,
    )


@functools.cache
def _template() -> jinja2.Template:
    """Compile the page's templates, once a process."""
    environment = page_environment("train.evaluate")  # its styles and macros
    own = jinja2.PackageLoader(__package__, "templates")
    environment.loader = jinja2.ChoiceLoader([own, *([environment.loader] if environment.loader else [])])
    environment.filters["number"] = number
    return environment.get_template("cascade.html.jinja")


def _cell(system: Mapping[str, Any], name: str) -> tuple[float | None, list[float] | None]:
    """Give a number and its interval."""
    return system[name], system["intervals"]["numbers"].get(name)


def _settings(networks: Mapping[str, Any]) -> dict[str, Any]:
    """List every setting of every network."""
    return {
        f"{name}.{key}": value for name, network in networks.items() for key, value in flatten(network["model"]).items()
    }


def _sheets(found: Mapping[str, Any], crops: Crops) -> Sequence[tuple[str, int, list[Tile]]]:
    """Give the worst of both kinds as tiles: a title, how many there are in all, and the tiles."""
    kinds = {"passed": ("Non-faces let through", "not_faces_passed"), "rejected": ("Faces rejected", "faces_rejected")}
    return [
        (title, found[count], [_tile(example, crops) for example in found["examples"][kind]])
        for kind, (title, count) in kinds.items()
    ]


def _tile(example: Mapping[str, Any], crops: Crops) -> Tile:
    said = f"{example['emotion']} ({100 * example['probability']:.0f} %)"
    lines = [f"face: {100 * example['is_face']:.1f} %", f"emotion: {said}"]
    if example["subject"] is not None:
        lines.append(f"subject {example['subject']}")
    alt = f"{example['face_id']}: {example['truth']}, {lines[0]}"
    return Tile(crops.thumbnail(example["crop"]), alt, example["source"], lines, example["truth"])
