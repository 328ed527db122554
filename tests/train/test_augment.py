import dataclasses
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from align import UsageError
from train.augment import Augment, AugmentSpec
from train.augment.apply import augment_by_torch
from train.augment.colour import Tint, add_noise, erase, recolour
from train.augment.detail import lose_detail, shrink_matrix
from train.augment.geometry import Moves, affine_matrices, perspective_matrices, sampling_grid, square, warp
from train.augment.on_cpu import augment_on_cpu

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
    shear_deg=10,
    perspective=0.1,
    saturation=1,
    noise=0.1,
    erase=0.5,
)

NO_AUGMENT = AugmentSpec(
    **dict.fromkeys((field.name for field in dataclasses.fields(AugmentSpec)), 0) | {"min_side_px": 1}
)


def pictures(count=3, side=17, seed=0):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=seeded(seed))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def matrices(count, flip=False, turn=0.0, zoom=1.0, shift=(0.0, 0.0), shear=0.0):
    ones = torch.ones(count)
    moves = Moves(ones.bool() & flip, ones * turn, ones * zoom, torch.tensor(shift).repeat(count, 1), ones * shear)
    return affine_matrices(moves)


def tint(saturation=(1.0, 1.0), contrast=(1.0, 1.0), brightness=(0.0, 0.0)):
    return Tint(torch.tensor(saturation), torch.tensor(contrast), torch.tensor(brightness))


@given(count=st.integers(1, 4), side=st.integers(1, 40), seed=st.integers(0, 1000))
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
    found = recolour(images, tint(saturation=(0.0, 1.0)))
    luma = 0.299 * images[0, 0] + 0.587 * images[0, 1] + 0.114 * images[0, 2]
    torch.testing.assert_close(found[0], luma.expand(3, -1, -1))
    torch.testing.assert_close(found[1], images[1], atol=1e-3, rtol=0)


def test_contrast_keeps_the_mean_and_scales_the_deviation():
    images = pictures(2).float()
    found = recolour(images, tint(contrast=(0.5, 2.0), brightness=(0.0, 10.0)))
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


@pytest.mark.parametrize(
    "bad", [{"flip": 1.5}, {"rotate_deg": -1}, {"grey": float("nan")}, {"min_side_px": 0}, {"perspective": 0.5}]
)
def test_ranges_are_checked(bad):
    with pytest.raises(UsageError, match=f"data.augment.{next(iter(bad))} must be"):
        AugmentSpec(**bad)


