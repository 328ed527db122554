"""The recipes that ship with the package: YAML files that `--config` takes by name."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from align import UsageError

CONFIG_FLAGS = ("--config", "-c")


def recipe_names() -> list[str]:
    """List the recipes that ship with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _recipes() if entry.name.endswith(".yaml"))


def _recipes() -> list[Any]:
    return list(files(__package__).iterdir())


def with_recipe_paths(arguments: Sequence[str]) -> list[str]:
    """Put the path of the shipped recipe in place of its name after `--config`; an existing file wins.

    Raises:
        UsageError: Neither a file nor a recipe has the name.
    """
    out: list[str] = []
    expects_config = False
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if expects_config:
            out.append(_config_path(argument))
        elif equals and flag in CONFIG_FLAGS:
            out += [flag, _config_path(value)]
        else:
            out.append(argument)
        expects_config = not expects_config and argument in CONFIG_FLAGS
    return out


def grid_path(given: str) -> Path:
    """Give the file of a sweep: an existing one, else the grid of that name that ships with the package.

    Raises:
        UsageError: Neither a file nor a grid has the name.
    """
    grids = {entry.name.removesuffix(".yaml"): entry for entry in (files(__package__) / "grids").iterdir()}
    if Path(given).is_file():
        return Path(given)
    if given in grids:
        return Path(str(grids[given]))
    raise UsageError(f"{given}: expected the YAML of a sweep or one of {', '.join(sorted(grids))} (no such file)")


def _config_path(given: str) -> str:
    if Path(given).is_file():
        return given
    for entry in _recipes():
        if entry.name == f"{given}.yaml":
            return str(entry)
    raise UsageError(f"--config: expected a file or one of the recipes {', '.join(recipe_names())} (got {given!r})")
