"""How near strangers come, and how far copies go, for each hash on real people; and the default radius that follows."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import align
from curate import hashing
from curate.radii import ONE_SIDE, SAME_MOMENT, SAME_PICTURE

from ._faces import read_index, wants_all

CROP = align.CropSpec()
SETS = ("canada", "london")
"""Photos of people; the index has averages of faces and many photos of one person beside."""

EVERY = 4
"""Of one person in so many the copies are measured; of all with --all."""

FACES = 100_000
"""A set of so many people is what expected false pairs are counted for."""

Picture = NDArray[np.uint8]
Edit = Callable[[Picture], Picture]


@dataclass(frozen=True)
class Person:
    """Photos of one person, by expression, and their crops."""

    photos: Mapping[str, Picture]
    crops: Mapping[str, Picture]


def as_jpeg(picture: Picture, quality: int = 50) -> Picture:
    """Store a picture as JPEG and read it again."""
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored).convert("RGB"))


def halved(picture: Picture) -> Picture:
    """Reduce a picture to half its width and height."""
    height, width = picture.shape[:2]
    half: Picture = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return half


def noisy(picture: Picture) -> Picture:
    """Add noise of 5 grey levels."""
    noise = np.random.default_rng(0).normal(scale=5, size=picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def brighter(picture: Picture) -> Picture:
    """Add 25 grey levels."""
    return np.clip(picture.astype(np.int16) + 25, 0, 255).astype(np.uint8)


def moved(shift: float = 0.0, turn_deg: float = 0.0) -> Edit:
    """Make what moves a crop by a share of its width to the right, and turns it about its middle."""

    def edit(crop: Picture) -> Picture:
        height, width = crop.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1)
        matrix[0, 2] += shift * width
        return align.warp(crop, matrix, (width, height))

    return edit


COPIES: dict[str, Edit] = {"JPEG 50": as_jpeg, "half size": halved, "noise 5": noisy, "brighter 25": brighter}
"""Edits of a photo, whose face is then found and aligned anew, as it is where copies lie in a set."""

MOVES: dict[str, Edit] = {"2 px of 112": moved(shift=2 / 112), "2 degrees": moved(turn_deg=2)}
"""Edits of the crop: another detector, or a face that is a little out of line."""


def crop_of(picture: Picture) -> Picture | None:
    """Cut out the face of a picture as ingest does; None where none is found."""
    faces = [face for face in align.find_faces(picture) if face.eyes is not None]
    return align.align_face(picture, faces[0], CROP).image if faces else None


def open_people() -> list[Person]:
    """Load and crop the photos of the shared people."""
    index = read_index()[0].path.parents[1] / "index.csv"
    photos: dict[str, dict[str, Picture]] = {}
    crops: dict[str, dict[str, Picture]] = {}
    with index.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"].split("/")[0] in SETS]
    for row in rows:
        picture = align.load_image(index.parent / row["path"])
        if (crop := crop_of(picture)) is not None:
            photos.setdefault(row["identity"], {})[row["expression"]] = picture
            crops.setdefault(row["identity"], {})[row["expression"]] = crop
    print(f"{len(rows)} photos of {len(photos)} people; {len(rows) - sum(map(len, crops.values()))} without a face")
    return [Person(photos[name], crops[name]) for name in sorted(photos)]


def clips(every: int) -> Iterator[list[Picture]]:
    """Yield the face crops of consecutive frames of some shared clips; frames without a face are left out."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EYELINE_TEST_DATA", beside)) / "faces" / "videos_intel" / "asl_gestures"
    paths = sorted(path for path in folder.glob("*") if path.suffix in {".mkv", ".mp4"})[::every]
    if not paths:
        print(f"no clips at {folder}: neighbours in video are not measured", file=sys.stderr)
    for path in paths:
        with av.open(str(path)) as container:
            frames = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]
        yield [crop for frame in frames if (crop := crop_of(frame)) is not None]


def apart(a: hashing.Words, b: hashing.Words) -> NDArray[np.int64]:
    """Count the bits in which hashes differ, row by row."""
    return np.asarray(np.bitwise_count(a ^ b).sum(axis=-1), np.int64)


