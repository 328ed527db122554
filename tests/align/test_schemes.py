import numpy as np
import pytest

from align import SCHEMES


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_mirroring_twice_changes_nothing_and_keeps_the_corners_apart(name: str) -> None:
    scheme = SCHEMES[name]
    mirror = np.array(scheme.mirror)
    assert np.array_equal(mirror[mirror], np.arange(len(mirror)))
    right_outer, right_inner, left_outer, left_inner, nose = scheme.corners
    assert mirror[[right_outer, right_inner, nose]].tolist() == [left_outer, left_inner, nose]


def test_the_68_points_are_paired_as_they_stand_on_a_face(astronaut: np.ndarray) -> None:
    """On a real face, each point and its partner stand about mirrored about the bridge of the nose."""
    import align

    face = align.find_faces(astronaut, landmarks="dlib68")[0]
    points = align.align_face(astronaut, face, align.CropSpec("arcface")).matrix @ np.vstack(
        [face.landmarks.T, np.ones(68)]
    )
    x, y = points
    mirror = np.array(SCHEMES["ibug68"].mirror)
    middle = x[27:31].mean()
    assert np.abs((x + x[mirror]) / 2 - middle).max() < 0.12 * np.ptp(x)
    assert np.abs(y - y[mirror]).max() < 0.1 * np.ptp(y)
    fixed = np.flatnonzero(mirror == np.arange(68))
    assert fixed.tolist() == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
