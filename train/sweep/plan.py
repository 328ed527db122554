"""Reads a sweep's YAML and spells its runs out, each with a whole configuration and a name that holds for it alone.

The YAML has `base` (a recipe, a file or values), `set` (values that all runs share), `grid` (dotted key: list, or names
with values), `seeds`, `checkpoint` (which is scored, best or last), `train_faces` (how training faces count in scores,
once or as_shown), `also` (further sets to score on) and `costs`;
docs/how-to/compare.md has an example.
"""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from align import EyelineError, UsageError

from ..recipes import with_recipe_paths
from .options import Asked, Choice, CostSpec, ExtraSet, extra_sets, grid_choices
from .values import Config, dotted, load, mapping, merged, nested

SEED = "seed_everything"
JOB, RESULT = "job.json", "result.json"
"""Of a run's folder: what is to be done, and what came of it, written last."""

_PARTS = ("model", "data", "trainer")
_KEYS = ("base", "set", "grid", "seeds", "checkpoint", "train_faces", "also", "costs")
_CHECKPOINTS = ("best", "last")
_TRAIN_FACES = ("once", "as_shown")
_SLUG_LENGTH = 80
_OURS = {
    "ckpt_path": "a sweep resumes by itself",
    "trainer.default_root_dir": "a sweep gives each run its folder",
    SEED: "seeds go under `seeds`",
    "seeds": "seeds go under `seeds`",
}


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: Of its folder: readable, and ended by a digest of everything that decides the result.
        values: What the grid gives it, by dotted key: a value, or its name where the grid names it.
        seed: Of its weights, order and augmentation.
        config: What `fit` and `test` are given.
    """

    name: str
    values: dict[str, Any]
    seed: int
    config: Config


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Attributes:
        keys: The dotted keys of the grid, in the file's order.
        seeds: At least one.
        checkpoint: `best` or `last`.
        train_faces: How a training face counts in the training split's numbers: `once`, or `as_shown`, as often as an
            epoch shows it; a fault of a published study, for reproduction.
        runs: In the order of the grid, the last key fastest, seeds fastest of all.
        also: Further sets, by name, whose test part each checkpoint is scored on.
        costs: How the networks' speed is measured; None does not.
    """

    keys: tuple[str, ...]
    seeds: tuple[int, ...]
    checkpoint: str
    train_faces: str
    runs: tuple[Run, ...]
    also: Mapping[str, ExtraSet] = field(default_factory=dict)
    costs: CostSpec | None = None


def read_plan(file: Path, root: Path | None = None, over: Asked = Asked()) -> Plan:  # noqa: B008 - frozen
    """Read a sweep's YAML.

    Args:
        file: The YAML.
        root: The curated set; None takes `data.root` of the configuration.
        over: What the command line says beside the file, and wins.

    Raises:
        UsageError: The file is missing or says something else than a sweep.
        EyelineError: The curated set is not there.
    """
    asked = mapping(load(file), str(file))
    for key in asked:
        if key not in _KEYS:
            raise UsageError(f"{file}: expected the keys {', '.join(_KEYS)} (got {key!r})")
    in_file = {} if asked.get("grid") is None else asked["grid"]
    grid = grid_choices({**mapping(in_file, f"{file}: grid"), **over.grid}, file)
    seeds = _seeds(asked.get("seeds", [0]), file)
    scored = (_word(asked, "checkpoint", _CHECKPOINTS, file), _word(asked, "train_faces", _TRAIN_FACES, file))
    shared = merged(_base(asked.get("base"), file), nested(mapping(asked.get("set") or {}, f"{file}: set")))
    shared = merged(shared, nested(over.values))
    seed = shared.pop(SEED, 0)  # a recipe's own
    if "seeds" not in asked and isinstance(seed, int) and not isinstance(seed, bool):
        seeds = (seed,)
    _require_parts(shared, file)
    if root is not None:
        shared = merged(shared, nested({"data.root": str(root)}))
    _refuse_ours([*dotted(shared), *grid], file)
    _refuse_overruled(over.values, grid)
    runs = _runs(shared, grid, seeds, scored, file)
    also = {**mapping(asked.get("also") or {}, f"{file}: also"), **over.also}
    extra = extra_sets(also, file, lambda place: _digest_of_set(str(place), file))
    costs = CostSpec.read(asked.get("costs") if over.costs is None else over.costs, file)
    return Plan(tuple(grid), seeds, *scored, runs, extra, costs)


