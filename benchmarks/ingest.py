"""Frames a second from a video file to aligned crops on disk: a plain script, eyeline, decoding alone; and memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import dlib
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import align
from curate import pipeline, read_manifest
from curate.config import Sample
from curate.frames import VideoReader
from curate.job import Job

from . import _faces
from ._timing import compare, show
from .align_speed import rotated_crop

CLIPS = "videos_intel/asl_gestures/*.mkv"
WIDTH, HEIGHT, RATE = 640, 360, 30
ROUNDS = 3
TARGET = 10.0
"""How many times the script's speed ours shall have."""

_REGISTRY = """
[every]
source = { kind = "videos", path = "CLIP" }
sample = { unchanged = false }
[changed]
source = { kind = "videos", path = "CLIP" }
[searched]
source = { kind = "videos", path = "CLIP" }
sample = { unchanged = false }
align = { follow_s = 0 }
"""


def frames_of(clips: list[Path]) -> Iterator[NDArray[np.uint8]]:
    """Yield the upper 640 x 360 pixels of every frame of the clips, RGB."""
    for clip in clips:
        with av.open(str(clip)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")[:HEIGHT, :WIDTH]


def make_clip(path: Path, clips: list[Path], times: int = 1) -> int:
    """Encode the clips one after another, so many times over, as one video (H.264); give its number of frames."""
    count = 0
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in (picture for _ in range(times) for picture in frames_of(clips)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = count, Fraction(1, RATE)
            count += 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return count


class PlainScript:
    """What one writes with OpenCV, dlib and imagehash: HOG on every frame, 68 points, rotate, hash, write."""

    def __init__(self, path: Path, out: Path) -> None:
        self.eyes: dict[int, NDArray[np.float64]] = {}
        self._path = path
        self._out = out
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(align.find_model("shape_predictor_68_face_landmarks.dat")))

    def __call__(self) -> None:
        """Go through the video once."""
        capture = cv2.VideoCapture(str(self._path))
        number = -1
        while True:
            is_there, bgr = capture.read()
            if not is_there:
                break
            number += 1
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            if not (found := self._detector(rgb, 0)):
                continue
            box = max(found, key=lambda box: box.area())
            points = np.array([(p.x, p.y) for p in self._predictor(rgb, box).parts()], dtype=np.float64)
            left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
            crop = rotated_crop(rgb, left, right)
            imagehash.phash(Image.fromarray(crop), hash_size=16)
            cv2.imwrite(str(self._out / f"{number}.png"), crop[:, :, ::-1])
            self.eyes[number] = np.stack([left, right])
        capture.release()


class Eyeline:
    """`eyeline-curate ingest` on the same clip, into a new folder each time."""

    def __init__(self, name: str, folder: Path, workers: int = 1) -> None:
        self.out = folder
        self.record: dict[str, object] = {}
        self._name = name
        self._folder = folder
        self._workers = workers
        self._count = 0

    def __call__(self) -> None:
        """Go through the video once."""
        self._count += 1
        self.out = self._folder / f"{self._name}-{self._workers}-{self._count}"
        job = Job(self._name, self.out, self._folder / "datasets.toml", self._folder, self._workers)
        self.record = pipeline.ingest(job, lambda *_: None)

    def eyes(self) -> dict[int, NDArray[np.float64]]:
        """Give frame -> eyes, float64 [2, 2], of the last time."""
        rows = read_manifest(self.out)
        found = rows[rows["matrix"].notna()]
        return {int(f): np.reshape(eyes, (2, 2)) for f, eyes in zip(found["frame"], found["eyes"], strict=True)}


def decode(path: Path) -> Callable[[], None]:
    """Make a run that only decodes, with as many threads as FFmpeg wants."""

    def run() -> None:
        with VideoReader(path, Sample()) as reader:
            for _ in reader:
                pass

    return run


def on_one_core(run: Callable[[], None]) -> Callable[[], None]:
    """Keep what a run does, the threads that it starts too, on one core."""

    def kept() -> None:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            run()
        finally:
            os.sched_setaffinity(0, allowed)

    return kept


def main(*options: str) -> None:
    """Print speeds, faces, how far the eyes are from those of a search in each frame, stages, and memory."""
    takes_all = _faces.wants_all(options, "ingest", __doc__)
    clips = sorted(_faces.data_folder().glob(CLIPS))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "clip.mp4"
        (folder / "script").mkdir()
        (folder / "datasets.toml").write_text(_REGISTRY.replace("CLIP", path.name))
        try:
            count = make_clip(path, clips if takes_all else clips[:10])
            measure(path, count, folder)
            measure_scaling(folder, clips, (path, count))
            measure_memory(folder, clips, minutes=10 if takes_all else 2)
        finally:
            cv2.setNumThreads(threads)


def measure(path: Path, count: int, folder: Path) -> None:
    """Print everything about one clip."""
    script = PlainScript(path, folder / "script")
    runs = {
        "eyeline, every frame looked at": Eyeline("every", folder),
        "eyeline, unchanged ones skipped": Eyeline("changed", folder),
    }
    seconds = compare({**runs, "plain script": script, "decoding alone": decode(path)}, ROUNDS)
    show(f"{count} frames of {WIDTH} x {HEIGHT}, one face of some 75 px, crops of 224 px", seconds, count, "frames")
    print(f"  target: {TARGET:g} times the script")
    searched = Eyeline("searched", folder)
    searched()
    truth = searched.eyes()
    print(f"\nfaces aligned: searched in each frame {len(truth)}, script {len(script.eyes)}")
    for name, run in runs.items():
        print(f"  {name}: {len(run.eyes())} of {run.record['frames']}")
    print("eyes against those of a search in each frame, in eye distances; roll in degrees")
    show_distance("script", script.eyes, truth)
    show_distance("eyeline, followed", runs["eyeline, every frame looked at"].eyes(), truth)
    stages = runs["eyeline, every frame looked at"].record["timings"]
    print("\nstages, ms a frame:")
    for stage, spent in sorted(stages["ingest_stages_s"].items(), key=lambda pair: -pair[1]):  # type: ignore[index]
        print(f"  {stage:10}{spent / count * 1000:7.2f}")


def measure_scaling(folder: Path, clips: list[Path], short: tuple[Path, int]) -> None:
    """Print what two processes that share one long video gain over one, and over the script; starting them counts.

    Args:
        folder: For what is written.
        clips: Of which the long video is made.
        short: A video that the script goes through in a bearable time, and its number of frames.
    """
    root = folder / "scaling"
    (root / "script").mkdir(parents=True)
    count = make_clip(root / "clip.mp4", clips, times=4)
    (root / "datasets.toml").write_text(_REGISTRY.replace("CLIP", "clip.mp4"))
    one = Eyeline("every", root)
    runs = {"two processes": Eyeline("every", root, workers=2), "one process": one, "one core": on_one_core(one)}
    seconds = compare({**runs, "plain script": PlainScript(short[0], root / "script")}, ROUNDS)
    seconds["plain script"] = [spent * count / short[1] for spent in seconds["plain script"]]
    show(f"one video of {count} frames, every frame looked at (the script: {short[1]})", seconds, count, "frames")
    print(f"  target: {TARGET:g} times the script, and two cores nearly twice one")


def show_distance(name: str, eyes: dict[int, NDArray[np.float64]], truth: dict[int, NDArray[np.float64]]) -> None:
    """Print how far eyes are from the truth where both have them."""
    common = sorted(eyes.keys() & truth.keys())
    found, true = np.stack([eyes[i] for i in common]), np.stack([truth[i] for i in common])
    apart = np.linalg.norm(true[:, 1] - true[:, 0], axis=1)
    off = np.linalg.norm(found - true, axis=2).max(axis=1) / apart
    roll = [np.degrees(np.arctan2(*(e[:, 1] - e[:, 0]).T[::-1])) for e in (found, true)]
    turned = np.abs(roll[0] - roll[1])
    print(
        f"  {name:20} {len(common)} frames: worse eye {off.mean():.4f} mean, {np.percentile(off, 95):.4f} p95; "
        f"roll {turned.mean():.2f} mean, {np.percentile(turned, 95):.2f} p95"
    )


_PEAK = """
import resource, sys, cv2
from pathlib import Path
from curate import pipeline
from curate.job import Job
cv2.setNumThreads(1)
out, registry, root = map(Path, sys.argv[1:])
pipeline.ingest(Job("every", out, registry, root), lambda *_: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def measure_memory(folder: Path, clips: list[Path], minutes: int) -> None:
    """Print the peak memory of a process that ingests ten seconds of video, and one that ingests minutes of it."""
    print("\npeak memory of one process")
    for label, times in (("10 s", 1), (f"{minutes} min", 6 * minutes)):
        root = folder / f"long-{times}"
        root.mkdir()
        frames = make_clip(root / "clip.mp4", clips[:5], times)
        (root / "datasets.toml").write_text(_REGISTRY.replace("CLIP", "clip.mp4"))
        started = time.perf_counter()
        command = [sys.executable, "-c", _PEAK, str(root / "out"), str(root / "datasets.toml"), str(root)]
        found = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
        spent = time.perf_counter() - started
        print(f"  {label:8} {frames:6} frames: {json.loads(found.stdout)} MB ({spent:.0f} s)")
