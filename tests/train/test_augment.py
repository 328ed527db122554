import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from align import UsageError
from train.augment import (
    Augment,
    AugmentSpec,
    affine_matrices,
    lose_detail,
    recolour,
    shrink_matrix,
    warp,
)

STRONG = AugmentSpec(
    rotate_deg=30,
    shift=0.2,
    zoom=0.5,
    brightness=0.4,
    contrast=1,
    grey=0.5,
    low_resolution=0.7,
    min_side_px=4,
    blur=0.7,
)

NO_AUGMENT = AugmentSpec(
    **dict.fromkeys((field.name for field in dataclasses.fields(AugmentSpec)), 0) | {"min_side_px": 1}
)


def pictures(count=3, side=17, seed=0):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=seeded(seed))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def matrices(count, flip=False, turn=0.0, zoom=1.0, shift=(0.0, 0.0)):
    ones = torch.ones(count)
    return affine_matrices(ones.bool() & flip, ones * turn, ones * zoom, torch.tensor(shift).repeat(count, 1))


@given(count=st.integers(1, 4), side=st.integers(2, 40), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_nothing_asked_for_changes_nothing(count, side, seed):
    images = pictures(count, side, seed)
    torch.testing.assert_close(Augment(NO_AUGMENT)(images, seeded(seed)), images.float(), atol=2e-2, rtol=0)


@given(seed=st.integers(0, 1000), side=st.integers(4, 40))
@settings(max_examples=25, deadline=None)
def test_same_seed_same_output_within_the_scale(seed, side):
    images = pictures(5, side)
    first, second = (Augment(STRONG)(images, seeded(seed)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 255
    assert not torch.equal(first, Augment(STRONG)(images, seeded(seed + 1)))


def test_a_sure_flip_mirrors():
    images = pictures()
    found = Augment(dataclasses.replace(NO_AUGMENT, flip=1.0))(images, seeded(0))
    torch.testing.assert_close(found, images.float().flip(3), atol=2e-2, rtol=0)


def test_flip_half_the_time():
    images = pictures(400, 4)
    found = Augment(dataclasses.replace(NO_AUGMENT, flip=0.5))(images, seeded(0))
    flipped = (found - images.float().flip(3)).abs().amax((1, 2, 3)) < 0.1
    assert 150 < int(flipped.sum()) < 250


def test_a_quarter_turn_is_exact():
    images = pictures().float()
    found = warp(images, matrices(3, turn=torch.pi / 2))
    torch.testing.assert_close(found, images.rot90(1, (2, 3)), atol=2e-2, rtol=0)


def test_a_turn_keeps_a_circle_and_its_inverse_undoes_it():
    at = torch.arange(65) - 32.0
    blob = torch.exp(-((at[:, None] - 8) ** 2 + at[None] ** 2) / 80)[None, None] * 255
    back = warp(warp(blob, matrices(1, turn=0.4)), matrices(1, turn=-0.4))
    assert (back - blob).abs().max() < 5
    assert (warp(blob, matrices(1, turn=0.4)) - blob).abs().max() > 50


def test_zoom_above_one_enlarges():
    square = torch.zeros(1, 1, 40, 40)
    square[..., 15:25, 15:25] = 1
    assert warp(square, matrices(1, zoom=2.0)).sum() == pytest.approx(400, rel=0.03)


def test_a_shift_is_a_share_of_the_side():
    images = pictures(1, 20).float()
    moved = warp(images, matrices(1, shift=(0.25, 0.0)))
    torch.testing.assert_close(moved[..., :15], images[..., 5:], atol=2e-2, rtol=0)


def test_grey_is_luma_and_leaves_the_others():
    images = pictures(2).float()
    found = recolour(images, torch.tensor([True, False]), torch.ones(2), torch.zeros(2))
    luma = 0.299 * images[0, 0] + 0.587 * images[0, 1] + 0.114 * images[0, 2]
    torch.testing.assert_close(found[0], luma.expand(3, -1, -1))
    torch.testing.assert_close(found[1], images[1])


def test_contrast_keeps_the_mean_and_scales_the_deviation():
    images = pictures(2).float()
    found = recolour(images, torch.zeros(2).bool(), torch.tensor([0.5, 2.0]), torch.tensor([0.0, 10.0]))
    torch.testing.assert_close(found.mean((1, 2, 3)), images.mean((1, 2, 3)) + torch.tensor([0.0, 10.0]))
    torch.testing.assert_close(found.std((1, 2, 3)), images.std((1, 2, 3)) * torch.tensor([0.5, 2.0]))


def test_low_resolution_is_torchs_resize_and_back():
    images = pictures(2, 30).float()
    found = lose_detail(images, torch.tensor([7, 30]), torch.zeros(2))
    small = torch.nn.functional.interpolate(images[:1], size=7, mode="bilinear", antialias=True)
    torch.testing.assert_close(found[:1], torch.nn.functional.interpolate(small, size=30, mode="bilinear"))
    assert torch.equal(found[1], images[1])


def test_the_smallest_side_leaves_no_finer_detail():
    noise = Augment(dataclasses.replace(NO_AUGMENT, low_resolution=1.0, min_side_px=8))
    images = pictures(40, 64)
    found = noise(images, seeded(0))
    assert (found.std((1, 2, 3)) < images.float().std((1, 2, 3))).float().mean() > 0.9
    for side in (8, 20):
        assert torch.linalg.matrix_rank(shrink_matrix(64, side)) <= side


def test_blur_equals_scipys_away_from_the_border():
    images = pictures(2, 41).float()
    found = lose_detail(images, torch.full((2,), 41), torch.tensor([1.7, 0.0]))
    expected = gaussian_filter(images[0].numpy(), (0, 1.7, 1.7), truncate=4)
    inner = slice(8, -8)
    np.testing.assert_allclose(found[0, :, inner, inner].numpy(), expected[:, inner, inner], atol=0.05)
    assert torch.equal(found[1], images[1])


@pytest.mark.parametrize("bad", [{"flip": 1.5}, {"rotate_deg": -1}, {"grey": float("nan")}, {"min_side_px": 0}])
def test_ranges_are_checked(bad):
    with pytest.raises(UsageError, match=f"data.augment.{next(iter(bad))} must be"):
        AugmentSpec(**bad)
