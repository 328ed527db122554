"""Decode the crops of a set once, or bring what was decoded up to date; every crop and checksum is looked at."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from align import console


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--root", type=Path, required=True, help="the folder that eyeline-curate run --out wrote")
    add("--size", type=int, required=True, help="height and width to decode to, in pixels: the backbone's input")
    add("--pack_dir", type=Path | None, default=None, help="a folder for packs in place of the set's own")
    add("--json", action="store_true", help="print one JSON result instead of a line")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..pack import pack_set

    report = pack_set(arguments.root, arguments.size, None, arguments.pack_dir)
    if arguments.json:
        console.emit_json(vars(report) | {"folder": str(report.folder)})
        return console.DONE
    size = f"{report.faces} faces of {report.size_px} px, {report.bytes / 1e6:,.1f} MB"
    console.emit_text(f"{report.folder}: {size}; {report.decoded} were decoded now")
    return console.DONE