def _word(asked: Config, key: str, words: tuple[str, str], file: Path) -> str:
    """Read a key that has one of two words, the first where it is left out."""
    word = asked.get(key, words[0])
    if word not in words:
        raise UsageError(f"{file}: {key} must be {' or '.join(words)} (got {word!r})")
    return str(word)


def _runs(
    shared: Config, grid: Mapping[str, Sequence[Choice]], seeds: Sequence[int], scored: tuple[str, str], file: Path
) -> tuple[Run, ...]:
    """Spell out every combination with every seed."""
    digests: dict[str, str] = {}
    runs = []
    for chosen in itertools.product(*grid.values()):
        values = {key: choice.shown for key, choice in zip(grid, chosen, strict=True)}
        config = merged(shared, nested({key: choice.value for key, choice in zip(grid, chosen, strict=True)}))
        _require_parts(config, file)
        root = str((config.get("data") or {}).get("root") or "")
        if root not in digests:
            digests[root] = _digest_of_set(root, file)
        for seed in seeds:
            own = merged(config, {SEED: seed})
            runs.append(Run(_name(values, seed, [own, digests[root], *scored]), values, seed, own))
    return tuple(runs)


def _base(base: Any, file: Path) -> Config:
    if isinstance(base, str):
        (_, path) = with_recipe_paths(["--config", base])
        return nested(mapping(load(Path(path)), path))
    return nested(mapping(base or {}, f"{file}: base"))


def _seeds(seeds: Any, file: Path) -> tuple[int, ...]:
    whole = isinstance(seeds, list) and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UsageError(f"{file}: seeds must be a list of integers >= 0, each once (got {seeds!r})")
    return tuple(seeds)


def _require_parts(config: Config, file: Path) -> None:
    for part in _PARTS:
        mapping(config.get(part) or {}, f"{file}: {part}")


def _refuse_ours(keys: list[str], file: Path) -> None:
    for key in keys:
        if reason := _OURS.get(key):
            raise UsageError(f"{file}: leave out {key}: {reason}")


def _refuse_overruled(values: Mapping[str, Any], grid: Mapping[str, Sequence[Choice]]) -> None:
    """Refuse a value of the command line that the grid would overrule in silence."""
    given = _leaves(nested(values))
    for key, choices in grid.items():
        for choice in choices:
            if both := given & _leaves(nested({key: choice.value})):
                raise UsageError(
                    f"--set {min(both)}: expected a key that the grid leaves alone (found it in grid.{key}); give "
                    "--grid its values instead"
                )


def _leaves(config: Config) -> set[str]:
    keys = dotted(config)
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}


def _digest_of_set(root: str, file: Path) -> str:
    """Digest what a set's manifest says: another set, or the same curated anew, is another sweep."""
    if not root:
        raise UsageError(f"{file}: expected a curated set (found none); give --root, or data.root under `set`")
    try:
        return blake2b((Path(root) / "manifest.parquet").read_bytes(), digest_size=8).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        raise EyelineError(
            f"{root}: expected a curated set (no manifest.parquet); make one with: eyeline-curate"
        ) from None


def _name(values: Mapping[str, Any], seed: int, decides: list[Any]) -> str:
    try:
        text = json.dumps(decides, sort_keys=True)
    except TypeError as error:
        raise UsageError(f"the sweep's values must be plain numbers, texts, lists and mappings ({error})") from None
    parts = [*(f"{key.rpartition('.')[2]}-{value}" for key, value in values.items()), f"seed-{seed}"]
    slug = "_".join(re.sub(r"[^A-Za-z0-9.+]+", "-", part).strip("-.") for part in parts)
    return f"{slug[:_SLUG_LENGTH]}-{blake2b(text.encode(), digest_size=5).hexdigest()}"
