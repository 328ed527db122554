import io

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F  # noqa: N812
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from timm.optim import SGDW
from torch import nn

from align import UsageError
from train.finetune import FinetuneSpec
from train.optimizers import NAMES, SAM, Group
from train.schedule import OptimizerSpec, ScheduleSpec, make_optimizer

from .toy import Toy, every_epoch, fit, loader, same, weights

CONSTANT = ScheduleSpec("constant")


def quadratic(spec, lr=0.1, factors=(1.0,), decay=0.0):
    """One weight vector a group, and the closure of a loss that is not symmetric."""
    generator = torch.Generator().manual_seed(1)
    parameters = [nn.Parameter(torch.randn(5, 3, generator=generator)) for _ in factors]
    groups = [Group([p], True, factor, decay) for p, factor in zip(parameters, factors, strict=True)]
    optimizer = make_optimizer(groups, spec, lr)

    def closure():
        optimizer.zero_grad()
        loss = sum((p - 0.3).square().sum() + p.pow(4).sum() / 7 for p in parameters)
        loss.backward()
        return loss

    return parameters, optimizer, closure


def stepped(optimizer_of, steps=6):
    (parameter,), _, _ = quadratic(OptimizerSpec("sgd"))
    optimizer = optimizer_of([parameter])
    for _ in range(steps):
        optimizer.zero_grad()
        ((parameter - 0.3).square().sum() + parameter.pow(4).sum() / 7).backward()
        optimizer.step()
    return parameter.detach()


REFERENCES = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.2),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.2, decoupled_weight_decay=True),
    "sgd": lambda p: SGDW(p, lr=0.1, weight_decay=0.2, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_steps_equal_those_of_torch_and_timm_with_decoupled_decay(name):
    (parameter,), optimizer, closure = quadratic(OptimizerSpec(name, momentum=0.9), decay=0.2)
    for _ in range(6):
        optimizer.step(closure)
    torch.testing.assert_close(parameter.detach(), stepped(REFERENCES[name]), rtol=1e-6, atol=1e-7)


def test_rmsprop_and_plain_sgd_decay_by_the_rate():
    for spec, lr in ((OptimizerSpec("rmsprop", momentum=0), 0.1), (OptimizerSpec("sgd", momentum=0), 0.02)):
        (parameter,), optimizer, closure = quadratic(spec, lr, decay=0.5)
        (twin,), other, others = quadratic(spec, lr)
        before = parameter.detach().clone()
        optimizer.step(closure)
        other.step(others)
        torch.testing.assert_close(twin.detach() - parameter.detach(), before * lr * 0.5, rtol=1e-5, atol=1e-6)


def test_nesterov_may_be_off():
    runs = []
    for nesterov in (True, False):
        (parameter,), optimizer, closure = quadratic(OptimizerSpec("sgd", nesterov=nesterov), 0.01)
        for _ in range(2):
            optimizer.step(closure)
        runs.append(parameter.detach())
    assert not torch.allclose(*runs)
    plain = stepped(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), 2)
    torch.testing.assert_close(runs[1], plain)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rho", [None, 0.1])
def test_what_was_held_at_rate_zero_begins_as_if_the_run_began(name, rho):
    """Neither weights nor moments know of the steps at rate 0, decay and all."""
    spec = OptimizerSpec(name, sam_rho=rho)
    (held, _), optimizer, closure = quadratic(spec, 0.01, (1.0, 1.0), decay=0.3)
    watch(optimizer)
    before = held.detach().clone()
    optimizer.param_groups[0]["lr"] = 0.0
    for _ in range(5):
        optimizer.step(closure)
    assert torch.equal(held.detach(), before)
    assert held not in optimizer.state
    (fresh,), other, others = quadratic(OptimizerSpec(name), 0.01, decay=0.3)
    optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = 0.01, 0.0
    for _ in range(3):
        optimizer.step(closure)
        if rho is None:
            other.step(others)
    assert not torch.equal(held.detach(), before)
    if rho is None:
        assert torch.equal(held.detach(), fresh.detach())


def watch(optimizer, model=None):
    if isinstance(optimizer, SAM):
        optimizer.watch(model or nn.Identity())


def test_sam_steps_by_the_gradient_uphill():
    (parameter,), optimizer, closure = quadratic(OptimizerSpec("sgd", momentum=0, sam_rho=0.5), 0.01)
    watch(optimizer)
    before = parameter.detach().clone()

    def gradient(at):
        at = at.clone().requires_grad_()
        ((at - 0.3).square().sum() + at.pow(4).sum() / 7).backward()
        return at.grad

    first = gradient(before)
    uphill = gradient(before + 0.5 * first / first.norm())
    loss = optimizer.step(closure)
    torch.testing.assert_close(parameter.detach(), before - 0.01 * uphill)
    torch.testing.assert_close(loss.detach(), (before - 0.3).square().sum() + before.pow(4).sum() / 7)


def test_sams_norm_goes_over_all_groups_that_learn():
    (held, one, other), optimizer, closure = quadratic(OptimizerSpec("sgd", momentum=0, sam_rho=0.3), 0.01, (1, 1, 2))
    watch(optimizer)
    optimizer.param_groups[0]["lr"] = 0.0
    start, seen = [p.detach().clone() for p in (held, one, other)], []

    def spying():
        seen.append([p.detach().clone() for p in (held, one, other)])
        return closure()

    optimizer.step(spying)
    moved = [there - here for here, there in zip(start, seen[1], strict=True)]
    assert not moved[0].any()
    assert torch.cat(moved[1:]).norm().item() == pytest.approx(0.3, rel=1e-5)
    assert not torch.equal(start[2], other.detach())


