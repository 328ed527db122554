"""Everything that is known of a cascade on a set, in plain values; the files are written as those of `evaluate` are."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from align import replacing
from curate import Check, Crops, read_curation

from ..checkpoints import Checkpoint, run_folder_of
from ..console import notice
from ..evaluate import Report, leaks_from_training, leaks_within, package_versions, worst_first
from ..evaluate.bootstrap import intervals, units_of
from ..evaluate.tallies import Ints, tallies
from ..figures import confusion_figure, save_figure
from ..metrics import confusion, per_class
from ..metrics.classes import class_summary
from ..tasks import Tasks
from .answers import answer
from .examples import MOST, worst_examples
from .numbers import as_outcome, gain_tally, score_filter, split_errors
from .run import Evaluated
from .truth import FACE_ALONE, said_of

_KEYS = ("alone", "filter", "improved")
"""The ways to answer."""


@dataclass(frozen=True)
class _System:
    """One way to answer: the second network alone, or behind a filter.

    Attributes:
        key: Its name in the record.
        title: In words.
        answers: int64 [N], to the rows that have a right answer.
        alone: int64 [N], what its second network says of them.
    """

    key: str
    title: str
    answers: Ints
    alone: Ints


def make_report(evaluated: Evaluated) -> Report:
    """Put all numbers of a cascade together.

    Args:
        evaluated: What its networks said.
    """
    networks, spec, truth = evaluated.networks, evaluated.spec, evaluated.truth
    _tell_of_rows(evaluated)
    checks = _checks(evaluated)
    systems = [_system(evaluated, system) for system in _systems(evaluated)]
    record = {
        "root": str(spec.root),
        "split": spec.split,
        "labels": {**asdict(networks.labels), "answers": networks.labels.names},
        "networks": {name: _network(found) for name, found in networks.all.items()},
        "rows": {
            "answered": len(truth.answered),
            "faces": int((truth.is_face & (truth.true != FACE_ALONE)).sum()),
            "not_faces": int((~truth.is_face).sum()),
            "faces_of_no_emotion": int((truth.true == FACE_ALONE).sum()),
            "left_out": [{"label": label, "rows": count} for label, count in truth.left_out],
        },
        "systems": systems,
        "filters": _filters(evaluated),
        "leaks": [{"level": check.level, "text": check.text, "details": list(check.details)} for check in checks],
        "settings": {
            "threshold": spec.threshold,
            "tta": spec.tta,
            "batch_size": spec.batch_size,
            "accelerator": spec.accelerator,
            "seed": spec.seed,
        },
        "versions": package_versions(),
    }
    return Report(record, checks, Crops(spec.root))


def _tell_of_rows(evaluated: Evaluated) -> None:
    """Say which rows do not count, and why."""
    truth, labels, split = evaluated.truth, evaluated.networks.labels, evaluated.spec.split
    if truth.left_out:
        notice(f"{split} rows that are left out, since no network knows their label: {said_of(truth.left_out)}")
    if alone := int((truth.true == FACE_ALONE).sum()):
        notice(
            f"{split} rows of faces of no known emotion, which count for the filter alone: {alone:,} {labels.face!r}"
        )


def _systems(evaluated: Evaluated) -> Iterator[_System]:
    """Yield the second network alone, behind the filter, and the improved pair."""
    places = evaluated.truth.answered
    titles = [("filter", "With the filter")]
    if evaluated.networks.improved:
        titles.append(("improved", _improved_title(evaluated)))
    for number, (key, title) in enumerate(titles):
        said = evaluated.said[number].take(places)
        if not number:
            yield _System("alone", "Emotion network alone", answer(said, None), said.likeliest)
        yield _System(key, title, answer(said, evaluated.thresholds[number]), said.likeliest)


def _improved_title(evaluated: Evaluated) -> str:
    named = evaluated.networks.all
    changed = [name for name in ("face", "emotion") if f"improved_{name}" in named]
    return "With both improved" if len(changed) == 2 else f"With the {changed[0]} network improved"


def _system(evaluated: Evaluated, system: _System) -> dict[str, Any]:
    """Compute the numbers of one way to answer."""
    truth, labels = evaluated.truth, evaluated.networks.labels
    true, names = truth.true[truth.answered], labels.names
    outcome, tasks = as_outcome(true, system.answers, len(names)), Tasks(names)
    before = evaluated.said[0].take(truth.answered).likeliest
    gain = gain_tally(true, system.answers, before)
    units = units_of(truth.rows.take(truth.answered))
    found = intervals([*tallies(outcome, tasks), gain], units, evaluated.spec.seed)
    scores = per_class(outcome, tasks)
    right, is_face = system.answers == true, true < len(labels.emotions)
    return {
        "key": system.key,
        "title": system.title,
        "rows": len(true),
        **class_summary(outcome, tasks),
        "accuracy_faces": float(right[is_face].mean()),
        "accuracy_not_faces": float(right[~is_face].mean()),
        "gain": None if system.key == "alone" else float(right.mean() - (before == true).mean()),
        "errors": asdict(split_errors(true, system.answers, system.alone, len(labels.emotions))),
        "classes": [asdict(score) for score in scores],
        "absent_classes": [score.name for score in scores if not score.rows],
        "confusion": confusion(outcome, tasks).tolist(),
        "intervals": {
            **units.record(),
            "numbers": {name: list(ends) for name, ends in found.items() if (name, system.key) != ("gain", "alone")},
        },
    }


def _filters(evaluated: Evaluated) -> list[dict[str, Any]]:
    """Compute what each first network is worth at its threshold, and find what it is most wrong about."""
    truth, networks = evaluated.truth, evaluated.networks
    pairs, names = networks.pairs, [*networks.labels.names, networks.labels.face]
    flags = {found.path: f"--{name}" for name, found in networks.all.items()}
    asked = list(zip(_KEYS[1 : 1 + len(pairs)], pairs, evaluated.said, evaluated.thresholds, strict=True))
    if len(pairs) > 1 and pairs[0].face == pairs[1].face and evaluated.thresholds[0] == evaluated.thresholds[1]:
        asked = asked[:1]  # one filter before both second networks
    most = MOST // (2 * len(asked))
    made = []
    for key, pair, said, threshold in asked:
        examples = worst_examples(truth, said, threshold, names, evaluated.spec.root, most)
        score = score_filter(truth.is_face, said.is_face, threshold)
        made.append({"key": key, "flag": flags[pair.face.path], **asdict(score), "examples": asdict(examples)})
    return made


def _network(checkpoint: Checkpoint) -> dict[str, Any]:
    """Say what a network is."""
    return {
        "checkpoint": str(checkpoint.path),
        "global_step": checkpoint.global_step,
        "tasks": asdict(checkpoint.tasks),
        "alignment": checkpoint.alignment,
        "model": checkpoint.hyperparameters,
    }


def _checks(evaluated: Evaluated) -> list[Check]:
    """Look for leaks into what each network was trained on, and for other crops than it was trained on."""
    spec, found = evaluated.spec, leaks_within(evaluated.spec.root)
    align = (read_curation(spec.root).get("config") or {}).get("align") or {}
    for name, checkpoint in evaluated.networks.all.items():
        own = leaks_from_training(spec.root, (spec.split,), run_folder_of(checkpoint.path))
        own += _other_crops(checkpoint, align)
        found += [replace(check, text=f"--{name}: {check.text}") for check in own]
    return worst_first(found)


def _other_crops(checkpoint: Checkpoint, align: dict[str, Any]) -> list[Check]:
    """Warn where the set's crops show another part of the face than those that a network was trained on."""
    trained, here = checkpoint.alignment.get("template"), align.get("template")
    if "none" in (checkpoint.alignment.get("detector"), align.get("detector")) or trained == here or not here:
        return []
    said = "does not say how its training faces were cropped" if trained is None else f"was trained on {trained} crops"
    return [Check("warning", f"The network {said}; those of this set are {here}.", topic="split")]


def write_matrices(record: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draw the confusion matrix of each way to answer as `confusion-<key>.png`; those of a run before this go.

    Returns:
        The path of each file, by its name.
    """
    files = {}
    for key in _KEYS:
        (folder / f"confusion-{key}.png").unlink(missing_ok=True)
    for system in record["systems"]:
        name = f"confusion-{system['key']}.png"
        counts = np.array(system["confusion"], dtype=np.int64)
        title = f"{system['title']}: {system['accuracy_micro']:.1%} of {system['rows']:,} right"
        with replacing(folder / name) as temporary:
            save_figure(confusion_figure(counts, record["labels"]["answers"], title), temporary)
        files[name] = str(folder / name)
    return files
