"""What a dataset's table in datasets.toml may say: frozen specs that check their own values."""

from dataclasses import asdict, dataclass, field
from typing import Any

from align import Gates

from .settings import GIVEN, NO_DETECTOR, Align, Balance, Dedup, HashName, Identify, Sample, Split, Tracking
from .source import Background, Rename, RowLabel, Sidecar, Source

__all__ = [
    "GIVEN",
    "NO_DETECTOR",
    "Align",
    "Background",
    "Balance",
    "Dataset",
    "Dedup",
    "Gates",
    "HashName",
    "Identify",
    "Rename",
    "RowLabel",
    "Sample",
    "Sidecar",
    "Source",
    "Split",
    "Tracking",
]


@dataclass(frozen=True)
class Dataset:
    """One table of datasets.toml: a data set and how it is curated."""

    source: Source | tuple[Source, ...]
    title: str = ""
    sample: Sample = field(default_factory=Sample)
    align: Align = field(default_factory=Align)
    gates: Gates = field(default_factory=Gates)
    tracking: Tracking = field(default_factory=Tracking)
    dedup: Dedup = field(default_factory=Dedup)
    identify: Identify = field(default_factory=Identify)
    split: Split = field(default_factory=Split)
    balance: Balance = field(default_factory=Balance)
    labels: tuple[str, ...] = ()
    licence: str = ""
    homepage: str = ""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("source must be a table or a list of them (got none)")

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, one or several."""
        return self.source if isinstance(self.source, tuple) else (self.source,)

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults included, in plain values."""
        return asdict(self)