def test_sam_counts_a_batch_once_in_batch_norm():
    plain, sam = (
        Toy(OptimizerSpec("sgd", schedule=CONSTANT)),
        Toy(OptimizerSpec("sgd", schedule=CONSTANT, sam_rho=0.05)),
    )
    fit(plain, 1, limit_train_batches=1)
    fit(sam, 1, limit_train_batches=1)
    for name, value in plain.backbone[1].named_buffers():
        assert torch.equal(value, sam.backbone[1].get_buffer(name)), name
    assert sam.backbone[1].num_batches_tracked == 1
    assert len(sam.losses) == 2
    assert not torch.equal(plain.head.weight, sam.head.weight)


def test_sam_goes_on_from_its_state_bit_for_bit(tmp_path):
    spec = OptimizerSpec("adamw", lr=0.01, sam_rho=0.05)
    whole, again = Toy(spec), Toy(spec)
    fit(whole, 4, enable_checkpointing=True, callbacks=[every_epoch(tmp_path)])
    fit(again, 4, ckpt_path=tmp_path / "1.ckpt")
    assert same(weights(whole), weights(again))


def test_sam_refuses_what_it_cannot_do_right():
    spec = OptimizerSpec(sam_rho=0.05)
    with pytest.raises(UsageError, match=r"sam_rho: expected trainer\.accumulate_grad_batches 1 \(got 2"):
        fit(Toy(spec), 1, accumulate_grad_batches=2)
    with pytest.raises(UsageError, match=r"sam_rho: expected trainer\.accumulate_grad_batches 1 \(got 4"):
        fit(Toy(spec), 2, callbacks=[GradientAccumulationScheduler({1: 4})])
    scaled = pl.plugins.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    with pytest.raises(UsageError, match=r"sam_rho: expected trainer\.precision bf16-mixed"):
        fit(Toy(spec), 1, plugins=[scaled])
    _, optimizer, closure = quadratic(spec)
    with pytest.raises(UsageError, match="run twice"):
        optimizer.step()
    with pytest.raises(RuntimeError, match="watch"):
        optimizer.step(closure)


def test_sam_takes_bfloat16():
    model = Toy(OptimizerSpec(sam_rho=0.05))
    fit(model, 1, precision="bf16-mixed")
    assert len(model.losses) == 8
    assert all(value.isfinite().all() for value in weights(model).values())


def test_a_gradient_scaler_and_clipping_leave_what_is_frozen_alone():
    model = Toy(OptimizerSpec("adamw", lr=0.01), FinetuneSpec("gradual"))
    before = weights(model)
    scaled = pl.plugins.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0))
    fit(model, 2, plugins=[scaled], gradient_clip_val=1.0, accumulate_grad_batches=2)
    moved = {name.rpartition(".")[0] for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert moved == {"head", "backbone.6", "backbone.3", "backbone.4"}
    assert all(value.isfinite().all() for value in weights(model).values())


@pytest.mark.parametrize("name", NAMES)
def test_accumulated_batches_step_as_one_large_batch(name):
    spec = OptimizerSpec(name, lr=0.01, schedule=CONSTANT)
    small, large = Toy(spec, norm=False), Toy(spec, norm=False)
    fit(small, 2, batch=8, accumulate_grad_batches=2)
    fit(large, 2, batch=16)
    assert torch.tensor(large.losses).diff().abs().max() > 1e-4
    for one, other in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("rho", [None, 0.05])
def test_clipping_counts_only_what_learns(rho):
    """A head over a backbone that is unfrozen later is clipped as over one that is frozen for good."""
    spec = OptimizerSpec("sgd", lr=0.5, schedule=CONSTANT, sam_rho=rho)
    later, never = Toy(spec, FinetuneSpec("all", unfreeze_epoch=9)), Toy(spec, FinetuneSpec("all"))
    free = Toy(spec, FinetuneSpec("all"))
    for model in (later, never):
        fit(model, 1, gradient_clip_val=0.05)
    fit(free, 1)
    assert same(weights(later), weights(never))
    assert not same(weights(free), weights(never))


@pytest.mark.parametrize("rho", [None, 0.05])
def test_clipping_bounds_a_step(rho):
    spec = OptimizerSpec("sgd", lr=1.0, momentum=0, weight_decay=0, schedule=CONSTANT, sam_rho=rho)
    model = Toy(spec, FinetuneSpec("none", backbone_lr=1.0))
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    fit(model, 1, limit_train_batches=1, gradient_clip_val=0.01)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_states_load_without_running_code():
    model = Toy()
    for name in NAMES:
        optimizer = make_optimizer([Group(list(model.parameters()), True, 1.0, 0.1)], OptimizerSpec(name), 0.1)
        F.cross_entropy(model.head(model.backbone(next(iter(loader()))[0])), next(iter(loader()))[1]).backward()
        optimizer.step()
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        optimizer.load_state_dict(torch.load(file, weights_only=True))
