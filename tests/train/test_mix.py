import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align import UsageError
from train.mix import Mix, MixSpec, draw_partners

COUNT, SIDE = 64, 12


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def flat_batch(count=COUNT):
    """Picture i is of grey level i throughout, and its target is (i, 2 i): a mix shows who is in it."""
    level = torch.arange(count, dtype=torch.float32)
    return level.view(-1, 1, 1, 1).expand(count, 3, SIDE, SIDE).clone(), torch.stack([level, 2 * level], 1)


def test_nothing_is_mixed_by_default():
    images, targets = flat_batch()
    mixed, mixed_targets = Mix(MixSpec())(images, targets, seeded(0))
    assert mixed is images
    assert mixed_targets is targets


@given(seed=st.integers(0, 1000), spec=st.sampled_from([MixSpec(0.4), MixSpec(0, 1.0), MixSpec(0.4, 1.0)]))
@settings(max_examples=30, deadline=None)
def test_targets_are_mixed_by_exactly_the_share_of_the_pixels(seed, spec):
    images, targets = flat_batch()
    mixed, mixed_targets = Mix(spec)(images, targets, seeded(seed))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), mixed_targets[:, 0], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(2 * mixed_targets[:, 0], mixed_targets[:, 1])
    again = Mix(spec)(images, targets, seeded(seed))
    assert torch.equal(mixed, again[0])
    assert not torch.equal(mixed, Mix(spec)(images, targets, seeded(seed + 1))[0])


def test_mixup_is_flat_and_cutmix_pastes_one_box():
    images, targets = flat_batch()
    assert (Mix(MixSpec(1.0))(images, targets, seeded(0))[0].std((1, 2, 3)) < 1e-4).all()
    cut, _ = Mix(MixSpec(0, 1.0))(images, targets, seeded(0))
    pasted = cut[:, 0] != images[:, 0]
    assert pasted.flatten(1).any(1).float().mean() > 0.8
    for one, picture in zip(pasted, cut[:, 0], strict=True):
        rows, columns = one.any(1).nonzero(), one.any(0).nonzero()
        if len(rows):
            box = one[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert box.all()
            assert len(picture[one].unique()) == 1  # of one partner, as it is


def test_the_share_of_mixup_follows_its_beta_distribution():
    images = flat_batch(4000)[0][:, :1, :1, :1]
    one_hot = torch.eye(2)[torch.arange(4000) % 2]
    for alpha, spread in ((0.2, 0.5 / np.sqrt(1.4)), (8.0, 0.5 / np.sqrt(17))):
        partner_only = Mix(MixSpec(alpha))(torch.zeros_like(images), one_hot, seeded(0))[1]
        mixed = partner_only[(partner_only > 0).all(1)][:, 0]
        assert float(mixed.std()) == pytest.approx(spread, abs=0.03)  # of Beta(a, a): 1 / (2 sqrt(2 a + 1))


def test_probability_and_switch_are_shares_of_the_pictures():
    images, targets = flat_batch(2000)
    mixed, _ = Mix(MixSpec(1.0, 0, probability=0.3))(images, targets, seeded(0))
    assert float((mixed != images).flatten(1).any(1).float().mean()) == pytest.approx(0.3, abs=0.04)
    both, _ = Mix(MixSpec(1.0, 1.0, switch=0.25))(images, targets, seeded(0))
    assert float((both.std((1, 2, 3)) > 1e-3).float().mean()) == pytest.approx(0.25, abs=0.04)


def test_padding_is_neither_mixed_nor_a_partner():
    images, targets = flat_batch()
    targets[::2] = float("nan")
    for spec in (MixSpec(1.0), MixSpec(0, 1.0)):
        mixed, mixed_targets = Mix(spec)(images, targets, seeded(0))
        assert torch.equal(mixed[::2], images[::2])
        assert not mixed_targets[1::2].isnan().any()
        assert mixed_targets[::2].isnan().all()


def test_a_task_that_one_of_a_pair_lacks_is_masked_and_one_that_gives_nothing_masks_nothing():
    images, targets = flat_batch()
    targets[:32, 1] = float("nan")
    mixed, mixed_targets = Mix(MixSpec(1.0, probability=0.5))(images, targets, seeded(0))
    same = ~(mixed != images).flatten(1).any(1)
    assert torch.equal(mixed_targets[same].isnan(), targets[same].isnan())
    assert mixed_targets[32:][~same[32:], 1].isnan().any()
    assert not mixed_targets[:, 0].isnan().any()


@given(labelled=st.lists(st.booleans(), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_partners_are_others_and_each_is_one_once(labelled, seed):
    labelled = np.array(labelled)
    partner = draw_partners(labelled, np.random.default_rng(seed))
    assert sorted(partner) == list(range(len(labelled)))
    assert (partner[~labelled] == np.flatnonzero(~labelled)).all()
    if labelled.sum() > 1:
        assert (partner[labelled] != np.flatnonzero(labelled)).all()


def test_one_picture_alone_stays_as_it_is():
    images, targets = flat_batch(1)
    assert torch.equal(Mix(MixSpec(1.0))(images, targets, seeded(0))[0], images)


@pytest.mark.parametrize("bad", [{"mixup_alpha": -1}, {"probability": 1.1}, {"switch": float("nan")}])
def test_ranges_are_checked(bad):
    with pytest.raises(UsageError, match=f"data.mix.{next(iter(bad))} must be"):
        MixSpec(**bad)