def test_saturation_moves_colours_from_or_to_their_luma():
    images = pictures(2).float()
    found = recolour(images, tint(saturation=(0.5, 2.0)))
    luma = torch.einsum("nchw,c->nhw", images, torch.tensor([0.299, 0.587, 0.114]))[:, None]
    torch.testing.assert_close(found[0], (images + luma)[0] / 2, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(found[1], (2 * images - luma)[1], atol=1e-3, rtol=1e-5)


def test_shear_slants_the_columns_and_leaves_rows_level():
    column = torch.zeros(1, 1, 41, 41)
    column[..., 20] = 1
    sheared = warp(column, matrices(1, shear=torch.pi / 4))[0, 0]
    assert sheared.argmax(1)[5:36].tolist() == list(range(35, 4, -1))
    row = warp(column.mT, matrices(1, shear=torch.pi / 4))
    torch.testing.assert_close(row, column.mT)


def test_a_homography_takes_the_square_to_its_corners():
    corners = square(50) + (torch.rand(50, 4, 2, generator=seeded(0)) * 2 - 1) * 0.9
    at = torch.cat([square(50), torch.ones(50, 4, 1)], 2)
    found = torch.einsum("nij,nkj->nki", perspective_matrices(corners), at)
    torch.testing.assert_close(found[..., :2] / found[..., 2:], corners, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(perspective_matrices(square(1)), torch.eye(3)[None])


def test_the_grid_is_torchs_for_an_affine_and_the_same_by_either_way():
    affine = matrices(2, turn=0.3, zoom=1.2, shift=(0.1, -0.2), shear=0.1)
    expected = torch.nn.functional.affine_grid(affine[:, :2], [2, 3, 6, 9], align_corners=False)
    torch.testing.assert_close(sampling_grid(affine, 6, 9), expected)
    scaled = torch.cat([affine[:1], affine[:1] @ perspective_matrices(square(1) * 0.999)])
    torch.testing.assert_close(sampling_grid(scaled, 6, 9)[0], expected[0])


def test_perspective_alone_moves_corners_by_at_most_its_share():
    at = torch.arange(40.0).expand(60, 3, 40, 40)
    found = Augment(dataclasses.replace(NO_AUGMENT, perspective=0.1))(at, seeded(0))
    moved = (found - at).abs().amax((1, 2, 3))
    assert 2 < float(moved.max()) < 0.15 * 40
    assert float(moved.min()) > 0.1


def test_noise_is_normal_of_each_pictures_own_deviation_and_differs_between_pictures():
    grey = torch.full((40, 3, 40, 40), 127.0)
    found = Augment(dataclasses.replace(NO_AUGMENT, noise=0.1))(grey, seeded(0)) - 127
    deviation = found.std((1, 2, 3))
    assert float(deviation.max()) == pytest.approx(25.5, abs=2)
    assert float(deviation.min()) < 3
    assert float(found.mean()) == pytest.approx(0, abs=0.3)
    scaled = (found / deviation.view(-1, 1, 1, 1)).flatten(1)
    assert float((scaled.abs() < 1).float().mean()) == pytest.approx(0.683, abs=0.01)
    same = torch.corrcoef(scaled) - torch.eye(40)
    assert float(same.abs().max()) < 0.1
    exact = add_noise(grey[:2].clone(), torch.tensor([0.0, 5.0]), torch.tensor([0, 7]))
    assert torch.equal(exact[0], grey[0])
    assert float(exact[1].std()) == pytest.approx(5, rel=0.05)


def test_an_erased_box_is_noise_and_the_rest_is_as_it_was():
    grey = torch.full((2, 3, 20, 20), 255.0)
    found = erase(grey.clone(), torch.tensor([[2, 3, 12, 18], [0, 0, 0, 0]]), torch.tensor([5, 5]))
    assert torch.equal(found[1], grey[1])
    inside = found[0, :, 2:12, 3:18]
    assert (inside < 255).float().mean() > 0.95
    assert 100 < float(inside.mean()) < 155
    outside = found[0].clone()
    outside[:, 2:12, 3:18] = 255
    assert torch.equal(outside, grey[0])


def test_erasing_has_the_probability_and_the_areas_asked_for():
    white = torch.full((1000, 3, 30, 30), 255.0)
    found = Augment(dataclasses.replace(NO_AUGMENT, erase=0.4, erase_area=0.32))(white, seeded(0))
    share = (found < 255).any(1).float().mean((1, 2))
    erased = share[share > 0]
    assert len(erased) / 1000 == pytest.approx(0.4, abs=0.05)
    assert 0.01 < float(erased.min()) < 0.04
    assert 0.28 < float(erased.max()) < 0.36
    assert float(erased.mean()) == pytest.approx(0.17, abs=0.02)
    boxes = Augment(AugmentSpec(erase=1.0, erase_area=0.3)).draw(1000, 112, seeded(1)).boxes
    ratio = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
    assert 0.28 < float(ratio.min()) < 0.4
    assert 2.5 < float(ratio.max()) < 3.6
    assert int(boxes.min()) >= 0
    assert int(boxes.max()) <= 112
    assert int(boxes[:, 0].min()) == 0
    assert int(boxes[:, 3].max()) == 112


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spec", [STRONG, AugmentSpec(), dataclasses.replace(STRONG, perspective=0.0)])
def test_the_compiled_and_the_torch_augmentation_give_the_same(spec, seed):
    images = pictures(40, 33, seed)
    draws = Augment(spec).draw(40, 33, seeded(seed))
    torch.testing.assert_close(augment_on_cpu(images, draws), augment_by_torch(images, draws), atol=0.02, rtol=0)


@pytest.mark.parametrize("side", [1, 2, 112])
def test_they_give_the_same_at_any_side(side):
    images = pictures(12, side)
    draws = Augment(dataclasses.replace(STRONG, min_side_px=1)).draw(12, side, seeded(side))
    torch.testing.assert_close(augment_on_cpu(images, draws), augment_by_torch(images, draws), atol=0.02, rtol=0)


def test_a_picture_of_a_batch_is_what_it_would_be_alone():
    images, draws = pictures(20, 24), Augment(STRONG).draw(20, 24, seeded(6))
    alone = [augment_on_cpu(images[i : i + 1], type(draws)(*(of[i : i + 1] for of in draws))) for i in range(20)]
    assert torch.equal(augment_on_cpu(images, draws), torch.cat(alone))


def test_an_empty_batch_stays_empty():
    assert Augment(STRONG)(pictures(0, 12), seeded(0)).shape == (0, 3, 12, 12)


def test_threads_change_nothing():
    images, threads = pictures(20, 32), torch.get_num_threads()
    try:
        found = []
        for count in (1, 4):
            torch.set_num_threads(count)
            found.append(Augment(STRONG)(images, seeded(3)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_a_forked_process_has_threads_of_its_own():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        expected = _sum_of_a_batch()  # from here on, this process keeps a thread
        with multiprocessing.get_context("fork").Pool(1) as fork:
            assert fork.apply_async(_sum_of_a_batch).get(timeout=30) == expected
    finally:
        torch.set_num_threads(threads)


def _sum_of_a_batch():
    return float(Augment(STRONG)(pictures(20, 16), seeded(3)).double().sum())


def test_fractions_of_a_float_picture_are_kept():
    images = pictures(3, 8).float() * 0.99
    torch.testing.assert_close(Augment(NO_AUGMENT)(images, seeded(0)), images, atol=2e-2, rtol=0)


COUNT_THREADS = """
import os, pathlib, numpy, torch
from train.augment import Augment, AugmentSpec
from train.pack import Pack

def threads():
    return len(os.listdir("/proc/self/task"))

torch.set_num_threads(2)
zeros = torch.from_numpy(numpy.zeros((300, 3, 64, 64), numpy.uint8))  # torch would fill it by threads
pack, rows = Pack(pathlib.Path(), ("",) * 300, zeros), torch.arange(128)
generator = torch.Generator().manual_seed(0)
augment = Augment(AugmentSpec(shear_deg=5, saturation=0.5, perspective=0.1, erase=0.5, noise=0.1, low_resolution=0))
before = threads()
images = pack.gather(rows)
augment.draw(128, 64, generator)
print(threads() - before)
augment(images[:1], generator)  # loads the compiled code, and is so little that nobody helps
before = threads()
for _ in range(3):
    augment(images, generator)
    print(threads() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads by /proc")
def test_a_batch_wakes_one_helper_that_stays_and_none_of_torchs_threads():
    ran = subprocess.run([sys.executable, "-c", COUNT_THREADS], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["0", "1", "1", "1"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_input_of_any_layout_and_type_is_left_alone(layout):
    images = pictures(4, 16)
    given = images.float().contiguous(memory_format=layout)
    before = given.clone()
    found = Augment(STRONG)(given, seeded(1))
    assert torch.equal(given, before)
    torch.testing.assert_close(found, Augment(STRONG)(images, seeded(1)), atol=2e-2, rtol=0)
    assert torch.equal(
        Augment(STRONG)(images.contiguous(memory_format=layout), seeded(1)), Augment(STRONG)(images, seeded(1))
    )


def test_the_generator_advances_by_the_same_amount_whatever_is_asked_for():
    states = []
    for spec in (NO_AUGMENT, STRONG, AugmentSpec()):
        generator = seeded(0)
        Augment(spec)(pictures(5, 16), generator)
        states.append(generator.get_state())
    assert all(torch.equal(state, states[0]) for state in states)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_cpu_gives():
    images = pictures(40, 48)
    found = Augment(STRONG)(images.cuda(), seeded(3)).cpu()
    torch.testing.assert_close(found, Augment(STRONG)(images, seeded(3)), atol=0.5, rtol=0)