def strangers(h: hashing.Words, who: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the distances of all pairs of two people."""
    i, j = np.triu_indices(len(h), 1)
    two = who[i] != who[j]
    return apart(h[i[two]], h[j[two]])


def false_pairs(distances: NDArray[np.int64], radius: int, faces: int = FACES) -> float:
    """Extrapolate how many pairs of strangers lie within a radius among so many faces, one of each person.

    By the normal tail whose middle is the median and whose width is that of the nearer half: the few near pairs that
    were seen say little, and the far half nothing.
    """
    median = float(np.median(distances))
    nearer = distances[distances <= median] - median
    width = float(np.sqrt((nearer**2).mean()))
    return NormalDist(median, width).cdf(radius + 0.5) * faces * (faces - 1) / 2


def at(values: Sequence[int] | NDArray[np.int64], percent: float) -> str:
    """Write a percentile, or a dash where there is nothing."""
    return f"{np.percentile(values, percent):.0f}" if len(values) else "-"


@dataclass(frozen=True)
class Material:
    """Crops whose distances are measured.

    Attributes:
        people: All of them.
        copies: By edit, the crop of the photo and that of the edited photo.
        moves: By edit, the crop and the edited crop.
        clips: Crops of consecutive frames.
    """

    people: Sequence[Person]
    copies: Mapping[str, Sequence[tuple[Picture, Picture]]]
    moves: Mapping[str, Sequence[tuple[Picture, Picture]]]
    clips: Sequence[Sequence[Picture]]


@dataclass(frozen=True)
class Distances:
    """What was measured for one hash, in bits."""

    neutral: NDArray[np.int64]
    all: NDArray[np.int64]
    smiles: NDArray[np.int64]
    copies: Mapping[str, NDArray[np.int64]]
    moves: Mapping[str, NDArray[np.int64]]
    next_frames: NDArray[np.int64]
    fifth_frames: NDArray[np.int64]


def gather(every: int) -> Material:
    """Make the crops."""
    people = open_people()
    some = [person for person in people[::every] if "neutral" in person.crops]
    copies: dict[str, list[tuple[Picture, Picture]]] = {}
    for name, edit in COPIES.items():
        again = [(person.crops["neutral"], crop_of(edit(person.photos["neutral"]))) for person in some]
        copies[name] = [(first, second) for first, second in again if second is not None]
    moves = {name: [(p.crops["neutral"], edit(p.crops["neutral"])) for p in some] for name, edit in MOVES.items()}
    return Material(people, copies, moves, list(clips(every)))


def measure(material: Material, hashed: Callable[[Sequence[Picture]], hashing.Words]) -> Distances:
    """Measure all distances with one hash."""
    neutral = [person.crops["neutral"] for person in material.people if "neutral" in person.crops]
    both = [person.crops for person in material.people if {"neutral", "happy"} <= set(person.crops)]
    everyone = [(who, crop) for who, person in enumerate(material.people) for crop in person.crops.values()]
    h = [hashed(clip) for clip in material.clips]
    none = np.empty(0, np.int64)

    def pairs(some: Sequence[tuple[Picture, Picture]]) -> NDArray[np.int64]:
        return apart(hashed([first for first, _ in some]), hashed([second for _, second in some]))

    return Distances(
        strangers(hashed(neutral), np.arange(len(neutral))),
        strangers(hashed([crop for _, crop in everyone]), np.array([who for who, _ in everyone])),
        pairs([(crops["neutral"], crops["happy"]) for crops in both]),
        {name: pairs(some) for name, some in material.copies.items()},
        {name: pairs(some) for name, some in material.moves.items()},
        np.concatenate([none, *(apart(clip[1:], clip[:-1]) for clip in h)]),
        np.concatenate([none, *(apart(clip[5:], clip[:-5]) for clip in h)]),
    )


def show(name: str, found: Distances) -> None:
    """Print what was measured for one hash and what its default radii take."""
    bits = int(name[-3:]) if name.endswith("256") else 64
    everything = np.concatenate([*found.copies.values()])
    misaligned = np.concatenate([*found.moves.values()])
    print(f"\n{name}")
    lines = {
        "strangers, neutral": found.neutral,
        "strangers, all photos": found.all,
        "one person, neutral and smile": found.smiles,
        "copies of the photo": everything,
        **{f"  {edit}": distances for edit, distances in found.copies.items()},
        "crops out of line": misaligned,
        **{f"  {edit}": distances for edit, distances in found.moves.items()},
        "next frame of a clip": found.next_frames,
        "fifth frame of a clip": found.fifth_frames,
    }
    print(f"  {'bits apart':32}{'pairs':>8}{'least':>7}{'p1':>6}{'p5':>6}{'median':>8}{'p95':>6}{'p99':>6}{'most':>6}")
    for title, values in lines.items():
        row = "".join(f"{at(values, percent):>{width}}" for percent, width in ((0, 7), (1, 6), (5, 6), (50, 8)))
        row += "".join(f"{at(values, percent):>6}" for percent in (95, 99, 100))
        print(f"  {title:32}{len(values):8d}{row}")
    print(f"  {'radius':>8}{'copies':>9}{'moved':>8}{'next':>7}{'smiles':>8}{'strangers':>11}  of 100,000 people")
    usual = (round(bits * share) for share in (1 / 64, 1 / 16, 3 / 32, 1 / 8, 3 / 16))
    rules = {SAME_PICTURE[name]: " default", ONE_SIDE[name]: " split", SAME_MOMENT[name]: " within a track"}
    for radius in sorted({*usual, *rules}):
        shares = [values <= radius for values in (everything, misaligned, found.next_frames, found.smiles)]
        copies, moves, next_frames, smiles = (f"{part.mean():.0%}" if len(part) else "-" for part in shares)
        expected = false_pairs(found.neutral, radius)
        seen = int((found.all <= radius).sum())
        pairs = f"{expected:,.0f} false pairs" if expected >= 1 else f"{expected:.0e} false pairs"
        print(
            f"  {radius:8d}{copies:>9}{moves:>8}{next_frames:>7}{smiles:>8}{seen:11d}  {pairs}{rules.get(radius, '')}"
        )


def _hash(crops: Sequence[Picture], algorithm: str, bits: int) -> hashing.Words:
    return hashing.ALGORITHMS[algorithm](crops, bits)


def largest(is_fit: Callable[[int], bool]) -> int:
    """Find the largest radius up to a quarter of 256 bits that is fit; -1 where none is."""
    return max((radius for radius in range(65) if is_fit(radius)), default=-1)


def rule_radii(found: Distances) -> tuple[int, int, int]:
    """Give the radii that follow: for copies across a set, for the sides of a split, within a track; -1 is none."""
    apart_people = largest(lambda radius: false_pairs(found.neutral, radius) < 1)
    apart_smiles = largest(lambda radius: not (found.smiles <= radius).any())
    few_smiles = largest(lambda radius: (found.smiles <= radius).mean() <= 0.1)
    return min(apart_people, apart_smiles), apart_people, few_smiles


def main(*options: str) -> None:
    """Print the distances of strangers, smiles, copies and neighbouring frames for each hash."""
    every = 1 if wants_all(options, "collisions", __doc__) else EVERY
    material = gather(every)
    print(f"crops: {CROP.template}, {CROP.size} px; false pairs are extrapolated by a normal tail, not counted")
    print("strangers: pairs seen within the radius; copies, moved, next and smiles: the share within it")
    follow = {}
    for algorithm in sorted(hashing.ALGORITHMS):
        for bits in (64, 256):
            name = f"{algorithm}{bits}"
            found = measure(material, partial(_hash, algorithm=algorithm, bits=bits))
            show(name, found)
            follow[name] = rule_radii(found)
    print("\nlargest radii that follow (and those in curate/radii.py; 0 stands there where there is none)")
    print(f"  {'':10}{'no smile, no stranger':>24}{'no stranger':>18}{'a tenth of the smiles':>26}")
    for name, radii in follow.items():
        there = (SAME_PICTURE[name], ONE_SIDE[name], SAME_MOMENT[name])
        cells = [f"{'none' if radius < 0 else radius} ({given})" for radius, given in zip(radii, there, strict=True)]
        print(f"  {name:10}{cells[0]:>24}{cells[1]:>18}{cells[2]:>26}")
