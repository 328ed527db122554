"""People found by faces: pairwise precision and recall by threshold, beside other ways to cluster, and ms a face."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import dlib
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

import align
from curate.config import Identify
from curate.identity import gather, group_people, pairwise_scores

from ._faces import read_index

THRESHOLDS = (0.35, 0.40, 0.425, 0.45, 0.475, 0.50, 0.55, 0.60)

EVERY = 10
"""1 frame in so many of a clip is looked at."""

SIGNERS = {
    "A": ("again", "brother", "help", "no", "student", "yes"),
    "B": ("bird", "milk", "please", "sorry", "thanks"),
    "C": ("book", "learn", "school", "walk"),
    "D": ("eat", "night", "sister"),
    "E": ("hungry", "want"),
}
"""Who shows the signs of the clips in videos_intel/asl_gestures, told apart by eye."""


@dataclass(frozen=True)
class Described:
    """Faces whose person is known.

    Attributes:
        from_photo: float32 [N, 128], of the chip cut from the picture itself.
        from_crop: The same from its `tight` crop of 224 px, which is what a set keeps.
        people: Who each is.
        tracks: What of is one person from the start, for example a clip.
    """

    from_photo: NDArray[np.float32]
    from_crop: NDArray[np.float32]
    people: list[str]
    tracks: list[str]

    def take(self, wanted: Callable[[str], bool]) -> "Described":
        """Give those of some people."""
        some = [number for number, person in enumerate(self.people) if wanted(person)]
        people, tracks = ([names[number] for number in some] for names in (self.people, self.tracks))
        return Described(self.from_photo[some], self.from_crop[some], people, tracks)


def main() -> None:
    """Print distances, the scores of every threshold, the same on held-out people, other clusterings, and speed."""
    photos = [photo for photo in read_index() if photo.set_name in ("london", "canada")]
    faces = [found for photo in photos for found in _look(align.load_image(photo.path), photo.path.stem)]
    known = {photo.path.stem: f"{photo.set_name} {photo.path.stem[:3]}" for photo in photos}
    stills = _describe(faces, known)
    clips = _signers(photos[0].path.parents[1])
    london = stills.take(lambda person: person.startswith("london"))
    _show_distances("photos", stills)
    for name, some in (("London, neutral and smiling", london), ("London and Canada", stills)):
        _show_thresholds(f"{name}: {len(set(some.people))} people, {len(some.people)} photos", some, tracked=False)
    _show_held_out(stills)
    if clips is not None:
        _show_distances("frames of clips", clips)
        title = f"{len(set(clips.people))} people in {len(set(clips.tracks))} clips, {len(clips.people)} frames"
        _show_thresholds(f"{title}, each frame its own", clips, tracked=False)
        _show_thresholds(f"{title}, a clip a track", clips, tracked=True)
    _show_others({"photos": stills, **({"frames": clips} if clips is not None else {})})
    _show_speed(faces)


@dataclass(frozen=True)
class _Seen:
    name: str
    photo_chip: NDArray[np.uint8]
    crop_chip: NDArray[np.uint8]


def _look(image: NDArray[np.uint8], name: str) -> list[_Seen]:
    """Cut both chips of the best face of a picture."""
    seen = []
    for face in align.find_faces(image)[:1]:
        if face.landmarks is None or face.landmark_scheme is None:
            continue
        crop = align.align_face(image, face)
        chip = align.cut_chip(image, face.landmarks, face.landmark_scheme)
        seen.append(_Seen(name, chip, align.cut_chip(crop.image, face.landmarks, face.landmark_scheme, crop.matrix)))
    return seen


def _describe(seen: Sequence[_Seen], people: dict[str, str]) -> Described:
    embedder = align.open_embedder()
    names = [one.name for one in seen]
    photo, crop = (embedder.embed(np.stack([getattr(one, key) for one in seen])) for key in ("photo_chip", "crop_chip"))
    return Described(photo, crop, [people[name] for name in names], names)


def _signers(root: Path) -> Described | None:
    """Describe 1 frame in `EVERY` of the sign-language clips; None where they are not there."""
    people = {clip: person for person, clips in SIGNERS.items() for clip in clips}
    paths = [path for path in sorted((root / "videos_intel" / "asl_gestures").glob("*")) if path.stem in people]
    seen = []
    for path in paths:
        with av.open(str(path)) as clip:
            for number, frame in enumerate(clip.decode(video=0)):
                if number % EVERY == 0:
                    seen += _look(frame.to_ndarray(format="rgb24"), path.stem)
    return _describe(seen, people) if seen else None


def _show_distances(name: str, some: Described) -> None:
    rows = np.triu_indices(len(some.people), 1)
    same = (np.array(some.people)[:, None] == np.array(some.people))[rows]
    print(f"\ndistances between {name}: {same.sum():,} pairs of one person, {(~same).sum():,} of two")
    for where, values in (("from the picture", some.from_photo), ("from the crop", some.from_crop)):
        apart = np.linalg.norm(values[:, None] - values[None], axis=2)[rows]
        one, two = apart[same], apart[~same]
        print(
            f"  {where:17} one person: median {np.median(one):.3f}, 95 % below {np.percentile(one, 95):.3f}, "
            f"largest {one.max():.3f}; two: least {two.min():.3f}, 1 % below {np.percentile(two, 1):.3f}"
        )


def _group(some: Described, threshold: float, *, tracked: bool) -> tuple[list[int], list[str]]:
    """Group faces, or tracks of at most five faces each, as the stage does; give also who each is."""
    tracks = some.tracks if tracked else [str(number) for number in range(len(some.people))]
    first = {track: tracks.index(track) for track in dict.fromkeys(tracks)}
    chosen = [number for track in first for number in [k for k, name in enumerate(tracks) if name == track][:5]]
    number = np.unique([first[tracks[k]] for k in chosen], return_inverse=True)[1]
    group = group_people(gather(some.from_crop[chosen], number), threshold)
    return group.tolist(), [some.people[place] for place in sorted(first.values())]


def _show_thresholds(title: str, some: Described, *, tracked: bool) -> None:
    print(f"\n{title}")
    for threshold in THRESHOLDS:
        group, people = _group(some, threshold, tracked=tracked)
        precision, recall = pairwise_scores(group, people)
        chosen = "  <- the default" if threshold == Identify().threshold else ""
        print(
            f"  threshold {threshold:.3f}: precision {precision:.4f}, recall {recall:.4f}, "
            f"{len(set(group))} people found{chosen}"
        )


def _show_held_out(some: Described) -> None:
    """Choose on every other person the largest threshold without a false pair, and score it on the others."""
    order = {person: place for place, person in enumerate(sorted(set(some.people)))}
    print("\nhalf of the people choose the largest threshold without a false pair, the other half is scored")
    for half in (0, 1):
        choosing = some.take(lambda person, half=half: order[person] % 2 == half)
        scored = some.take(lambda person, half=half: order[person] % 2 != half)
        right = [t for t in THRESHOLDS if pairwise_scores(*_group(choosing, t, tracked=False))[0] == 1]
        for name, threshold in (("chosen", max(right, default=THRESHOLDS[0])), ("default", Identify().threshold)):
            group, people = _group(scored, threshold, tracked=False)
            precision, recall = pairwise_scores(group, people)
            print(
                f"  {name} {threshold:.3f}: precision {precision:.4f}, recall {recall:.4f}, "
                f"{len(set(group))} of {len(set(people))} people"
            )


def _show_others(sets: dict[str, Described]) -> None:
    """Cluster the same descriptors in the ways that are usual: by scipy, and by dlib at its own 0.6 and at ours."""
    ours = Identify().threshold
    print("\nthe same descriptors, clustered otherwise (precision, recall)")
    ways: dict[str, Callable[[NDArray[np.float32], float], Sequence[int]]] = {
        "eyeline": lambda values, t: group_people(gather(values, np.arange(len(values))), t).tolist(),
        "single linkage": lambda values, t: fcluster(linkage(values, "single"), t, "distance").tolist(),
        "complete linkage": lambda values, t: fcluster(linkage(values, "complete"), t, "distance").tolist(),
        "dlib's chinese whispers": lambda values, t: list(
            dlib.chinese_whispers_clustering([dlib.vector(row.tolist()) for row in values.astype(np.float64)], t)
        ),
    }
    for name, some in sets.items():
        for way, cluster in ways.items():
            told = [
                f"{t:.2f}: {precision:.3f}, {recall:.3f}"
                for t in (ours, 0.5, 0.6)
                for precision, recall in [pairwise_scores(cluster(some.from_crop, t), some.people)]
            ]
            print(f"  {name:7} {way:24} at {'; at '.join(told)}")


def _show_speed(seen: Sequence[_Seen]) -> None:
    chips = np.stack([one.crop_chip for one in seen[:160]])
    embedder = align.open_embedder()
    embedder.embed(chips[:16])
    times = []
    for _ in range(3):
        started = time.perf_counter()
        embedder.embed(chips)
        times.append((time.perf_counter() - started) * 1000 / len(chips))
    print(f"\n{min(times):.1f} to {max(times):.1f} ms a face for the network, 3 runs of {len(chips)}")


if __name__ == "__main__":
    main()
