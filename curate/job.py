"""What one run of the command is asked to do."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """What is curated, from where, and into which folder.

    Attributes:
        name: A table of datasets.toml.
        out: The set's folder.
        registry: A datasets.toml of your own.
        root: The folder that the sources' paths are relative to.
        workers: Work units at a time.
        engine: A key of `ENGINES`.
        retry: Do units again in which something failed.
        patience_s: A worker that is at one frame for as long is ended.
    """

    name: str
    out: Path
    registry: Path | None = None
    root: Path = Path()
    workers: int = 1
    engine: str = "local"
    retry: bool = False
    patience_s: float = 300.0
