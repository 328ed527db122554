"""List the face-pretrained weights that eyeline knows, with their licences, and which of them are here."""

from jsonargparse import ArgumentParser, Namespace

from align import console

_LONG = ("file", "from")
"""Columns that a terminal has no room for."""


def make_parser() -> ArgumentParser:
    """Make the parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON result instead of a table")
    return parser


def run(arguments: Namespace) -> int:
    """Run the command."""
    from ..weights import cards_table

    columns, rows = cards_table(places=True)
    if arguments.json:
        console.emit_json([dict(zip(columns, row, strict=True)) for row in rows])
        return console.DONE
    shown = [i for i, name in enumerate(columns) if name not in _LONG]
    console.emit_table(
        "Face-pretrained weights", [columns[i] for i in shown], [[row[i] for i in shown] for row in rows]
    )
    console.emit_text("--json also gives each file's name and where it comes from")
    return console.DONE
