"""eyeline-align: pictures -> aligned faces, and a table of what was found in each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from jsonargparse import ArgumentParser, Namespace

from . import console
from .crop import TEMPLATES, CropSpec, align_face, write_png
from .detect import DETECTORS, open_detector
from .errors import ImageError, UsageError
from .eyeline import AlignmentRefusedError
from .files import printable, replacing
from .find import Choice, choose_faces, find_faces
from .image import image_suffixes, load_image
from .landmarks import LANDMARKERS, open_landmarker
from .quality import measure

TABLE = "faces.parquet"

_FLOATS = (
    "box_x",
    "box_y",
    "box_w",
    "box_h",
    "score",
    "roll_deg",
    "interocular_px",
    "sharpness",
    "brightness",
    "contrast",
)
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("face", pa.int32()),
        ("crop", pa.string()),
        *((name, pa.float32()) for name in _FLOATS),
        ("detector", pa.string()),
        ("eyes", pa.list_(pa.float32(), 4)),
        ("landmarks", pa.list_(pa.float32())),
        ("landmark_scheme", pa.string()),
        ("matrix", pa.list_(pa.float32(), 6)),
        ("drop_reason", pa.string()),
        ("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class Recipe:
    """How each picture is treated."""

    detector: str
    landmarks: str
    crop: CropSpec
    faces: Choice
    out: Path


def main(args: list[str] | None = None) -> int:
    """Run `eyeline-align` with `args`, or those of the command line, and give its exit code."""
    parsed = make_parser().parse_args(args)
    return console.run_command(lambda: _run(parsed.run))


def make_parser() -> ArgumentParser:
    """Make the parser; the reference is generated from it."""
    run = ArgumentParser()
    run.add_argument("paths", nargs="+", type=Path, help="pictures, or folders of pictures")
    run.add_argument("--out", type=Path, required=True, help="where the crops and faces.parquet are written")
    run.add_argument("--detector", choices=sorted(DETECTORS), default="hog", help="what finds the faces")
    run.add_argument("--landmarks", choices=sorted(LANDMARKERS), default="dlib5", help="what finds the eyes")
    run.add_argument("--template", choices=sorted(TEMPLATES), default="tight", help="where the eyes stand in the crop")
    run.add_argument("--size", type=int, default=224, help="width and height of a crop in pixels")
    run.add_argument("--faces", choices=list(get_args(Choice)), default="all", help="which faces of a picture")
    run.add_argument("--workers", type=int, default=1, help="processes")
    run.add_argument("--json", action="store_true", help="print one JSON result instead of a table")
    parser = ArgumentParser(prog="eyeline-align", description=__doc__)
    parser.add_subcommands(required=True).add_subcommand("run", run, help="align and crop the faces of pictures")
    return parser


def align_file(path: Path, recipe: Recipe) -> list[dict[str, Any]]:
    """Align and write the faces of one picture.

    Args:
        path: The picture.
        recipe: How.

    Returns:
        A row a face; one row where there is no face, or where the picture cannot be read.
    """
    try:
        image = load_image(path)
    except ImageError as error:
        return [{"path": printable(path), "drop_reason": "corrupt", "error": str(error)}]
    found = find_faces(image, recipe.detector, recipe.landmarks)
    rows = []
    for number, face in enumerate(choose_faces(found, recipe.faces, *image.shape[:2])):
        row = {"path": printable(path), "face": number, **face.record()}
        try:
            crop = align_face(image, face, recipe.crop)
        except AlignmentRefusedError as refusal:
            rows.append(row | {"drop_reason": refusal.reason})
            continue
        row["crop"] = f"{printable(path.stem)[:80]}-{_digest(path)}-{number:02d}.png"
        write_png(recipe.out / row["crop"], crop.image)
        rows.append(row | {"matrix": crop.matrix.ravel().tolist(), **asdict(measure(crop.image))})
    return rows or [{"path": printable(path), "drop_reason": "no_face"}]


def _run(args: Namespace) -> int:
    recipe = Recipe(args.detector, args.landmarks, CropSpec(args.template, args.size), args.faces, args.out)
    if args.workers < 1:
        raise UsageError(f"--workers must be 1 or more (got {args.workers})")
    open_detector(recipe.detector)
    open_landmarker(recipe.landmarks)  # a missing model is one error, not one a picture
    files = list(_list_files(args.paths, args.out.resolve()))
    _make_folder(args.out)
    rows: list[dict[str, Any]] = []
    with console.progress_bar() as bar:
        task = bar.add_task("pictures", total=len(files), note="")
        for found in _map(partial(align_file, recipe=recipe), files, args.workers):
            rows.extend(found)
            bar.advance(task)
    with replacing(args.out / TABLE) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), temporary)
    return _show(rows, files, args)


def _map(
    function: "partial[list[dict[str, Any]]]", files: Sequence[Path], workers: int
) -> Iterable[list[dict[str, Any]]]:
    if workers == 1:
        yield from map(function, files)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, files, chunksize=8)


def _list_files(paths: Sequence[Path], out: Path) -> Iterable[Path]:
    """Yield the pictures of each path, those of a folder sorted, without what lies in `out`; a named file as it is."""
    suffixes = image_suffixes()
    seen = set()
    for path in paths:
        if not path.exists():
            raise UsageError(f"{printable(path)}: expected a picture or a folder (no such file)")
        inside = [path]
        if path.is_dir():
            found = (p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
            inside = sorted(p for p in found if out not in p.resolve().parents)
        if not inside:
            raise UsageError(f"{printable(path)}: expected a folder with pictures (found none)")
        for file in inside:
            if file not in seen:
                seen.add(file)
                yield file


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{out}: expected a folder that can be written ({error.strerror}); choose another --out"
        ) from None


def _digest(path: Path) -> str:
    """Digest the path, so that no two pictures of one name write to one file."""
    return blake2b(str(path).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


def _show(rows: Sequence[dict[str, Any]], files: Sequence[Path], args: Namespace) -> int:
    outcomes = Counter(row.get("drop_reason") or "aligned" for row in rows)
    failed = [row["error"] for row in rows if row.get("error")]
    result = {"pictures": len(files), "outcomes": dict(outcomes), "failed": failed, "table": str(args.out / TABLE)}
    if args.json:
        console.emit_json(result)
    else:
        console.emit_table(f"{len(files):,} pictures", ("outcome", "rows"), sorted(outcomes.items()))
        console.emit_text(f"table: {args.out / TABLE}")
    for message in failed:
        console.notice(f"failed: {message}")
    if failed and len(failed) == len(files):
        return console.FAILED
    return console.DONE_WITH_FAILURES if failed else console.DONE
