"""Write what a model says about the faces of photos, videos, streams and cameras: pictures, tables and timelines."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from align import UsageError, console

_ALIGNMENT = {
    "detector": (str, "what finds the faces"),
    "landmarks": (str, "what finds the eyes"),
    "template": (str, "where the eyes stand in the crop"),
    "size": (int, "width and height of the crop in pixels, before it is brought to the model's own"),
    "border": (str, "what is shown where a crop leaves the picture: replicate, reflect, constant"),
    "faces": (str, "all, largest or central"),
    "search": (str, "how hard faces are looked for: one, alike, every"),
    "min_face": (int, "smallest face that is looked for, in pixels"),
    "turns": (bool, "look for lying and overhead faces, too"),
    "follow_s": (float, "seconds for which a face is followed before the whole frame is searched again"),
}
"""The settings of alignment that may be overruled."""


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        type=str,
        help="photos, videos, folders, quoted globs, rtsp:// and http:// addresses, camera:0",
    )
    add("--ckpt", type=Path, required=True, help="the checkpoint that eyeline-train fit wrote")
    add("--face", type=Path | None, default=None, help="a checkpoint that tells faces from other things, asked first")
    add("--face_label", type=str | None, default=None, help="the class of --face that passes; face if not given")
    add(
        "--face_threshold",
        type=float | None,
        default=None,
        help="the least probability of a face that passes; 0.5 if not given",
    )
    add("--out", type=Path, default=Path("annotated"), help="the folder of what is written")
    add("--every", type=int, default=1, help="look at 1 frame in so many; those between show the last answer")
    add("--smooth_s", type=float, default=0.0, help="smooth answers over time, with this time constant in seconds")
    add("--threshold", type=float, default=0.5, help="action units of this probability or more are drawn")
    add("--video", type=bool, default=True, help="write pictures and videos; false writes tables and timelines alone")
    add("--show", action="store_true", help="show the pictures in a window while they are made; q ends")
    add("--duration_s", type=float | None, default=None, help="end after so many seconds of a video, stream or camera")
    add("--font", type=Path | None, default=None, help="a TrueType font for labels that the shipped one cannot write")
    add("--batch_size", type=int, default=32, help="faces that the model sees at once")
    add("--precision", choices=["float32", "bf16"], default="float32", help="numbers that the model computes with")
    add("--tta", choices=["none", "flip", "ten_crop"], default="none", help="views of each face; answers are averaged")
    add("--device", type=str, default="auto", help="where the model runs: auto, cpu, cuda, cuda:1, ...")
    for name, (kind, said) in _ALIGNMENT.items():
        add(f"--{name}", type=kind | None, default=None, help=f"{said}; as in training if not given")
    add("--json", action="store_true", help="print one JSON result instead of a table")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..annotate import Job, Options, annotate
    from ..annotate.alignment import alignment_of
    from ..annotate.answerer import Answerer, choose_device
    from ..annotate.face_filter import open_filter
    from ..annotate.inputs import list_inputs
    from ..checkpoints import load_model, resolve

    for name in ("face_label", "face_threshold"):
        if arguments.face is None and getattr(arguments, name) is not None:
            raise UsageError(f"--{name}: expected --face, the checkpoint that it is about (got none); give it, too")
    named = {name: getattr(arguments, name) for name in Options.__dataclass_fields__}
    options = Options(**named)
    inputs = list_inputs(arguments.paths, options.out)
    path = resolve(str(arguments.ckpt), Path(), "--ckpt")
    device = choose_device(arguments.device)
    model = load_model(path)
    given = {name: getattr(arguments, name) for name in _ALIGNMENT}
    spec = alignment_of(model.alignment, given, path)
    answerer = Answerer(model, device, options)
    face_filter = None
    if arguments.face is not None:
        threshold = 0.5 if arguments.face_threshold is None else arguments.face_threshold
        face_filter = open_filter((arguments.face, path), arguments.face_label, threshold, answerer)
    job = Job(answerer, spec, options, face_filter)
    with console.progress_bar() as bar:
        task = bar.add_task("frames", total=None, note="")
        results = list(annotate(job, inputs, lambda item, done: bar.update(task, completed=done, note=item.source)))
    return _show(results, asdict(spec), arguments)


def _show(results: list[Any], alignment: dict[str, Any], arguments: Namespace) -> int:
    """Print what became of the inputs; give the exit code."""
    if arguments.json:
        inputs = [{"source": r.item.source, "kind": r.item.kind} | _record(r) for r in results]
        console.emit_json({"inputs": inputs, "alignment": alignment})
    else:
        rows = [
            (
                r.item.source,
                r.frames,
                r.faces,
                r.answered,
                r.files.get("video") or r.files.get("picture") or r.files.get("table", ""),
            )
            for r in results
        ]
        console.emit_table("annotated", ("source", "frames", "faces", "answered", "file"), rows)
    for result in results:
        for error in result.errors:
            console.notice(f"failed: {error}")
    if not any(result.files for result in results):
        return console.FAILED
    return console.DONE_WITH_FAILURES if any(result.errors for result in results) else console.DONE


def _record(result: Any) -> dict[str, Any]:
    record = asdict(result)
    del record["item"]
    record["frames_per_s"] = round(result.frames / max(result.seconds, 1e-9), 1)
    return record
