"""What is exported, to where and how."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from align import UsageError

Format = Literal["folders", "csv", "webdataset", "hf", "fiftyone"]
Link = Literal["copy", "hard", "symlink"]
Paths = Literal["relative", "absolute"]
Order = Literal["shuffled", "sorted"]
SIDES = ("train", "val", "test")

_ONLY_FOR = {
    "link": ("folders", "fiftyone"),
    "paths": ("csv",),
    "per_shard": ("webdataset", "hf"),
    "shard_mb": ("webdataset", "hf"),
    "order": ("webdataset", "hf"),
    "seed": ("webdataset", "hf"),
}
_NO_REPEAT = ("fiftyone",)


@dataclass(frozen=True)
class Shards:
    """How files that hold many faces are filled.

    Attributes:
        faces: In one file, at the most.
        megabytes: Of one file, at the most; a face that is larger has a file of its own.
        order: `shuffled`, so that neighbours are not frames of one video; `sorted` by face_id.
        seed: Of the shuffle.
    """

    faces: int = 10_000
    megabytes: int = 500
    order: Order = "shuffled"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.faces < 1 or self.megabytes < 1 or self.seed < 0:
            raise UsageError(
                f"--per-shard and --shard-mb must be 1 or more, --seed 0 or more (got {self.faces}, {self.megabytes}, "
                f"{self.seed})"
            )


@dataclass(frozen=True)
class Export:
    """What is exported, to where and how.

    Attributes:
        out: The set.
        to: The form.
        dest: A folder that is new or empty.
        splits: Which sides; empty = those that the set has.
        repeat: Write a face as often as an epoch shows it; else the number stands beside it.
        link: How crops come to `dest`; none = a hard link where the file system allows, else a copy.
        paths: In a csv, of the crops: relative to `dest`, or absolute.
        shards: How files that hold many faces are filled.
    """

    out: Path
    to: Format
    dest: Path
    splits: tuple[str, ...] = ()
    repeat: bool = False
    link: Link | None = None
    paths: Paths = "relative"
    shards: Shards = field(default_factory=Shards)

    def __post_init__(self) -> None:
        if self.to not in get_args(Format):
            raise UsageError(f"--to must be one of {', '.join(get_args(Format))} (got {self.to!r})")
        for side in self.splits:
            if side not in SIDES:
                raise UsageError(f"--splits must name some of {', '.join(SIDES)} (got {side!r})")
        if self.repeat and self.to in _NO_REPEAT:
            raise UsageError(
                f"--repeat is for other forms (got --to {self.to}); there the field `repeat` says how often a face is "
                f"shown"
            )


def refuse_options(to: str, given: list[str]) -> None:
    """Refuse options that mean nothing for a form.

    Args:
        to: The form.
        given: Options that were given, as they are called in Python.

    Raises:
        UsageError: One is for other forms.
    """
    for option in given:
        if to not in _ONLY_FOR.get(option, (to,)):
            forms = " or ".join(_ONLY_FOR[option])
            raise UsageError(f"--{option.replace('_', '-')} is for --to {forms} (got --to {to}); leave it out")
