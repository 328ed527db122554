"""Augments a batch at once: one resampling, one matrix of colours, loss of detail, noise and erased rectangles."""

from .apply import Augment
from .copies import Copies
from .spec import AugmentSpec

__all__ = ["Augment", "AugmentSpec", "Copies"]
