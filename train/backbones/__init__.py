"""One registry of backbones: our own builders by name, and every network that timm knows."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from align import UsageError

from .base import Backbone, Builder, Preprocess

__all__ = ["Backbone", "BackboneSpec", "Builder", "Preprocess", "create_backbone", "names"]


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone to build.

    Attributes:
        name: A name of ours (`dlib_face_resnet`) or any of timm's.
        pretrained: Whether to load pretrained weights; null means yes where an installed package ships them
            (dlib's) and no where they would be downloaded (timm's).
        stage: Stop after this stage, counted from 1, and take the mean over the picture; null is the whole network.
            Late layers know what they were trained for, middle ones carry further to other tasks and pictures.
    """

    name: str = "dlib_face_resnet"
    pretrained: bool | None = None
    stage: int | None = None


def _builders() -> Mapping[str, Builder]:
    from . import dlib_face_resnet

    return {"dlib_face_resnet": dlib_face_resnet.build}


def names() -> list[str]:
    """List our own backbones; those of timm come on top."""
    return sorted(_builders())


def create_backbone(spec: BackboneSpec) -> Backbone:
    """Build the backbone that `spec` asks for.

    Raises:
        UsageError: Neither we nor timm know the name, or the network has no such stage.
        ModelError: The pretrained weights are missing or wrong.
    """
    if builder := _builders().get(spec.name):
        return builder(spec.pretrained, spec.stage)
    import timm

    from . import timm_models

    if not timm_models.has(spec.name):
        near = difflib.get_close_matches(spec.name, [*names(), *timm.list_models()], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(
            f"model.backbone.name: expected one of {', '.join(names())} or a name of timm's (got {spec.name!r}){hint}"
        )
    return timm_models.build(spec.name, spec.pretrained, spec.stage)
