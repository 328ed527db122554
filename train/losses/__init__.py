"""What training minimises: one loss a task, weighted and added up; what is not labelled counts in none of them."""

from .loss import Loss
from .specs import AffectLossSpec, ClassLossSpec, LossSpec, LossWeights, UnitLossSpec

__all__ = ["AffectLossSpec", "ClassLossSpec", "Loss", "LossSpec", "LossWeights", "UnitLossSpec"]
