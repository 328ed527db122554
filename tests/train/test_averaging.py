import pytest
import pytorch_lightning as pl
import torch

from train.averaging import MovingAverage
from train.finetune import FinetuneSpec
from train.schedule import OptimizerSpec

from .toy import QUIET, Toy, every_epoch, fit, loader, same, weights

SPEC = OptimizerSpec("adamw", lr=0.02, ema_decay=0.8)


class Spy(pl.Callback):
    """Keeps the weights after each step, and those that validation sees."""

    def __init__(self):
        self.stepped, self.validated = [], []

    def on_train_batch_end(self, _trainer, module, *_):
        self.stepped.append(weights(module))

    def on_validation_batch_end(self, _trainer, module, *_):
        self.validated.append(weights(module))


def averaged(steps, decay=0.8):
    """The average as its formula says."""
    average = {name: value.double() for name, value in steps[0].items()}
    for n, values in enumerate(steps[1:], 2):
        kept = min(decay, (1 + n) / (10 + n))
        for name, value in values.items():
            counts = not value.is_floating_point()
            average[name] = value.double() if counts else kept * average[name] + (1 - kept) * value.double()
    return average


def assert_close(found, expected):
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6, msg=name)


def test_validation_and_the_end_see_the_average_and_training_does_not():
    spy, plain_spy = Spy(), Spy()
    model, plain = Toy(SPEC), Toy(OptimizerSpec("adamw", lr=0.02))
    fit(model, 3, callbacks=[spy])
    fit(plain, 3, callbacks=[plain_spy])
    assert all(same(one, other) for one, other in zip(spy.stepped, plain_spy.stepped, strict=True))
    for epoch in range(3):
        assert_close(spy.validated[4 * epoch], averaged(spy.stepped[: 4 * epoch + 4]))
    assert_close(weights(model), averaged(spy.stepped))
    assert not same(weights(model), spy.stepped[-1])
    assert int(model.backbone[1].num_batches_tracked) == 12


def test_the_decay_rises_to_what_was_asked_for():
    spy = Spy()
    model = Toy(OptimizerSpec("adamw", lr=0.02, ema_decay=0.3))
    fit(model, 2, callbacks=[spy])
    assert_close(weights(model), averaged(spy.stepped, 0.3))


def test_a_checkpoint_holds_the_average_and_the_trained_weights(tmp_path):
    spy = Spy()
    model = Toy(SPEC)
    trainer = fit(model, 2, enable_checkpointing=True, callbacks=[spy, every_epoch(tmp_path)])
    stored = torch.load(tmp_path / "1.ckpt", weights_only=True)
    assert same(stored["state_dict"], weights(model))
    assert same(stored["current_model_state"], spy.stepped[-1])
    trainer.save_checkpoint(tmp_path / "end.ckpt")  # when the average stands in the model already
    late = torch.load(tmp_path / "end.ckpt", weights_only=True)
    assert same(late["state_dict"], stored["state_dict"])
    assert same(late["current_model_state"], stored["current_model_state"])


@pytest.mark.parametrize("start", ["0.ckpt", "middle.ckpt"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path, start):
    whole, again = Toy(SPEC), Toy(SPEC)
    options = {"val_check_interval": 2}
    fit(whole, 4, enable_checkpointing=True, callbacks=[every_epoch(tmp_path), MidValidation(tmp_path)], **options)
    trainer = fit(again, 4, ckpt_path=tmp_path / start, **options)
    if start == "0.ckpt":
        assert same(weights(whole), weights(again))
        assert again.losses == whole.losses[4:]
    stored = torch.load(tmp_path / "middle.ckpt", weights_only=True)
    assert same(stored["current_model_state"], MidValidation.trained)
    assert trainer.global_step == 16


class MidValidation(pl.Callback):
    """Saves while validation has the average in the model, as a run does that an exception ends there."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_end(self, _trainer, module, *_):
        MidValidation.last = weights(module)

    def on_validation_batch_start(self, trainer, *_):
        if trainer.current_epoch == 1 and not (self.folder / "middle.ckpt").exists():
            MidValidation.trained = MidValidation.last
            trainer.save_checkpoint(self.folder / "middle.ckpt")


def test_before_the_first_step_validation_sees_the_weights_themselves(tmp_path):
    spy = Spy()
    model = Toy(SPEC)
    before = weights(model)
    fit(model, 1, callbacks=[spy], num_sanity_val_steps=2)
    assert all(same(seen, before) for seen in spy.validated[:2])
    late = Toy(SPEC)
    fit(late, 1, callbacks=[first := FirstSave(tmp_path)], val_check_interval=1, accumulate_grad_batches=4)
    assert same(torch.load(tmp_path / "first.ckpt", weights_only=True)["state_dict"], first.seen)
    assert same(first.validated, first.seen)  # the running statistics of the first forward pass included


class FirstSave(pl.Callback):
    """Saves after the first validation, at a time when four accumulated batches have not made a step yet."""

    def __init__(self, folder):
        self.path = folder / "first.ckpt"
        self.seen = self.validated = None

    def on_validation_batch_start(self, _trainer, module, *_):
        if self.validated is None:
            self.validated = weights(module)

    def on_validation_end(self, trainer, module):
        if self.seen is None:
            assert trainer.global_step == 0
            self.seen = weights(module)
            trainer.save_checkpoint(self.path)


def test_what_is_frozen_stays_equal_in_the_average():
    model = Toy(SPEC, FinetuneSpec("gradual", unfreeze_epoch=1))
    before = weights(model)
    fit(model, 2)
    after = weights(model)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {"head.weight", "head.bias", "backbone.6.weight", "backbone.6.bias"}


def test_testing_and_validating_afterwards_use_the_average(tmp_path):
    spy = Spy()
    model = Toy(SPEC)
    trainer = fit(model, 2, callbacks=[spy], enable_checkpointing=True, default_root_dir=tmp_path)
    average = weights(model)
    (first,) = trainer.validate(model, loader(), verbose=False)
    assert same(weights(model), average)
    assert same(spy.validated[-1], average)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    fresh = Toy(SPEC)
    (second,) = pl.Trainer(**QUIET).validate(
        fresh, loader(), ckpt_path=tmp_path / "end.ckpt", weights_only=True, verbose=False
    )
    assert same(weights(fresh), average)
    assert first == second


def test_a_callback_of_ones_own_leaves_the_average_in_place_after_the_fit(tmp_path):
    spy, callback = Spy(), MovingAverage(0.8)
    model = Toy(OptimizerSpec(lr=0.02))
    trainer = fit(model, 1, callbacks=[spy, callback])
    average = weights(model)
    assert not same(average, spy.stepped[-1])
    trainer.validate(model, loader(), verbose=False)
    assert same(spy.validated[-1], average)
    assert same(weights(model), average)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    stored = torch.load(tmp_path / "end.ckpt", weights_only=True)
    assert same(stored["state_dict"], average)
    assert same(stored["current_model_state"], spy.stepped[-1])


def test_a_second_fit_averages_anew():
    callback = MovingAverage(0.8)
    first, second = Toy(OptimizerSpec(lr=0.02)), Toy(OptimizerSpec(lr=0.02))
    for model in (first, second):
        fit(model, 1, callbacks=[callback])
    assert same(weights(first), weights(second))
