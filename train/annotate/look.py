"""Frames in, faces and their crops out, found and cropped as those of the training set were."""

import threading
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from align import EyelineError
from curate import Align, Cut, Frame, Looker, SceneWatch, thumbnail

from .face_filter import FaceFilter, as_stored
from .inputs import Input
from .options import Options
from .sources import Reader, open_reader


@dataclass(frozen=True)
class Seen:
    """A frame, and what was found in it.

    Attributes:
        item: The input that it is of.
        index: Its place in the input.
        pts: Its time in units of `time_base`; None where it has none.
        time_base: Seconds a unit.
        time_s: Seconds since the first frame; None where it has no time.
        picture: uint8 [H, W, 3]; None where nobody wants to see it, or where it cannot be read.
        cuts: Its faces; None where it was not looked at.
        filter_crops: The faces of `crops` as the filter wants them; nothing without a filter.
        new_scene: Nothing that was seen before counts.
        error: What is wrong with it, in one sentence.
    """

    item: Input
    index: int = 0
    pts: int | None = None
    time_base: Fraction | None = None
    time_s: float | None = None
    picture: NDArray[np.uint8] | None = None
    cuts: Sequence[Cut] | None = None
    filter_crops: Sequence[NDArray[np.uint8]] = ()
    new_scene: bool = False
    error: str | None = None

    @property
    def crops(self) -> list[NDArray[np.uint8]]:
        """The crops of the faces that could be aligned."""
        return [cut.image for cut in self.cuts or () if cut.image is not None]


def look_at_video(
    frames: Iterable[Frame],
    item: Input,
    spec: Align,
    options: Options,
    stop: threading.Event,
    face_filter: FaceFilter | None = None,
) -> Generator[Seen, None, None]:
    """Look at the frames of one video, stream or camera, in their order.

    Args:
        frames: From its reader.
        item: What they are of.
        spec: How faces are found and cropped.
        options: Which frames are looked at, and for how long.
        stop: Ends it.
        face_filter: Crops them for itself, too.
    """
    looker, scenes = Looker(spec, item.source, None, None), SceneWatch()
    for frame in frames:
        is_over = options.duration_s is not None and (frame.since_first_s or 0.0) >= options.duration_s
        if stop.is_set() or is_over:
            return
        seen = Seen(item, frame.index, frame.pts, frame.time_base, frame.since_first_s)
        if frame.index % options.every == 0:
            new_scene = scenes.is_new(thumbnail(frame.luma))
            seen = _cropped(_looked(replace(seen, new_scene=new_scene), frame, looker), frame, spec, face_filter)
        if options.video or options.show:
            seen = replace(seen, picture=frame.rgb())
        yield seen


def look_at_photos(
    items: Iterable[Input], spec: Align, options: Options, face_filter: FaceFilter | None = None
) -> Generator[Seen, None, None]:
    """Look at photos; each is looked at as if there were no other. One that cannot be read gives its error."""
    for item in items:
        reader: Reader = open_reader(item)
        with reader:
            for frame in reader:
                seen = _looked(Seen(item), frame, Looker(spec, item.source, None, None))
                seen = _cropped(seen, frame, spec, face_filter)
                yield replace(seen, picture=frame.rgb()) if options.video or options.show else seen
        if reader.error is not None:
            yield Seen(item, error=reader.error)


def _looked(seen: Seen, frame: Frame, looker: Looker) -> Seen:
    """Find the faces of a frame; one that OpenCV or dlib cannot take has none, and an error."""
    try:
        found = [cut for cut in looker.look(frame, new_scene=seen.new_scene) if cut.columns]
    except EyelineError:
        raise
    except (cv2.error, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        return replace(seen, cuts=(), error=f"{seen.item.source}: frame {frame.index} cannot be processed ({reason})")
    return replace(seen, cuts=found)


def _cropped(seen: Seen, frame: Frame, spec: Align, face_filter: FaceFilter | None) -> Seen:
    """Give the crops as the files of the set have them, and those of the filter."""
    cuts = seen.cuts or ()
    wanted = [] if face_filter is None else [face_filter.crop(cut, frame) for cut in cuts if cut.image is not None]
    return replace(seen, cuts=[_stored(cut, spec) for cut in cuts], filter_crops=wanted)


def _stored(cut: Cut, spec: Align) -> Cut:
    return cut if cut.image is None else replace(cut, image=as_stored(cut.image, spec))
