"""Videos and images in, a split, balanced and exported set of aligned faces out."""

from .manifest import read_curation, read_manifest

__all__ = ["read_curation", "read_manifest"]
