"""Photos, videos, streams and cameras in; what a model says about each face in them out."""

from .job import Annotated, Job, annotate
from .options import Options

__all__ = ["Annotated", "Job", "Options", "annotate"]
