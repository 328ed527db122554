"""datasets.toml -> `Dataset`; every error names the file, the key, what was expected and what was found."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec

from align import UsageError

from .config import Dataset

LIKE = "like"
"""The key of a table that names another one, all of whose values hold where the table gives none of its own."""


def load_dataset(name: str, registry: Path | None = None) -> Dataset:
    """Load the dataset `name`.

    The shipped registry is extended, and overruled, by `datasets.toml` in the working folder or by `registry`.

    Args:
        name: A table's name.
        registry: A datasets.toml of your own.

    Raises:
        UsageError: No such dataset (the nearest names are offered), a file that is not TOML, a key or value that
            does not fit.
    """
    tables = registry_tables(registry)
    if name not in tables:
        near = difflib.get_close_matches(name, tables, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the registry holds {', '.join(sorted(tables))}"
        where = registry or "datasets.toml"
        raise UsageError(f"{where}: expected a table [{name}] (not found); {hint}")
    path, table = tables[name]
    return parse_dataset(table, f"{path.name}: [{name}]")


def registry_tables(registry: Path | None = None) -> dict[str, tuple[Path, Mapping[str, Any]]]:
    """Read every dataset's table with the file it stands in: the shipped ones, then the user's, which win."""
    own = registry or Path("datasets.toml")
    if registry is not None and not registry.is_file():
        raise UsageError(f"{registry}: expected a registry like datasets.toml (no such file)")
    tables: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for path in (_shipped(), own):
        if path.is_file():
            tables |= {name: (path, table) for name, table in _read_toml(path).items()}
    return {name: (path, _spelled_out(name, tables)) for name, (path, _) in tables.items()}


def _spelled_out(name: str, tables: Mapping[str, tuple[Path, Any]], below: tuple[str, ...] = ()) -> Any:
    """Give a table with what it takes over from the one that it is `like`; its own values win, key by key."""
    path, table = tables[name]
    if not isinstance(table, Mapping) or LIKE not in table:
        return table
    other, where = table[LIKE], f"{path.name}: [{name}].{LIKE}"
    if not isinstance(other, str) or other not in tables:
        raise UsageError(f"{where} must be the name of a table (got {other!r})")
    if other in (name, *below):
        raise UsageError(f"{where} must lead to a table that stands alone (got {other!r}, which leads back here)")
    own = {key: value for key, value in table.items() if key != LIKE}
    return _merged(_spelled_out(other, tables, (name, *below)), own)


def _merged(under: Any, over: Any) -> Any:
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}


def _shipped() -> Path:
    inside = Path(str(files("curate"))) / "datasets.toml"
    return inside if inside.is_file() else inside.parent.parent / "datasets.toml"  # beside the package in a checkout


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected TOML ({error})") from None


def parse_dataset(table: object, where: str) -> Dataset:
    """Validate one table.

    Args:
        table: What TOML gave.
        where: File and table, for the error.

    Raises:
        UsageError: A key or value that does not fit.
    """
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} must be a table (got {table!r})")
    try:
        dataset = msgspec.convert(table, Dataset)
    except msgspec.ValidationError as error:
        raise UsageError(_explain(str(error), table, where)) from None
    for key, near in _unknown_keys(table, dataset):
        hint = f"; did you mean {near}?" if near else ""
        raise UsageError(f"{where}.{key} is not a known key{hint}")
    return dataset


_TOML_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def _explain(message: str, table: Mapping[str, Any], where: str) -> str:
    """Turn msgspec's message into ours: file, key, what was expected, what was found."""
    text, _, path = message.partition(" - at `$")
    keys = re.findall(r"\.(\w+)|\[(\d+)\]", path)
    found: Any = table
    for name, index in keys:
        try:
            found = found[name] if name else found[int(index)]
        except (KeyError, IndexError, TypeError):
            found = None
    key = path.rstrip("`").replace("[...]", "")  # a value of a table: which one, msgspec does not say
    if text.startswith("Invalid enum value"):
        return f"{where}{key} must be one of {_choices(keys)} (got {found!r})"
    if missing := re.match(r"Object missing required field `(\w+)`", text):
        return f"{where}{key}.{missing[1]} is required (not found)"
    if expected := re.match(r"Expected (.+?)(?:, got .+)?$", text):
        what = re.sub(r"\b\w+\b", lambda kind: _TOML_WORDS.get(kind[0], kind[0]), expected[1])
        what = what.replace("`", "").replace(" | ", " or ")
        return f"{where}{key} must be {what} (got {found!r})"
    return f"{where}{key}: {text}"


def _choices(keys: list[tuple[str, str]]) -> str:
    """List the literal values that the field at `keys` takes."""
    kind: Any = Dataset
    for name, _ in keys:
        if not name:
            continue
        holder = next(t for t in _flatten(kind) if hasattr(t, "__dataclass_fields__"))
        kind = get_type_hints(holder, include_extras=True)[name]
    plain = [word for t, word in ((int, "an integer"), (bool, "true or false")) if t in _flatten(kind)]
    values = plain + [repr(v) for t in _flatten(kind) if getattr(t, "__origin__", None) is Literal for v in t.__args__]
    return ", ".join(values) or "the known values"


def _flatten(kind: Any) -> Iterator[Any]:
    """Yield a type and, of a union or a tuple, its members."""
    yield kind
    if getattr(kind, "__origin__", None) is not Literal:
        for inner in getattr(kind, "__args__", ()):
            yield from _flatten(inner)


def _unknown_keys(table: Any, spec: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (key, nearest known key or '') for each key of `table` that the dataclass `spec` has not."""
    if isinstance(spec, tuple) and isinstance(table, list):
        for index, (inner, value) in enumerate(zip(table, spec, strict=True)):
            yield from _unknown_keys(inner, value, f"{prefix.rstrip('.')}[{index}].")
    elif isinstance(table, Mapping) and hasattr(spec, "__dataclass_fields__"):
        known = list(spec.__dataclass_fields__)
        for key, value in table.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                bare = re.fullmatch(r"[\w-]+", key, flags=re.ASCII)  # what TOML writes without quotes
                yield prefix + (key if bare else repr(key)), near[0] if near else ""
            else:
                yield from _unknown_keys(value, getattr(spec, key), f"{prefix}{key}.")
