"""What a sweep may be asked for beside values: named choices, further sets to score on, and costs to measure."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, get_args

from align import UsageError

from ..benchmark.plan import Device

_TAKEN = ("train", "val", "test")


@dataclass(frozen=True)
class Asked:
    """What the command line says beside a sweep's file; it wins.

    Attributes:
        values: Over `set` and the base, by dotted key.
        grid: Over the keys of `grid`, each as a whole.
        also: Further sets, by name.
        costs: In place of `costs`; None leaves the file's.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, Any] = field(default_factory=dict)
    costs: Any = None


@dataclass(frozen=True)
class Choice:
    """One value of a grid's key.

    Attributes:
        shown: What tables and folders call it.
        value: What the run is given.
    """

    shown: Any
    value: Any


@dataclass(frozen=True)
class ExtraSet:
    """A further set that checkpoints are scored on.

    Attributes:
        root: Its folder.
        digest: Of its manifest: another set, or the same curated anew, is scored anew.
    """

    root: Path
    digest: str


@dataclass(frozen=True)
class CostSpec:
    """How the speed of a sweep's networks is measured.

    Attributes:
        devices: On which; none is the CPU and, where there is one, the GPU.
        batch: Faces a step.
        rounds: Each speed is measured so many times; the median counts.
        round_s: Seconds that a round takes at least.
    """

    devices: tuple[Device, ...] = ()
    batch: int = 32
    rounds: int = 5
    round_s: float = 1.0

    @classmethod
    def read(cls, given: Any, file: Path) -> Self | None:
        """Read `costs`: true, false, or some of the fields.

        Raises:
            UsageError: It is none of these.
        """
        if given is None or isinstance(given, bool):
            return cls() if given else None
        known = [one.name for one in fields(cls)]
        if not isinstance(given, Mapping) or not set(given) <= set(known):
            raise UsageError(f"{file}: costs must be true, false, or some of {', '.join(known)} (got {given!r})")
        spec = cls(**{**given, "devices": tuple(given.get("devices") or ())})
        if not set(spec.devices) <= set(get_args(Device)):
            raise UsageError(f"{file}: costs.devices must be of cpu, cuda (got {list(spec.devices)})")
        for name, kind, said in (
            ("batch", int, "an integer"),
            ("rounds", int, "an integer"),
            ("round_s", float, "a number"),
        ):
            number = getattr(spec, name)
            if isinstance(number, bool) or not isinstance(number, int | kind) or number <= 0:
                raise UsageError(f"{file}: costs.{name} must be {said} above 0 (got {number!r})")
        return spec


def grid_choices(grid: Mapping[str, Any], file: Path) -> dict[str, list[Choice]]:
    """Read a grid: a list of values a key, or names with values.

    Raises:
        UsageError: A key has no values, or one twice.
    """
    return {key: _choices(key, values, file) for key, values in grid.items()}


def _choices(key: str, values: Any, file: Path) -> list[Choice]:
    if isinstance(values, Mapping) and values:
        return [Choice(str(name), value) for name, value in values.items()]
    if not isinstance(values, list) or not values:
        raise UsageError(f"{file}: grid.{key} must be a list of values (got {values!r}), or names with values")
    if len({json.dumps(value, sort_keys=True) for value in values}) < len(values):
        raise UsageError(f"{file}: grid.{key} must name each value once (got {values!r})")
    return [Choice(value, value) for value in values]


def extra_sets(given: Mapping[str, Any], file: Path, digest: Callable[[Path], str]) -> dict[str, ExtraSet]:
    """Read the further sets.

    Args:
        given: Names with the folders of curated sets.
        file: For errors.
        digest: Digests a set's manifest.

    Raises:
        UsageError: A name will not do.
        EyelineError: A set is not there.
    """
    for name, root in given.items():
        if not re.fullmatch(r"[A-Za-z]\w*", name, flags=re.ASCII) or name in _TAKEN or not isinstance(root, str):
            raise UsageError(
                f"{file}: also must be names, other than {', '.join(_TAKEN)}, with folders of curated sets (got "
                f"{name!r}: {root!r})"
            )
    return {name: ExtraSet(Path(root), digest(Path(root))) for name, root in given.items()}
