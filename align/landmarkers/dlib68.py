"""dlib's 68-point shape predictor (Kazemi and Sullivan 2014), trained on iBUG 300-W, which excludes commercial use."""

from pathlib import Path

from ..console import notice
from ..detect import require_cpu
from ..models import find_model
from .regression_trees import ShapePredictor

LICENCE_NOTICE = (
    "dlib68: its points were learnt on iBUG 300-W, whose licence excludes commercial use; for that take dlib5"
)


def open(device: str, models: Path | None) -> ShapePredictor:  # noqa: A001  every adapter is opened by this name
    """Load the predictor from its verified file, and print what its licence excludes."""
    require_cpu("dlib68", device)
    path = find_model("shape_predictor_68_face_landmarks.dat", models)
    notice(LICENCE_NOTICE)
    return ShapePredictor(path, "ibug68")
