"""dlib's 5-point shape predictor: the corners of both eyes and the base of the nose (Kazemi and Sullivan 2014)."""

from pathlib import Path

from ..detect import require_cpu
from ..models import find_model
from .regression_trees import ShapePredictor


def open(device: str, models: Path | None) -> ShapePredictor:  # noqa: A001  every adapter is opened by this name
    """Load the predictor from its verified file."""
    require_cpu("dlib5", device)
    return ShapePredictor(find_model("shape_predictor_5_face_landmarks.dat", models), "dlib5")
