"""The job of `eyeline-align run`: many pictures -> crops and faces.parquet, resumable."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from ..image import shown
from ..inputs import Picture
from ..models import MODELS, model_sha256
from .picture import Recipe, Row, align_picture, check_models, failed_row
from .results import SCHEMA, Earlier, Store, claimed, finish, room
from .workers import Crew, WorkerDiedError


@dataclass(frozen=True)
class Job:
    """What `run` does.

    Attributes:
        pictures: What is read, with names of their own (`inputs.list_pictures`).
        recipe: How each is treated.
        out: The folder of the crops and the table.
        workers: Processes; with 0 the work is done in this one, which a hostile picture may then end.
    """

    pictures: Sequence[Picture]
    recipe: Recipe
    out: Path
    workers: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        table: The rows of faces.parquet, in the order of the pictures.
        kept: Pictures that an earlier run had finished.
        removed: Crops of an earlier run that no row names any more, and that were removed.
    """

    table: pa.Table
    kept: int
    removed: int


def run(job: Job, progress: Callable[[int], None]) -> Outcome:
    """Align the pictures of a job, keep what an earlier run had finished, and write `OUT/faces.parquet`.

    Args:
        job: What to do. Its pictures have names of their own (`inputs.list_pictures`).
        progress: Called with the number of finished pictures.

    Returns:
        The rows and what was kept and removed.

    Raises:
        UsageError: OUT cannot be written, holds something else, or another run is at work in it.
        EyelineError: The disk is full, a model is missing, or no worker can be started.
    """
    with claimed(job.out) as parts, Crew(parts, min(job.workers, len(job.pictures))) as crew:
        prints = _fingerprints(job)
        earlier = Earlier.read(job.out, parts, job.pictures)
        kept = earlier.finished(job.out, set(prints.values()))
        done = set(kept["fingerprint"].to_pylist())
        todo = [picture for picture in job.pictures if prints[picture.name] not in done]
        progress(len(done))
        store = Store(job.out, parts, earlier.next_part, [kept])
        with room(job.out), store:
            for picture, rows in _align(todo, job.recipe, crew, prints):
                store.add([row | {"fingerprint": prints[picture.name]} for row in rows])
                progress(len(done) + store.pictures)
        table = store.ordered(list(prints.values()))
        removed = finish(job.out, parts, table, earlier.crops)
    return Outcome(table, len(done), removed)


def _align(
    pictures: Sequence[Picture], recipe: Recipe, crew: Crew, prints: dict[str, str]
) -> Iterator[tuple[Picture, list[Row]]]:
    """Yield the pictures and their rows, as they come."""
    if not pictures:
        return
    crew.call(check_models, recipe)  # a missing model is one error, not one a picture
    tasks = [(picture, recipe, crew.folder, prints[picture.name]) for picture in pictures]
    for number, result in crew.map(align_picture, tasks):
        picture = pictures[number]
        if isinstance(result, WorkerDiedError):
            sentence = f"{shown(picture.path)}: expected a picture that can be worked on ({result}); reduce it"
            yield picture, [failed_row(picture, sentence)]
        else:
            yield picture, result


def _fingerprints(job: Job) -> dict[str, str]:
    """Give by name what each picture's rows depend on: its path, size and time, the recipe, versions and models."""
    import cv2
    import dlib
    import PIL

    versions = [version("eyeline"), dlib.__version__, cv2.__version__, PIL.__version__, version("torch")]
    cards = [card for card in MODELS.values() if {job.recipe.detector, job.recipe.landmarks} & set(card.used_by)]
    models = [model_sha256(card.name, job.recipe.models) for card in cards]
    seed = json.dumps([job.recipe.dependencies(), versions, models, SCHEMA.names], sort_keys=True, default=str).encode()

    def fingerprint(path: Path) -> str:
        try:
            found = path.stat()
            stamp = f"{found.st_size} {found.st_mtime_ns}"
        except OSError as error:
            stamp = f"errno {error.errno}"
        digest = blake2b(seed, digest_size=16)
        digest.update(b"\0".join([os.fsencode(path), stamp.encode()]))
        return digest.hexdigest()

    return {picture.name: fingerprint(picture.path) for picture in job.pictures}
