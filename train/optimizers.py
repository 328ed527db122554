"""Optimizers whose weight decay is decoupled, which leave alone what is at rate 0, and sharpness-aware minimization.

A group at rate 0 takes no step at all: its gradients are dropped, so that neither weights nor momentum nor Adam's
moments know of the time before it was unfrozen, and its first step is a first step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from align import UsageError

OptimizerName = Literal["adamw", "adam", "sgd", "rmsprop"]
NAMES = ("adamw", "adam", "sgd", "rmsprop")
_DECAY = "decoupled_decay"  # not `weight_decay`, which torch's own step would add to the gradient as well


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate, a weight decay and a first epoch.

    Attributes:
        parameters: Not empty.
        is_backbone: Whether they belong to the backbone.
        lr_factor: Their learning rate as a share of the head's.
        weight_decay: Decoupled: a step takes the share rate * decay off them.
        from_epoch: The first epoch, counted from 0, in which they learn; their rate is 0 before.
    """

    parameters: list[nn.Parameter]
    is_backbone: bool
    lr_factor: float
    weight_decay: float
    from_epoch: int = 0

    def as_dict(self, lr: float) -> dict[str, Any]:
        """Give the group as our optimizers take it, `lr` being the head's rate."""
        return {"params": self.parameters, "lr": lr * self.lr_factor, _DECAY: self.weight_decay}


def drop_held_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Forget the gradients of all groups at rate 0, which then count neither in a step nor in a clipped norm."""
    for group in optimizer.param_groups:
        if group["lr"] == 0:
            for parameter in group["params"]:
                parameter.grad = None


class _Decoupled(torch.optim.Optimizer):
    """Take a step of the optimizer that a subclass adds, after dropping what is held and decaying the rest."""

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step on the gradients that `closure` computes, or on those that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        drop_held_gradients(self)
        for group in self.param_groups:
            learning = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group[_DECAY] and learning:
                torch._foreach_mul_(learning, 1 - group["lr"] * group[_DECAY])
        super().step()
        return loss


class _Adam(_Decoupled, torch.optim.Adam):
    """AdamW of Loshchilov and Hutter (2019); without decay Adam of Kingma and Ba (2015)."""


class _SGD(_Decoupled, torch.optim.SGD):
    """SGDW of Loshchilov and Hutter (2019)."""


class _RMSprop(_Decoupled, torch.optim.RMSprop):
    """RMSprop with decoupled decay."""


def create(
    name: OptimizerName, params: Sequence[dict[str, Any]], lr: float, momentum: float, *, nesterov: bool
) -> torch.optim.Optimizer:
    """Make an optimizer over groups as `Group.as_dict` gives them.

    Args:
        name: One of `NAMES`.
        params: The groups.
        lr: The head's rate.
        momentum: Of SGD and RMSprop.
        nesterov: Whether SGD's momentum is Nesterov's.
    """
    groups = list(params)
    if name == "sgd":
        return _SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0)
    if name == "rmsprop":
        return _RMSprop(groups, lr=lr, momentum=momentum)
    return _Adam(groups, lr=lr)


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimization around another optimizer (Foret et al. 2021, arXiv 2010.01412).

    A step computes the gradient twice: first where the weights are, then at distance `rho` uphill of it; the second
    moves the weights. Under DDP both are means over the ranks, so that several processes step as one would on the whole
    batch. Statistics of batch norm come from the first pass alone.

    Args:
        base: Steps by the second gradient; groups, state and state dict are its own.
        rho: The distance, in the norm over all weights that learn.

    Attributes:
        base: The optimizer within.
        is_second_pass: Whether the closure is being run at the place uphill, where nothing should be logged.
    """

    def __init__(self, base: torch.optim.Optimizer, rho: float = 0.05) -> None:
        super().__init__(base.param_groups, dict(base.defaults))
        self.base = base
        self.rho = rho
        self.is_second_pass = False
        self._model: nn.Module | None = None
        self._adopt()

    def _adopt(self) -> None:
        self.param_groups = self.base.param_groups
        self.state = self.base.state

    def watch(self, model: nn.Module) -> None:
        """Say whose batch norm must count each batch once; needed before the first step."""
        self._model = model

    def state_dict(self) -> dict[str, Any]:
        """Give the state of the optimizer within; a step leaves nothing else behind."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of the optimizer within."""
        self.base.load_state_dict(state_dict)
        self._adopt()

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step by two runs of `closure`, each of which zeroes the gradients and computes them anew.

        Returns:
            The loss of the first run.

        Raises:
            UsageError: There is no closure to run twice, as under a gradient scaler (float16).
            RuntimeError: No model is watched.
        """
        if closure is None:
            raise UsageError(
                "model.optimizer.sam_rho: expected a training step that may be run twice (got a single run, as with "
                "trainer.precision 16-mixed); set trainer.precision to bf16-mixed or 32-true, or sam_rho to null"
            )
        if self._model is None:
            raise RuntimeError("SAM.watch(model) must come before the first step: its batch norm would count twice")
        with torch.enable_grad():
            loss = closure()
        drop_held_gradients(self)
        statistics = _statistics(self._model)
        before = self._climb()
        self.is_second_pass = True
        try:
            with torch.enable_grad():
                closure()
        finally:
            self.is_second_pass = False
            for here, there in [*before, *statistics]:
                here.copy_(there)
        self.base.step()
        return loss

    def _climb(self) -> list[tuple[Tensor, Tensor]]:
        """Move the weights uphill by `rho`; returns each with a copy of what it was."""
        learning = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not learning:
            return []
        before = [(parameter, parameter.clone()) for parameter in learning]
        gradients = [parameter.grad for parameter in learning if parameter.grad is not None]
        scale = self.rho / (torch.nn.utils.get_total_norm(gradients) + 1e-12)
        for parameter, gradient in zip(learning, gradients, strict=True):
            parameter.add_(gradient * scale.to(gradient))
        return before


def _statistics(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """List the running statistics that a pass would change, each with a copy of what it is."""
    norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.training]
    return [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers(recurse=False)]
