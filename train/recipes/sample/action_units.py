"""Action units in small, laid out as DISFA: a video a person, a file a person and unit with each frame's intensity."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .clips import shaken, write_clip
from .portraits import UNITS, Person

PEOPLE = 8
UNITS_AT_ONCE = 2
RISE, HOLD, REST = 2, 7, 3
"""Frames in which an expression comes or goes, stays, and is followed by none: most of a video is near-identical."""

MOST = 5
"""The intensity of a unit that is shown as far as it goes."""

Frame = dict[int, float]
"""The intensity of each unit, 0 to 1, of those that are shown."""


def make(folder: Path) -> None:
    """Write `Videos_LeftCamera/` and `ActionUnit_Labels/`."""
    for number in range(1, PEOPLE + 1):
        rng = np.random.default_rng([number, 12])
        name, frames = f"SN{number:03d}", list(script(rng))
        pictures = (shaken(picture, rng) for picture in drawn(Person(number), frames))
        write_clip(folder / "Videos_LeftCamera" / f"LeftVideo{name}_comp.avi", pictures)
        labels = folder / "ActionUnit_Labels" / name
        labels.mkdir(parents=True)
        for unit in UNITS:
            lines = [f"{at},{round(MOST * frame.get(unit, 0.0))}\n" for at, frame in enumerate(frames, 1)]
            (labels / f"{name}_au{unit}.txt").write_text("".join(lines), encoding="utf-8")


def script(rng: np.random.Generator, rounds: int = 2) -> Iterator[Frame]:
    """Say what a person shows in each frame: every unit `rounds` times, two at once, expressions coming and going."""
    order = np.concatenate([rng.permutation(list(UNITS)) for _ in range(rounds)])
    for units in order.reshape(-1, UNITS_AT_ONCE).tolist():
        full = {unit: float(rng.uniform(0.7, 1.0)) for unit in units}
        if 26 in full:
            full.setdefault(25, 1.0)  # a jaw that drops parts the lips
        rise = np.arange(1, RISE + 1) / (RISE + 1)
        for share in [*rise, *np.ones(HOLD), *rise[::-1], *np.zeros(REST)]:
            yield {unit: float(share) * most for unit, most in full.items()}


def drawn(person: Person, frames: Iterable[Frame]) -> Iterator[NDArray[np.uint8]]:
    """Draw each frame; one that shows what the last one showed is not drawn anew."""
    last: tuple[Frame, NDArray[np.uint8]] | None = None
    for frame in frames:
        if last is None or last[0] != frame:
            last = frame, person.draw(frame)
        yield last[1]
