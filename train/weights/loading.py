"""Fills a network from a file's tensors, says what matched, and refuses a file that does not fit."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from align import ModelError

from .layouts import LAYOUTS

State = Mapping[str, Tensor]

_PREFIXES = (
    "",
    "module.",
    "model.",
    "backbone.",
    "net.",
    "encoder.",
    "module.model.",
    "module.backbone.",
    "model.module.",
    "model.backbone.",
    "model.net.",
)
_COUNTER = "num_batches_tracked"
_MAX_UNEXPECTED = 0.01
_SHOWN = 3


@dataclass(frozen=True)
class LoadReport:
    """Say what loading weights matched.

    Attributes:
        source: The card or file, and whether its bytes were verified.
        total: Tensors of the network; counters of batches are not counted.
        matched: Those that the file filled.
        missing: Names of those that it did not.
        reshaped: Names of those of another shape in the file.
        unexpected: Names in the file that the network has not.
        dropped: Names in the file of its classifier, and of what stands beside the backbone.
    """

    source: str
    total: int
    matched: int
    missing: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def line(self) -> str:
        """Give the report as one line."""
        counts = [f"{self.matched} of {self.total} tensors matched", f"{_some('missing', self.missing)}"]
        if self.reshaped:
            counts.append(_some("of another shape", self.reshaped))
        counts += [_some("unexpected", self.unexpected), _some("dropped", self.dropped)]
        return f"weights {self.source}: {', '.join(counts)}"


@dataclass(frozen=True)
class Rules:
    """How a file's tensors become a network's.

    Attributes:
        source: What the report calls the file.
        network: What errors call the network.
        layout: A key of `LAYOUTS`.
        heads: Prefixes of the names, in the network's layout, of the classifier.
        adapt: Turns other layouts of the network into its own where the names do not match as they are.
    """

    source: str
    network: str
    layout: str = "same"
    heads: Sequence[str] = ()
    adapt: Callable[[State], State] | None = field(default=None)


def load(net: nn.Module, state: State, rules: Rules) -> LoadReport:
    """Fill `net` from a file's tensors.

    Prefixes that training wraps around a network are taken off; dense layers become convolutions and three channels are
    summed into one where the network has it so.

    Args:
        net: Filled in place, on whatever device it is.
        state: The file's tensors.
        rules: How they are named and what belongs to the classifier.

    Raises:
        ModelError: Some tensor of the network is not matched, or the file holds much that the network has not.
    """
    wanted = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith(_COUNTER)}
    inside, outside = _without_prefix(state, wanted, rules.layout)
    named = _rename(inside, rules.layout)
    fitting = _fit(named, wanted)
    if rules.adapt and len(fitting) < len(wanted):
        named = _try_adapt(rules.adapt, named)
        fitting = _fit(named, wanted)
    others = [name for name in named if name not in wanted and not name.endswith(_COUNTER)]
    heads = [name for name in others if _is_head(name, rules.heads)]
    report = LoadReport(
        rules.source,
        len(wanted),
        len(fitting),
        missing=tuple(sorted(set(wanted) - set(named))),
        reshaped=tuple(sorted(name for name in wanted if name in named and name not in fitting)),
        unexpected=tuple(sorted(set(others) - set(heads))),
        dropped=tuple(sorted([*heads, *outside])),
    )
    _require_fit(report, named, fitting, rules)
    net.load_state_dict(fitting)  # torch itself fills in the counters of batch norm, which are not taken from files
    return report


def _rename(state: State, layout: str) -> dict[str, Tensor]:
    new = LAYOUTS[layout](state)
    return {new[name]: tensor for name, tensor in state.items()}


def _without_prefix(state: State, wanted: State, layout: str) -> tuple[dict[str, Tensor], list[str]]:
    """Take off the prefix under which most names are the network's; what stands beside it is apart."""

    def inside(prefix: str) -> list[str]:
        return [name for name in state if name.startswith(prefix)]

    def matches(prefix: str) -> int:
        names = [name[len(prefix) :] for name in inside(prefix)]
        return sum(new in wanted for new in LAYOUTS[layout](names).values())

    best = max(_PREFIXES, key=matches)  # the first of equals
    kept = {name[len(best) :]: state[name] for name in inside(best)}
    outside = [name for name in state if not name.startswith(best) and not name.endswith(_COUNTER)]
    return kept, outside


def _try_adapt(adapt: Callable[[State], State], state: dict[str, Tensor]) -> dict[str, Tensor]:
    try:
        return dict(adapt(state))
    except Exception:  # noqa: BLE001 - it is made for files of this network; another's is refused by what it lacks
        return state


def _fit(named: State, wanted: State) -> dict[str, Tensor]:
    """Give the tensors of the right name and shape, or that can be brought into the shape."""
    fitting = {}
    for name, target in wanted.items():
        tensor = named.get(name)
        if tensor is not None and (shaped := _shape_as(tensor, target)) is not None:
            fitting[name] = shaped
    return fitting


def _shape_as(tensor: Tensor, target: Tensor) -> Tensor | None:
    """Bring a tensor into the shape of `target`; None where that would not mean the same."""
    if tensor.shape == target.shape:
        return tensor
    if tensor.ndim == 4 and target.shape == (tensor.shape[0], 1, *tensor.shape[2:]) and tensor.shape[1] == 3:
        return tensor.float().sum(1, keepdim=True)  # a grey picture is the same in all three
    is_dense = {tensor.ndim, target.ndim} == {2, 4} and tensor.shape[0] == target.shape[0]
    return tensor.reshape(target.shape) if is_dense and tensor.numel() == target.numel() else None


def _is_head(name: str, heads: Sequence[str]) -> bool:
    return any(name == head or name.startswith(f"{head}.") for head in heads)


def _require_fit(report: LoadReport, named: State, fitting: State, rules: Rules) -> None:
    """Refuse a file that leaves a tensor of the network as it was, or that is another, larger network's.

    Raises:
        ModelError: It does not fit.
    """
    size = sum(tensor.numel() for tensor in fitting.values())
    unexpected = sum(named[name].numel() for name in report.unexpected)
    if report.matched == report.total and unexpected <= _MAX_UNEXPECTED * size:
        broken = sorted(name for name, tensor in fitting.items() if not math.isfinite(_sum(tensor)))
        if broken:
            raise ModelError(f"weights {rules.source}: expected finite numbers (found others in {_names(broken)})")
        return
    found = report.line().removeprefix(f"weights {report.source}: ")
    raise ModelError(
        f"weights {rules.source}: expected the tensors of {rules.network} (found {found}); "
        "take the network or the card that the file was made for"
    )


def _sum(tensor: Tensor) -> float:
    return float(tensor.sum(dtype=torch.float64))


def _some(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what} ({_names(names)})" if names else f"0 {what}"


def _names(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
