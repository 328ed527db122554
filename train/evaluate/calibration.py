"""Whether the probabilities can be believed, before and after one temperature that was fitted on validation."""

from dataclasses import asdict, dataclass
from typing import Any

from ..metrics import Outcome, brier, confusion, ece, fit_temperature, nll, reliability
from ..metrics.calibration import TEMPERATURES
from ..tasks import Tasks
from .run import Part


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by, or why there is none.

    Attributes:
        value: Fitted on validation; None where it could not be.
        note: What a reader must know of it.
    """

    value: float | None
    note: str


def temperature_of(parts: tuple[Part, ...], tasks: Tasks) -> Temperature:
    """Fit the temperature on the validation split, where that was evaluated and has classes."""
    if not tasks.classes:
        return Temperature(None, "The model tells no classes: there is no temperature to fit.")
    part = next((part for part in parts if part.split == "val"), None)
    if part is None:
        return Temperature(None, "Not fitted: the validation split is not part of this report, and test must not be.")
    if nll(part.outcome, tasks) is None:
        return Temperature(None, "Not fitted: no face of the validation split has a class.")
    value = fit_temperature(part.outcome, tasks)
    note = f"Fitted on the {len(part.rows):,} faces of the validation split by their likelihood."
    low, high = TEMPERATURES
    counts = confusion(part.outcome, tasks)
    if counts.trace() == counts.sum() or not low * 1.001 < value < high / 1.001:
        note += " These faces do not bound it, as where every one is told rightly: do not rely on it."
    return Temperature(value, note)


def calibration(part: Part, tasks: Tasks, temperature: Temperature) -> dict[str, Any] | None:
    """Compute the calibration of one split; None where no face has a class.

    Returns:
        `before`, `after` (None without a temperature), each with `ece`, `nll`, `brier` and `bins`; and
        `fitted_on_these_rows`.
    """
    if nll(part.outcome, tasks) is None:
        return None
    value = temperature.value
    return {
        "temperature": value,
        "fitted_on_these_rows": value is not None and part.split == "val",
        "before": _numbers(part.outcome, tasks, 1.0),
        "after": None if value is None else _numbers(part.outcome, tasks, value),
    }


def _numbers(outcome: Outcome, tasks: Tasks, temperature: float) -> dict[str, Any]:
    return {
        "ece": ece(outcome, tasks, temperature=temperature),
        "nll": nll(outcome, tasks, temperature),
        "brier": brier(outcome, tasks, temperature),
        "bins": [asdict(found) for found in reliability(outcome, tasks, temperature=temperature)],
    }
