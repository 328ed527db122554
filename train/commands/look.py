"""Draw a model's learnt filters, the activation maps of its layers, and where its answers come from (Grad-CAM)."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from align import UsageError, console


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--ckpt", type=Path, required=True, help="the checkpoint that eyeline-train fit wrote")
    add("--root", type=Path | None, default=None, help="the curated set that faces are taken from")
    add("--out", type=Path, default=Path("look"), help="the folder of the pictures")
    add("--list", action="store_true", help="list the backbone's layers and draw nothing")
    add("--filters", nargs="*", type=str, default=["first"], help="convolutions by name; first; all but those of 1 x 1")
    add("--activations", nargs="*", type=str, default=[], help="layers by name; the layer of Grad-CAM if none is named")
    add("--layer", type=str | None, default=None, help="the layer of Grad-CAM; the last that gives maps if not given")
    add(
        "--targets",
        nargs="*",
        type=str,
        default=[],
        help="what Grad-CAM asks about: true, predicted, a class, valence, arousal, au_12, ...; "
        "predicted and all that is no class if none is named",
    )
    add("--split", choices=["train", "val", "test", "all"], default="test", help="where faces are taken from")
    add("--count", type=int, default=8, help="how many faces, one of each label in turn")
    add("--faces", nargs="*", type=str, default=[], help="faces by face_id, instead of --split and --count")
    add("--channels", type=int, default=8, help="how many of a layer's channels are drawn, the strongest")
    add("--most_filters", type=int, default=64, help="how many filters of a layer, and slices of a filter, are drawn")
    add("--device", type=str, default="cpu", help="where the model runs: cpu or cuda")
    add("--json", action="store_true", help="print one JSON result instead of a table")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..inside import LookSpec, look

    if arguments.list:
        return _list(arguments)
    if arguments.root is None:
        raise UsageError("eyeline-train look: expected --root, the curated set that faces are taken from")
    spec = LookSpec(
        filters=arguments.filters,
        activations=arguments.activations,
        cam_layer=arguments.layer,
        targets=arguments.targets,
        split=arguments.split,
        count=arguments.count,
        face_ids=arguments.faces,
        channels=arguments.channels,
        most_filters=arguments.most_filters,
    )
    result = look(arguments.ckpt, arguments.root, arguments.out, spec, arguments.device)
    if arguments.json:
        console.emit_json(result)
        return console.DONE
    rows = [
        (face["face_id"], face["label"], target, said["column"], said["score"])
        for face in result["faces"]
        for target, said in face["targets"].items()
    ]
    console.emit_table(f"Grad-CAM at {result['cam_layer']}", ("face", "label", "target", "asked", "score"), rows)
    for path in result["files"]:
        console.emit_text(path)
    return console.DONE


def _list(arguments: Namespace) -> int:
    from ..checkpoints import load_model
    from ..inside import find_layers

    layers = list(find_layers(load_model(arguments.ckpt).backbone).values())
    if arguments.json:
        listed = [{"name": x.name, "kind": x.kind, "filters": x.weight, "maps": x.maps} for x in layers]
        console.emit_json({"layers": listed})
        return console.DONE
    rows = [(x.name, x.kind, " x ".join(map(str, x.weight)), " x ".join(map(str, x.maps))) for x in layers]
    console.emit_table("layers, in the order they finish", ("name", "kind", "filters", "maps"), rows)
    return console.DONE
