"""Write docs/reference from the code: the commands' own help, the manifest's schema, the keys of datasets.toml."""

import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

from jsonargparse import ArgumentParser

import align.cli
import curate.cli
import train.cli
from curate import config
from curate.manifest import FIELDS
from curate.outcome import DropReason

REFERENCE = Path(__file__).parent / "reference"


def pages() -> dict[str, str]:
    """Make every page of the reference: file name -> Markdown."""
    return {
        "eyeline-align.md": _command_page(align.cli.make_parser()),
        "eyeline-curate.md": _command_page(curate.cli.make_parser()),
        "eyeline-train.md": _command_page(train.cli.make_parser()),
        "manifest.md": _manifest_page(),
        "datasets-toml.md": _registry_page(),
    }


def _command_page(parser: ArgumentParser) -> str:
    lines = [f"# {parser.prog}", "", parser.description or "", ""]
    for name, sub in _subcommands(parser):
        help_text = re.sub(r"\x1b\[[0-9;]*m", "", sub.format_help())
        lines += [f"## {parser.prog} {name}", "", "```", help_text.strip(), "```", ""]
    return "\n".join(lines)


def _subcommands(parser: ArgumentParser) -> Iterator[tuple[str, ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001  jsonargparse has no public listing
        if hasattr(action, "_name_parser_map"):
            yield from action._name_parser_map.items()  # noqa: SLF001


def _manifest_page() -> str:
    lines = [
        "# manifest.parquet",
        "",
        "One row is one face, or one frame or image in which no face was found.",
        "Read it with `curate.read_manifest(OUT)`.",
        "",
        "| column | type |",
        "|---|---|",
        *(f"| {name} | {kind} |" for name, kind in FIELDS.items()),
        "| au_* | float |",
        "",
        "`drop_reason` is null where the row is kept, else one of:",
        "",
        *(f"- `{reason}`" for reason in DropReason),
        "",
    ]
    return "\n".join(lines)


def _registry_page() -> str:
    lines = ["# datasets.toml", "", "One table is one dataset; `eyeline-curate run NAME` takes its name.", ""]
    named = (getattr(config, name) for name in config.__all__)
    for kind in sorted(filter(is_dataclass, named), key=lambda kind: kind is not config.Dataset):
        lines += [f"## {kind.__name__}", "", _docstring(kind), "", "| key | type | default |", "|---|---|---|"]
        hints = get_type_hints(kind)
        for field in fields(kind):
            lines.append(f"| {field.name} | {_type_name(hints[field.name])} | {_default(field, hints[field.name])} |")
        lines.append("")
    return "\n".join(lines)


def _default(field: Field[object], kind: object) -> str:
    if is_dataclass(kind):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    if field.default is not MISSING:
        return f"`{field.default!r}`"
    return "empty" if field.default_factory is not MISSING else "required"


def _docstring(kind: type) -> str:
    summary, _, attributes = (kind.__doc__ or "").partition("Attributes:")
    listed = re.sub(r"^ {8}(\w+): ", r"- `\1`: ", attributes.strip("\n"), flags=re.MULTILINE)
    return "\n\n".join(
        part for part in (re.sub(r"\n +", "\n", summary).strip(), re.sub(r"\n {9,}", "\n  ", listed).strip()) if part
    )


def _type_name(kind: object) -> str:
    name = getattr(kind, "__name__", "") if isinstance(kind, type) and not getattr(kind, "__args__", ()) else str(kind)
    return (
        re.sub(r"\b(typing|curate\.config(\.\w+)?|align\.\w+)\.", "", name)
        .replace("|", "or")
        .replace("NoneType", "None")
    )


def main() -> int:
    """Write the pages; with `--check`, only say whether they are as the code has them."""
    stale = []
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.is_file() or path.read_text() != text:
            stale.append(name)
        if "--check" not in sys.argv:
            REFERENCE.mkdir(exist_ok=True)
            path.write_text(text)
    if "--check" in sys.argv and stale:
        sys.stderr.write(f"docs/reference: out of date: {', '.join(stale)}; run make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
