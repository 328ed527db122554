"""Hand a curated set on in the forms that training code reads: kept faces only, whole or not at all."""

from .export import FORMATS, Progress, Result, export_set
from .spec import Export

__all__ = ["FORMATS", "Export", "Progress", "Result", "export_set"]
