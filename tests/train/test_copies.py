"""Augmentation that is drawn once: fixed copies of each face, and one move for all."""

from collections import Counter, defaultdict

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align import UsageError
from train.augment import Augment, AugmentSpec, Copies
from train.backbones import BackboneSpec
from train.data import FaceData
from train.finetune import FinetuneSpec
from train.mix import MixSpec
from train.module import FaceModel
from train.tasks import Tasks

from .conftest import write_set
from .toy import QUIET

SIZE_PX = 48
PLAIN = {"flip": 0, "rotate_deg": 0, "shift": 0, "zoom": 0, "brightness": 0, "contrast": 0, "grey": 0, "blur": 0}
PLAIN |= {"low_resolution": 0}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class Shown(pl.Callback):
    """Keeps what each epoch showed, by face and copy."""

    def __init__(self):
        self.epochs = defaultdict(lambda: defaultdict(list))

    def on_train_batch_start(self, trainer, module, batch, batch_idx):  # noqa: ARG002 - Lightning's hook
        for image, row, copy in zip(batch.images, batch.rows.tolist(), batch.copies.tolist(), strict=True):
            self.epochs[trainer.current_epoch][row, copy].append(image.clone())


def shown(root, epochs=2, copies=2, seed=3, **options):
    """Train a small network and give what was shown, and the data."""
    kept = Shown()
    spec = AugmentSpec(rotate_deg=20, noise=0.05, copies=copies)
    data = FaceData(root, batch_size=16, seed=seed, augment=spec, **options)
    tasks = Tasks(classes=["not_face", "face"])
    model = FaceModel(tasks, BackboneSpec("test_resnet", "none", size_px=SIZE_PX), finetune=FinetuneSpec("none"))
    trainer = pl.Trainer(max_epochs=epochs, callbacks=[kept], **QUIET)
    trainer.fit(model, data)
    return kept.epochs, data


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    root = tmp_path_factory.mktemp("few")
    write_set(root, {"train": {"face": 4, "not_face": 6}, "val": {"face": 1, "not_face": 1}})
    return root


@pytest.fixture(scope="module")
def two_epochs(few):
    return shown(few)


def test_an_epoch_shows_each_face_as_it_is_and_each_of_its_copies(two_epochs):
    epochs, data = two_epochs
    for seen in epochs.values():
        assert {key: len(images) for key, images in seen.items()} == {
            (row, copy): 1 for row in range(10) for copy in range(3)
        }
        faces = data.splits["train"]
        for row in range(10):
            torch.testing.assert_close(seen[row, 0][0], faces[row].images[0].float(), rtol=0, atol=0)


def test_a_copy_is_the_same_in_each_epoch_and_unlike_the_others(two_epochs):
    epochs, _ = two_epochs
    for key, images in epochs[0].items():
        assert torch.equal(images[0], epochs[1][key][0])
    for row in range(10):
        first, second, third = (epochs[0][row, copy][0] for copy in range(3))
        assert min(float((a - b).abs().mean()) for a, b in ((first, second), (first, third), (second, third))) > 1


def test_another_seed_draws_other_copies(two_epochs, few):
    epochs, _ = two_epochs
    again, _ = shown(few, epochs=1, seed=4)
    assert torch.equal(again[0][0, 0][0], epochs[0][0, 0][0])
    assert not torch.equal(again[0][0, 1][0], epochs[0][0, 1][0])


def test_classes_are_evened_out_among_the_copies_too(few):
    epochs, data = shown(few, epochs=1, balance=1.0)
    faces = data.splits["train"].rows.targets[:, 1] == 1
    by_class, by_copy = Counter(), Counter()
    for (row, copy), images in epochs[0].items():
        by_class[bool(faces[row])] += len(images)
        by_copy[copy] += len(images)
    assert sum(by_class.values()) == 30
    assert abs(by_class[True] - by_class[False]) <= 2
    assert set(by_copy) == {0, 1, 2}


def test_copies_are_mixed_like_any_picture(few):
    epochs, data = shown(few, epochs=1, mix=MixSpec(mixup_alpha=1.0, probability=1.0))
    faces = data.splits["train"]
    changed = [row for row in range(10) if not torch.equal(epochs[0][row, 0][0], faces[row].images[0].float())]
    assert len(changed) > 5


def test_without_copies_each_epoch_draws_anew(few):
    epochs, _ = shown(few, copies=0)
    assert set(epochs[0]) == {(row, 0) for row in range(10)}
    assert not any(torch.equal(epochs[0][key][0], epochs[1][key][0]) for key in epochs[0])


def test_a_copy_does_not_depend_on_its_batch():
    images = torch.randint(0, 256, (6, 3, SIZE_PX, SIZE_PX), dtype=torch.uint8, generator=seeded(0))
    copies = Copies(Augment(AugmentSpec(noise=0.1, erase=0.5, copies=3)), 6, SIZE_PX, seeded(1))
    rows, which = torch.tensor([5, 0, 3, 3]), torch.tensor([3, 0, 1, 2])
    together = copies(images[rows], rows, which)
    for i in range(4):
        alone = copies(images[rows[i : i + 1]], rows[i : i + 1], which[i : i + 1])
        assert torch.equal(alone[0], together[i])


def test_no_two_copies_are_drawn_alike():
    faces = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8, generator=seeded(0)).repeat(15, 1, 1, 1)
    copies = Copies(Augment(AugmentSpec(copies=3)), 5, 16, seeded(1))
    drawn = copies(faces, torch.arange(5).repeat(3), torch.arange(1, 4).repeat_interleave(5))
    assert len(drawn.flatten(1).unique(dim=0)) == 15


@pytest.mark.parametrize("bad", [-1, 1.5])
def test_a_number_of_copies_that_makes_no_sense_is_refused(bad):
    with pytest.raises(UsageError, match=r"data\.augment\.copies must be .* \(got "):
        AugmentSpec(copies=bad)


@given(st.integers(0, 2**32), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_one_move_is_the_same_for_all_faces_of_a_run_but_for_the_flip(seed, count):
    spec = AugmentSpec(rotate_deg=30, shift=0.2, zoom=0.3, shear_deg=10, one_move=True)
    augment = Augment(spec, seed)
    first, second = (augment.draw(count, 16, seeded(number)).matrices for number in (1, 2))
    mirror = torch.tensor([-1.0, 1, 1])
    for matrix in torch.cat([first, second]):
        straight = matrix if float(matrix.det()) > 0 else matrix * mirror  # undo the flip of what comes in
        torch.testing.assert_close(straight, first[0] if float(first[0].det()) > 0 else first[0] * mirror)
    assert not torch.equal(first[0].abs(), Augment(spec, seed + 1).draw(count, 16, seeded(1)).matrices[0].abs())


def test_with_one_move_flips_and_colours_are_still_drawn_for_each_face():
    draws = Augment(AugmentSpec(one_move=True)).draw(64, 16, seeded(0))
    flipped = draws.matrices.det() < 0
    assert 16 < int(flipped.sum()) < 48
    assert len(draws.brightness.unique()) > 32


def test_one_move_turns_every_picture_of_a_training_alike():
    picture = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    picture[..., 8:24, 14:18] = 255
    spec = AugmentSpec(**PLAIN | {"rotate_deg": 60}, one_move=True)
    augment = Augment(spec, 5)
    first, second = (augment(picture.repeat(2, 1, 1, 1), seeded(number)) for number in (1, 2))
    assert torch.equal(first, second)
    assert torch.equal(first[0], first[1])
    assert float((first[0] - picture[0]).abs().mean()) > 1
