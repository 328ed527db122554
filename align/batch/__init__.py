"""The job of `eyeline-align run`: many pictures -> crops and one table, on processes that may die, resumable."""

from .job import Job, Outcome, run
from .picture import Recipe, align_picture
from .results import PARTS, SCHEMA, TABLE

__all__ = ["PARTS", "SCHEMA", "TABLE", "Job", "Outcome", "Recipe", "align_picture", "run"]
