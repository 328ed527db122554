"""Tell faces from other things by one checkpoint, and the emotion of what passed by another; evaluate or predict."""

from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from align import UsageError, console

_CHECKPOINTS = ("face", "emotion", "improved_face", "improved_emotion")


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--face", type=Path, required=True, help="the checkpoint that tells a face from what is none")
    add("--emotion", type=Path, required=True, help="the checkpoint that tells the emotion of a face")
    add("--root", type=Path, required=True, help="the set: the folder that eyeline-curate wrote")
    add("--improved_face", type=Path | None, default=None, help="a better first network, to hold against --face")
    add("--improved_emotion", type=Path | None, default=None, help="a better second network, likewise")
    add(
        "--split",
        type=Literal["train", "val", "test", "all"] | None,
        default=None,
        help="the rows that are looked at; test if not given, all with --predictions",
    )
    add("--face_label", type=str | None, default=None, help="the class of --face that passes; face if not given")
    add(
        "--threshold",
        type=str,
        default="0.5",
        help="the least probability of a face that passes; val or train chooses it there, by the most right answers",
    )
    add("--predictions", action="store_true", help="write predictions.csv and evaluate nothing; needs no labels")
    add("--out", type=Path, default=Path("cascade"), help="the folder of what is written")
    add("--tta", choices=["none", "flip", "ten_crop"], default="none", help="views of each face; answers are averaged")
    add("--batch_size", type=PositiveInt, default=64, help="crops that a network sees at once")
    add("--accelerator", type=str, default="auto", help="as Lightning's trainer takes it: cpu, gpu")
    add("--seed", type=NonNegativeInt, default=0, help="of the resamples that the intervals come from")
    add("--json", action="store_true", help="print one JSON result instead of tables")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..cascade import CascadeSpec, parse_threshold, read_networks
    from ..console import quiet

    given = {name: getattr(arguments, name) for name in _CHECKPOINTS}
    threshold = parse_threshold(arguments.threshold)
    if arguments.predictions:
        _require_one_pair(arguments, threshold)
    spec = CascadeSpec(
        root=arguments.root,
        split=arguments.split or ("all" if arguments.predictions else "test"),
        threshold=threshold,
        tta=arguments.tta,
        batch_size=arguments.batch_size,
        accelerator=arguments.accelerator,
        seed=arguments.seed,
    )
    _require_folder(arguments.out)
    networks = read_networks(given, arguments.face_label)
    with quiet():
        return _predict(networks, spec, arguments) if arguments.predictions else _evaluate(networks, spec, arguments)


def _require_folder(out: Path) -> None:
    """Refuse a place where no folder can be, before networks run for long."""
    found = next((path for path in (out, *out.parents) if path.exists()), Path())
    if not found.is_dir():
        raise UsageError(f"--out {out}: expected a folder, or a place for one (found the file {found}); name another")


def _require_one_pair(arguments: Namespace, threshold: Any) -> None:
    """Refuse what has no meaning where nothing is evaluated."""
    for name in ("improved_face", "improved_emotion"):
        if getattr(arguments, name) is not None:
            raise UsageError(
                f"--predictions: expected --face and --emotion alone (got --{name}); give the improved network in "
                "their place"
            )
    if not isinstance(threshold, float):
        raise UsageError(
            f"--predictions: expected a number as --threshold (got {threshold!r}); an evaluation with --threshold "
            f"{threshold} tells the one to give"
        )


def _predict(networks: Any, spec: Any, arguments: Namespace) -> int:
    from ..cascade import write_predictions

    result = write_predictions(networks, spec, arguments.out)
    if arguments.json:
        console.emit_json(result)
        return console.DONE
    console.emit_text(f"{result['rows']:,} rows, {result['rejected']:,} of them not a face")
    for name, path in result["files"].items():
        console.emit_text(f"{name}: {path}")
    return console.DONE


def _evaluate(networks: Any, spec: Any, arguments: Namespace) -> int:
    from ..cascade import evaluate_cascade, make_report, render, write_matrices
    from ..evaluate import write_report

    report = make_report(evaluate_cascade(networks, spec))
    files = write_matrices(report.record, arguments.out) | write_report(report, render, arguments.out)
    if arguments.json:
        console.emit_json(report.record)
    else:
        _show(report.record, files)
    return console.DONE


def _show(record: dict[str, Any], files: dict[str, str]) -> None:
    """Print how each way to answer does, what the filter is worth, the checks that matter and where the files are."""
    parts, rows = ("faces_rejected", "not_faces_passed", "wrong_emotion"), record["rows"]
    console.emit_table(
        f"{record['split']}: {_many(rows['faces'], 'face')} and {_many(rows['not_faces'], 'non-face')}",
        ("answers", "accuracy", "95 % interval", "F1 macro", "faces lost", "non-faces through", "wrong emotions"),
        [
            (s["title"], s["accuracy_micro"], _ends(s), s["f1_macro"], *(s["errors"][part] for part in parts))
            for s in record["systems"]
        ],
    )
    console.emit_table(
        "the filter",
        ("network", "threshold", "precision", "recall", "faces rejected", "AUC"),
        [
            (f["flag"], f["threshold"], f["precision"], f["recall"], f["faces_rejected"], f["auc"])
            for f in record["filters"]
        ],
    )
    for check in record["leaks"]:
        if check["level"] in ("failed", "warning"):
            console.notice(f"note: {check['text']}")
    for name, path in files.items():
        console.emit_text(f"{name}: {path}")


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _ends(system: dict[str, Any]) -> str:
    found = system["intervals"]["numbers"].get("accuracy_micro")
    return "" if found is None else f"{found[0]:.3f} to {found[1]:.3f}"
