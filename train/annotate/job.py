"""An annotation from end to end: reading, looking, asking and writing, each ahead of the next in its own thread."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from align import EyelineError, encode, replacing, write_atomic
from curate import Align

from ..figures import save_figure
from .answerer import Answerer
from .face_filter import FaceFilter
from .faces import Answered, FaceAnswer, Follower, answer, chunks
from .inputs import PHOTO_TABLE, Input
from .look import Seen, look_at_photos, look_at_video
from .options import Options
from .painter import Painter
from .sources import open_reader, probe
from .table import TableWriter
from .threads import Dropped, ahead, ended_by_ctrl_c
from .timeline import draw_timeline
from .video import VideoWriter
from .window import Window

_FRAMES_AHEAD = 4
"""Decoded frames that wait to be looked at."""

Tell = Callable[[Input, int], None]
"""Is told an input, and how many of its frames are done."""


@dataclass(frozen=True)
class Job:
    """What is the same for all inputs.

    Attributes:
        answerer: The model.
        spec: How faces are found and cropped.
        options: What the user asks for.
        face_filter: Decides which faces the model is asked about; None asks about all.
    """

    answerer: Answerer
    spec: Align
    options: Options
    face_filter: FaceFilter | None = None


@dataclass
class Annotated:
    """What became of an input.

    Attributes:
        item: The input.
        frames: That were read.
        faces: Rows of its table.
        answered: Faces that could be aligned, passed the filter if there is one, and were answered.
        dropped: Frames of a camera that came while the others were still being worked on.
        seconds: It took.
        files: What was written, by kind: `picture` or `video`, `table`, `timeline`.
        errors: One sentence for each thing that went wrong.
    """

    item: Input
    frames: int = 0
    faces: int = 0
    answered: int = 0
    dropped: int = 0
    seconds: float = 0.0
    files: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def count(self, frame: Answered) -> None:
        """Count a frame and its faces."""
        self.frames += 1
        self.faces += len(frame.faces or ())
        self.answered += sum(face.values is not None for face in frame.faces or ())
        if frame.seen.error is not None:
            self.errors.append(frame.seen.error)


def annotate(job: Job, inputs: Sequence[Input], tell: Tell) -> Iterator[Annotated]:
    """Annotate photos, videos, streams and cameras.

    Files appear whole or not at all. Memory is bounded by some chunks of frames, however long a video is.

    Args:
        job: Model and options.
        inputs: From `list_inputs`.
        tell: Is told how far it is.

    Yields:
        What became of each input: the photos first, then the others in their order.
    """
    photos = [item for item in inputs if item.kind == "photo"]
    if photos:
        yield from _annotate_photos(job, photos, tell)
    for item in inputs:
        if item.kind == "photo":
            continue
        begun, result = time.monotonic(), Annotated(item)
        try:
            _annotate_video(job, item, result, tell)
        except EyelineError as error:
            result.files = {}
            result.errors.append(str(error))
        result.seconds = time.monotonic() - begun
        yield result


def _annotate_photos(job: Job, photos: Sequence[Input], tell: Tell) -> Iterator[Annotated]:
    """Annotate photos into one table; the model sees the faces of several photos at once."""
    options, tasks = job.options, job.answerer.tasks
    painter = Painter(tasks, options.threshold, options.font)
    results = []
    with ExitStack() as stack:
        table = stack.enter_context(replacing(options.out / PHOTO_TABLE))
        writer = stack.enter_context(TableWriter(table, tasks, of_photos=True))
        window = stack.enter_context(Window()) if options.show else None
        seen = look_at_photos(photos, job.spec, options, job.face_filter)
        begun = time.monotonic()
        for frame in stack.enter_context(closing(_answered(job, seen, None, at_once=options.show))):
            item = frame.seen.item
            result = Annotated(item, files={} if frame.seen.error else {"table": str(options.out / PHOTO_TABLE)})
            result.count(frame)
            writer.write(frame)
            picture = frame.seen.picture
            if picture is not None:
                picture = picture.copy()
                painter.paint(picture, frame.faces or ())
                if options.video:
                    target = options.out / item.picture
                    write_atomic(target, encode(picture, target.suffix))
                    result.files["picture"] = str(target)
                if window is not None:
                    window.show(picture)
            now = time.monotonic()
            result.seconds, begun = now - begun, now
            results.append(result)
            tell(item, 1)
    yield from results


def _annotate_video(job: Job, item: Input, result: Annotated, tell: Tell) -> None:
    """Annotate one video, stream or camera.

    Raises:
        EyelineError: Nothing of it can be read, or nothing can be written.
    """
    options, out = job.options, job.options.out
    with ExitStack() as stack:
        targets = {"table": out / item.table, "timeline": out / item.timeline}
        targets |= {"video": out / item.picture} if options.video else {}
        made = {kind: stack.enter_context(replacing(target)) for kind, target in targets.items()}
        fault = _run_video(job, item, made, result, tell)
        if not result.frames:
            raise EyelineError(fault or f"{item.source}: expected frames (ended before the first one came)")
        title = f"{Path(item.source).name}: {result.frames:,} frames"
        save_figure(draw_timeline(made["table"], job.answerer.tasks, title), made["timeline"])
        result.errors += [fault] if fault else []
    result.files = {kind: str(target) for kind, target in targets.items()}


def _run_video(job: Job, item: Input, made: dict[str, Path], result: Annotated, tell: Tell) -> str | None:
    """Read a video to its end and write its table and pictures; say what broke, unless the user ended it."""
    options, tasks = job.options, job.answerer.tasks
    painter = Painter(tasks, options.threshold, options.font)
    dropped = Dropped()
    reader = open_reader(item)
    with ExitStack() as stack:
        stop = stack.enter_context(ended_by_ctrl_c(wanted=item.is_endless))
        stack.enter_context(reader)
        table = stack.enter_context(TableWriter(made["table"], tasks, of_photos=False))
        video = stack.enter_context(_open_video(item, made["video"])) if options.video else None
        window = stack.enter_context(Window()) if options.show else None
        lossy = dropped if item.kind == "camera" else None
        decoded = stack.enter_context(closing(ahead(reader, _FRAMES_AHEAD, lossy)))  # ends before the reader is closed
        seen = look_at_video(decoded, item, job.spec, options, stop, job.face_filter)
        frames = _answered(job, seen, Follower(options.smooth_s), at_once=item.is_live)
        shown: Sequence[FaceAnswer] = ()
        for frame in stack.enter_context(closing(frames)):
            result.count(frame)
            table.write(frame)
            shown = shown if frame.faces is None else frame.faces
            picture = frame.seen.picture
            if picture is not None:
                painter.paint(picture, shown)
                if video is not None:
                    video.write(picture, frame.seen)
                if window is not None and not window.show(picture):
                    stop.set()
            tell(item, result.frames)
    result.dropped = dropped.count
    if video is not None and video.error:
        result.errors.append(video.error)
    return None if stop.is_set() else reader.error


def _open_video(item: Input, path: Path) -> VideoWriter:
    shape = probe(item)
    return VideoWriter(path, shape, Path(str(item.address)) if shape.has_sound else None)


def _answered(
    job: Job, seen: Iterator[Seen], follower: Follower | None, *, at_once: bool
) -> Generator[Answered, None, None]:
    """Look, and ask the model, each in a thread of its own."""
    looked = ahead(chunks(seen, job.options.batch_size, at_once=at_once), 1)
    answered = ahead(answer(looked, job.answerer, follower, job.face_filter), 1)
    with closing(looked), closing(answered):
        yield from chain.from_iterable(answered)
