"""Which loss each task has, and how much it weighs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from align import UsageError

ClassLossName = Literal["cross_entropy", "focal", "multi_margin"]
ClassWeights = Literal["none", "inverse", "square_root", "effective_number"]
AffectLossName = Literal["ccc", "mse"]
UnitLossName = Literal["bce", "asymmetric"]
PositiveWeights = Literal["none", "balanced"]


def _one_of(key: str, value: str, choices: object) -> None:
    names = get_args(choices)
    if value not in names:
        raise UsageError(f"model.loss.{key} must be one of {[*names]} (got {value!r})")


def _at_least(key: str, value: float | None, least: float) -> None:
    """Refuse a number below `least`, an infinite one and NaN; null is left to the type."""
    if value is not None and not (math.isfinite(value) and value >= least):
        raise UsageError(f"model.loss.{key} must be a number of {least:g} or more (got {value})")


def _share(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UsageError(f"model.loss.{key} must be 0 or more and below 1 (got {value})")


@dataclass(frozen=True)
class ClassLossSpec:
    """The loss of the classes.

    Attributes:
        name: `cross_entropy`; `focal` (Lin et al. 2017); `multi_margin`, the hinge loss over all classes.
        class_weights: `inverse` of a class's rows, of their `square_root`, or of their `effective_number` (Cui et al.
            2019); rows as an epoch shows them, so that oversampled ones count as often as they are seen.
        beta: Of the effective number, (1 - beta ** rows) / (1 - beta); 0 weighs all classes alike.
        max_weight: Most that a class may weigh, where the average row weighs 1; null sets no bound.
        label_smoothing: Share of a row's label that is spread over all classes, in training.
        gamma: Of the focal loss; 0 is cross-entropy.
        logit_adjustment: Times the log share of a class that is added to its logit in training (tau of Menon et al.
            2021); 1 aims at the mean recall of the classes.
        softmax_first: Whether the loss takes the softmax of the logits for logits, as scripts do whose network ends in
            a softmax before a loss that takes another. Only to reproduce them: cross-entropy of seven classes then
            stays above 1.16, and its gradient fades where the network is sure and wrong.
    """

    name: ClassLossName = "cross_entropy"
    class_weights: ClassWeights = "none"
    beta: float = 0.999
    max_weight: float | None = None
    label_smoothing: float = 0.0
    gamma: float = 2.0
    logit_adjustment: float = 0.0
    softmax_first: bool = False

    def __post_init__(self) -> None:
        _one_of("classes.name", self.name, ClassLossName)
        _one_of("classes.class_weights", self.class_weights, ClassWeights)
        _share("classes.beta", self.beta)
        _at_least("classes.max_weight", self.max_weight, 1)
        _share("classes.label_smoothing", self.label_smoothing)
        _at_least("classes.gamma", self.gamma, 0)
        _at_least("classes.logit_adjustment", self.logit_adjustment, 0)
        for key in ("label_smoothing", "logit_adjustment"):
            if self.name == "multi_margin" and getattr(self, key):
                raise UsageError(
                    f"model.loss.classes.{key} must be 0 with multi_margin, whose outputs are no log probabilities "
                    f"(got {getattr(self, key)})"
                )


@dataclass(frozen=True)
class AffectLossSpec:
    """The loss of valence and arousal.

    Attributes:
        name: `ccc`, 1 minus the concordance correlation of the batch (Lin 1989), which wants batches of some 32 rows
            or more; or `mse`.
    """

    name: AffectLossName = "ccc"

    def __post_init__(self) -> None:
        _one_of("affect.name", self.name, AffectLossName)


@dataclass(frozen=True)
class UnitLossSpec:
    """The loss of the action units.

    Attributes:
        name: `bce`, or `asymmetric` (Ridnik et al. 2021), which plays down what is easily seen to be absent.
        positive_weights: `balanced` weighs the rows that show a unit by rows without it / rows with it.
        max_weight: Most that a positive weight may be; null sets no bound.
        gamma_negative: Focus on hard rows without the unit, of the asymmetric loss.
        gamma_positive: Focus on hard rows with the unit.
        clip: Probability below which a row without the unit costs nothing.
    """

    name: UnitLossName = "bce"
    positive_weights: PositiveWeights = "none"
    max_weight: float | None = None
    gamma_negative: float = 4.0
    gamma_positive: float = 1.0
    clip: float = 0.05

    def __post_init__(self) -> None:
        _one_of("units.name", self.name, UnitLossName)
        _one_of("units.positive_weights", self.positive_weights, PositiveWeights)
        if self.max_weight is not None and not (math.isfinite(self.max_weight) and self.max_weight > 0):
            raise UsageError(f"model.loss.units.max_weight must be a number above 0 (got {self.max_weight})")
        _at_least("units.gamma_negative", self.gamma_negative, 0)
        _at_least("units.gamma_positive", self.gamma_positive, 0)
        _share("units.clip", self.clip)


@dataclass(frozen=True)
class LossWeights:
    """How much each task's loss weighs in the sum.

    Attributes:
        classes: Of the classes.
        affect: Of valence and arousal.
        units: Of the action units.
    """

    classes: float = 1.0
    affect: float = 1.0
    units: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            _at_least(f"weights.{each.name}", getattr(self, each.name), 0)


@dataclass(frozen=True)
class LossSpec:
    """The losses of all tasks; those of a task that the model has not are not looked at.

    Attributes:
        classes: Of the classes.
        affect: Of valence and arousal.
        units: Of the action units.
        weights: How much each weighs.
    """

    classes: ClassLossSpec = field(default_factory=ClassLossSpec)
    affect: AffectLossSpec = field(default_factory=AffectLossSpec)
    units: UnitLossSpec = field(default_factory=UnitLossSpec)
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        kinds = {"classes": ClassLossSpec, "affect": AffectLossSpec, "units": UnitLossSpec, "weights": LossWeights}
        for name, kind in kinds.items():
            given = getattr(self, name)
            if isinstance(given, Mapping):  # as a checkpoint keeps it
                object.__setattr__(self, name, kind(**given))
