"""Values as a sweep's file and the command line give them: YAML that loses nothing, dotted keys and nested mappings."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from align import UsageError

Config = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Reads `1e-3` as a number, as the configuration does, and refuses a name that stands twice in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        names = [str(key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.constructor.ConstructorError(
                problem=f"the name {twice[0]!r} twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def parse(text: str, where: str) -> Any:
    """Read YAML.

    Raises:
        UsageError: It is none, or names something twice.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: expected YAML (found: {' '.join(str(error).split())})") from None


def load(file: Path) -> Any:
    """Read a YAML file.

    Raises:
        UsageError: It is not there, or is no YAML.
    """
    try:
        return parse(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError:
        raise UsageError(f"{file}: expected the YAML of a sweep (no such file)") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: expected YAML (found: {error})") from None


def split_pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    """Read `KEY=TEXT` words of the command line.

    Raises:
        UsageError: A word is no such pair, or a key comes twice.
    """
    pairs: dict[str, str] = {}
    for word in given:
        key, equals, text = word.partition("=")
        if not key or not equals or key in pairs:
            raise UsageError(f"{flag} must be KEY=VALUE, each key once (got {word!r})")
        pairs[key] = text
    return pairs


def parse_pairs(given: Sequence[str], flag: str) -> dict[str, Any]:
    """Read `KEY=VALUE` words of the command line; a value is YAML.

    Raises:
        UsageError: A word is no such pair, or a key comes twice.
    """
    return {key: parse(text, f"{flag} {key}") for key, text in split_pairs(given, flag).items()}


def mapping(value: Any, where: str) -> Config:
    """Take a mapping whose keys are texts.

    Raises:
        UsageError: It is something else.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{where}: expected names with values (got {value!r})")
    return value


def nested(values: Mapping[str, Any]) -> Config:
    """Turn dotted keys, also below others, into nested mappings; later ones win.

    >>> nested({"a.b": 1, "a": {"c.d": 2}})
    {'a': {'b': 1, 'c': {'d': 2}}}

    Raises:
        UsageError: A key has nothing before, between or after its dots.
    """
    out: Config = {}
    for key, value in values.items():
        if not all(key.split(".")):
            raise UsageError(f"{key}: expected names between the dots (found none); mend the key")
        inner: Any = nested(value) if isinstance(value, Mapping) else value
        for part in reversed(key.split(".")):
            inner = {part: inner}
        out = merged(out, inner)
    return out


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Config:
    """Lay nested mappings over others; whatever is no mapping replaces what was there."""
    out = dict(under)
    for key, value in over.items():
        mine = out.get(key)
        both = isinstance(mine, Mapping) and isinstance(value, Mapping)
        out[key] = merged(mine, value) if both else value  # type: ignore[arg-type]
    return out


def dotted(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List the dotted keys of nested mappings, those of the mappings included."""
    keys: list[str] = []
    for key, value in config.items():
        keys += [f"{prefix}{key}", *(dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [])]
    return keys
