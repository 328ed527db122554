import numpy as np
import pytest

from align import Box
from curate.scenes import thumbnail
from curate.unchanged import ChangeGate

FACE = Box(60, 60, 40, 40)


@pytest.fixture
def luma() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 190, (240, 320), np.uint8)


def _gate(luma: np.ndarray, threshold: float | None = 2.0) -> ChangeGate:
    gate = ChangeGate(threshold)
    assert not gate.is_unchanged(luma, thumbnail(luma))  # the first frame is always new
    gate.looked_at(luma, thumbnail(luma), [FACE])
    return gate


def test_the_same_frame_and_faint_noise_are_unchanged(luma: np.ndarray) -> None:
    gate = _gate(luma)
    assert gate.is_unchanged(luma, thumbnail(luma))
    noisy = luma + np.random.default_rng(1).integers(0, 2, luma.shape, np.uint8)
    assert gate.is_unchanged(noisy, thumbnail(noisy))


def test_a_blink_that_the_whole_frame_hides_is_seen_on_the_face(luma: np.ndarray) -> None:
    blink = luma.copy()
    blink[70:73, 70:76] = 250  # 18 of 76,800 pixels
    assert not _gate(luma).is_unchanged(blink, thumbnail(blink))
    without_face = ChangeGate(8.0)
    without_face.looked_at(luma, thumbnail(luma), [])
    with_face = ChangeGate(8.0)
    with_face.looked_at(luma, thumbnail(luma), [FACE])
    faint = luma.copy()
    faint[70:72, 70:72] = np.clip(luma[70:72, 70:72].astype(int) + 60, 0, 255)
    assert without_face.is_unchanged(faint, thumbnail(faint))
    assert not with_face.is_unchanged(faint, thumbnail(faint))


def test_slow_change_adds_up(luma: np.ndarray) -> None:
    gate = _gate(luma)
    assert gate.is_unchanged(luma + np.uint8(1), thumbnail(luma + np.uint8(1)))
    assert gate.is_unchanged(luma + np.uint8(2), thumbnail(luma + np.uint8(2)))
    assert not gate.is_unchanged(luma + np.uint8(3), thumbnail(luma + np.uint8(3)))


def test_without_a_threshold_every_frame_is_looked_at(luma: np.ndarray) -> None:
    gate = _gate(luma, None)
    assert not gate.is_unchanged(luma, thumbnail(luma))


def test_zero_skips_only_the_same(luma: np.ndarray) -> None:
    gate = _gate(luma, 0)
    assert gate.is_unchanged(luma, thumbnail(luma))
    other = luma.copy()
    other[200, 200] ^= 128
    assert not gate.is_unchanged(other, thumbnail(other))


def test_a_face_at_the_border_and_a_new_size_do_no_harm(luma: np.ndarray) -> None:
    gate = ChangeGate(2.0)
    gate.looked_at(luma, thumbnail(luma), [Box(-30, -30, 40, 40), Box(310, 230, 60, 60)])
    assert gate.is_unchanged(luma, thumbnail(luma))
    assert not gate.is_unchanged(255 - luma[:100, :100], thumbnail(255 - luma[:100, :100]))
