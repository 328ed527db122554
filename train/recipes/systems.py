"""Whole systems: from raw data to numbers, each a list of commands that a user could type one after the other.

A system is a YAML file of `systems/`: `title`, `source` (what it reproduces), `data` (tables of datasets.toml),
`sample` (the made set that stands in for the data), and `steps`. A step is a command, or `run` (the command) and
`sample` (what is added to it where it runs on the made set). `{root}`, `{out}` and `{workers}` stand for what the user
gives.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from align import UsageError
from curate.registry import load_dataset
from curate.sources import list_units

_FOLDER = "systems"


@dataclass(frozen=True)
class Place:
    """Where a system runs.

    Attributes:
        root: The folder of the data; of the made set it stands below `out`.
        out: All that the system writes.
        workers: Of the commands that share their work out.
        is_sample: Whether it runs on the made set.
    """

    root: Path
    out: Path
    workers: int = 1
    is_sample: bool = False

    def fill(self, text: str) -> str:
        """Put the user's folders, quoted, in place of their names."""
        values = {"root": self.root, "out": self.out, "workers": self.workers}
        return text.format(**{name: shlex.quote(str(value)) for name, value in values.items()})


@dataclass(frozen=True)
class Step:
    """One command of a system.

    Attributes:
        run: The command, with names in braces.
        sample: What is added to it on the made set.
    """

    run: str
    sample: str = ""

    def command(self, place: Place) -> str:
        """Spell the command out, as a user would type it."""
        return place.fill(f"{self.run} {self.sample}".rstrip() if place.is_sample else self.run)

    def key(self, place: Place) -> str:
        """Spell out what decides the command's result: neither where it is written, nor by how many workers."""
        out = Path("{out}")
        root = out / place.root.relative_to(place.out) if place.is_sample else place.root.resolve()
        return self.command(Place(root, out, is_sample=place.is_sample))


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        name: Of its file.
        title: What it does, in one line.
        source: What it reproduces.
        data: The tables of datasets.toml that it reads.
        steps: Its commands, in their order.
        sample: The made set that is laid out as its data; None where it needs no data of the user's.
    """

    name: str
    title: str
    source: str
    data: tuple[str, ...]
    steps: tuple[Step, ...]
    sample: str | None = None

    @property
    def takes_root(self) -> bool:
        """Whether it reads a folder of the user's."""
        return any("{root}" in step.run for step in self.steps)

    def described(self) -> dict[str, str]:
        """Say what it is, what it reproduces, which data it needs and where they are had."""
        sets = {name: load_dataset(name) for name in self.data}
        return {
            "recipe": self.name,
            "title": self.title,
            "source": self.source,
            "data": "; ".join(f"{dataset.title} ({name})" for name, dataset in sets.items()),
            "ask at": "; ".join(sorted({dataset.homepage for dataset in sets.values()})),
        }

    def commands(self, place: Place) -> list[str]:
        """Spell the commands out."""
        return [step.command(place) for step in self.steps]

    def require_data(self, place: Place) -> None:
        """See to it that each source of the data is there, but for what the system itself writes.

        Raises:
            UsageError: One is not; the sentence says where it must lie and where to ask for it.
        """
        for name in self.data:
            if any(step.run.startswith(f"eyeline-curate run {name} --root {{out}}") for step in self.steps):
                continue
            dataset = load_dataset(name)
            for source in dataset.sources:
                try:
                    next(list_units(replace(dataset, source=source), place.root, place.out), None)
                except UsageError as error:
                    offer = "; or try the recipe on a small made set: --sample" if self.sample else ""
                    raise UsageError(f"{self.name}: {error}{offer}") from None


def system_names() -> list[str]:
    """List the systems that ship with the package."""
    names = (entry.name for entry in (files(__package__) / _FOLDER).iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_system(name: str) -> System:
    """Load a system.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in system_names():
        raise UsageError(f"expected one of the recipes {', '.join(system_names())} (got {name!r})")
    said = yaml.safe_load((files(__package__) / _FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    steps = tuple(_step(step) for step in said.pop("steps"))
    return System(name=name, steps=steps, data=tuple(said.pop("data")), **said)


def _step(said: str | Mapping[str, Any]) -> Step:
    return Step(said) if isinstance(said, str) else Step(**said)
