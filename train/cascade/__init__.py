"""Two networks in a cascade: the first tells faces from other things, the second the emotion of what passed."""

from .answers import answer, best_threshold, require_finite
from .networks import NOT_FACE, Labels, Networks, Pair, face_class, read_networks, require_classes
from .page import render
from .predictions import write_predictions
from .report import make_report, write_matrices
from .run import CascadeSpec, Evaluated, evaluate_cascade, parse_threshold

__all__ = [
    "NOT_FACE",
    "CascadeSpec",
    "Evaluated",
    "Labels",
    "Networks",
    "Pair",
    "answer",
    "best_threshold",
    "evaluate_cascade",
    "face_class",
    "make_report",
    "parse_threshold",
    "read_networks",
    "render",
    "require_classes",
    "require_finite",
    "write_matrices",
    "write_predictions",
]
