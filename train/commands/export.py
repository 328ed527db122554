"""Write a trained model as one file that runs without eyeline, and hold it against the model before it is kept."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from align import console


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--ckpt", type=Path, required=True, help="the checkpoint that eyeline-train fit wrote")
    add("--out", type=Path, required=True, help="the file to write")
    add(
        "--to",
        choices=["onnx", "torchscript", "pt2"],
        default="onnx",
        help="onnx; torchscript, which torch has deprecated; pt2, what torch.export writes",
    )
    add("--input", choices=["uint8", "float32"], default="uint8", help="type of the pictures, 0 to 255 in either")
    add("--root", type=Path | None, default=None, help="a curated set whose crops take part in the check")
    add("--tolerance", type=float, default=1e-4, help="the greatest difference to the model that is accepted")
    add("--json", action="store_true", help="print one JSON result instead of a table")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..export import ExportSpec, export

    spec = ExportSpec(arguments.to, arguments.input, arguments.tolerance)
    result = export(arguments.ckpt, arguments.out, spec, arguments.root)
    if arguments.json:
        console.emit_json(result)
        return console.DONE
    parity = result["parity"]
    rows = [(name, ", ".join(columns), parity[name]) for name, columns in result["metadata"]["outputs"].items()]
    title = f"greatest difference to the model over {parity['pictures']} pictures"
    console.emit_table(title, ("output", "columns", "difference"), rows)
    console.emit_text(f"{result['file']}: {result['bytes'] / 1e6:.1f} MB")
    return console.DONE
