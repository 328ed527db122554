"""One registry of backbones: our own builders by name, and every network that timm knows."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from torch import nn

from align import ModelError, UsageError

from ..weights import CARDS, LoadReport, Preprocess, Rules, Source, fetch, load, resolve
from ..weights.files import Stored
from .base import Backbone, Builder, Built, Shape
from .options import choose
from .size import require_map
from .spec import BackboneSpec

__all__ = ["Backbone", "BackboneSpec", "Builder", "Preprocess", "create_backbone", "names"]


def _builders() -> Mapping[str, Builder]:
    from . import alexnet, dlib_face_resnet, fer2013, inception_resnet_v1, iresnet, timm_models

    return {
        "alexnet": alexnet.build,
        "alexnet_face": alexnet.build_face,
        "dlib_face_resnet": dlib_face_resnet.build,
        "fer2013_cnn": fer2013.build_cnn,
        "fer2013_vgg": fer2013.build_vgg,
        "inception_resnet_v1": inception_resnet_v1.build,
        **iresnet.BUILDERS,
        **{name: partial(timm_models.build, name) for name in timm_models.VARIANTS},
    }


def names() -> list[str]:
    """List our own backbones; those of timm come on top."""
    return sorted(_builders())


def _options(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Give every option of a backbone, those that are not given by default.

    Raises:
        UsageError: It has no such option.
    """
    from . import fer2013

    return choose(name, fer2013.CNN_OPTIONS if name == "fer2013_cnn" else {}, given)


def _builder(name: str) -> Builder:
    """Give the builder of a backbone.

    Raises:
        UsageError: Neither we nor timm know the name.
    """
    if builder := _builders().get(name):
        return builder
    import timm

    from . import timm_models

    if not timm_models.has(name):
        near = difflib.get_close_matches(name, [*names(), *timm.list_models()], n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(
            f"model.backbone.name: expected one of {', '.join(names())} or a name of timm's (got {name!r}){hint}"
        )
    return partial(timm_models.build, name)


def create_backbone(spec: BackboneSpec) -> Backbone:
    """Build the backbone that `spec` asks for, and fill it with the weights that it names.

    Raises:
        UsageError: The name, stage, size, stem or weights are none of those there are, or do not go together.
        ModelError: The weights are missing, broken, or another network's.
    """
    builder = _builder(spec.name)
    source = resolve(spec.weights, spec.name)
    wanted = source.card.preprocess if source.card else None
    size_px = spec.size_px or (wanted.size_px if wanted else None)
    built = builder(Shape(spec.channels, size_px, spec.stem, _options(spec.name, spec.options)))
    _require_known(spec, source, built)
    stored, title = _fetch(spec, source, built)
    is_cut_already = bool(stored and stored.backbone and stored.backbone.get("stage"))
    report = None
    if stored and not is_cut_already:
        report = _load(built.net, stored, (spec, source, built, title))
    net, features = (built.net, built.features) if spec.stage is None else built.cut(spec.stage)
    if stored and is_cut_already:
        report = _load(net, stored, (spec, source, built, title))
    own = wanted or built.preprocess
    require_map(net, spec, own.size_px, has_small_stem=built.small_stem)
    preprocess = replace(own, size_px=spec.size_px or own.size_px, channels=spec.channels, standardize=spec.standardize)
    return Backbone(net, features, preprocess, report)


def _require_known(spec: BackboneSpec, source: Source, built: Built) -> None:
    """Refuse weights whose preprocessing nobody knows, and a library that has none.

    Raises:
        UsageError: There is no telling what the network should be shown, or nothing to download.
    """
    if source.library and (built.published is None or built.published[0] != source.library):
        theirs = built.published[0] if built.published else "no library"
        raise UsageError(
            f"model.backbone.weights: {theirs} publishes weights for {spec.name} (got {source.library}); "
            f"expected {built.published[0] if built.published else 'a card or a file'}"
        )
    if source.path and source.card is None and built.needs_card:
        cards = ", ".join(card.name for card in CARDS.values() if card.network == spec.name) or "none yet"
        raise UsageError(
            f"model.backbone.weights: expected CARD:FILE for {spec.name}, whose files differ in channel order and mean "
            f"(got {source.path}); cards: {cards}"
        )


def _fetch(spec: BackboneSpec, source: Source, built: Built) -> tuple[Stored | None, str]:
    """Get the tensors that fill the network, and what to call them; None where it stays random."""
    if source.is_random or not spec.load_weights:
        return None, ""
    if source.library is None or built.published is None:
        stored, title = fetch(source)
        _require_same_backbone(spec, source, stored)
        return stored, title
    try:
        return Stored(dict(built.published[1]())), f"{spec.name} ({source.library})"
    except Exception as error:  # the hub's client raises whatever its transport raises
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"backbone {spec.name}: expected pretrained weights from {source.library}'s hub (found: {first_line}); "
            "check the connection, or set model.backbone.weights to none or to a file"
        ) from error


def _require_same_backbone(spec: BackboneSpec, source: Source, stored: Stored) -> None:
    """Refuse a checkpoint of ours whose backbone is another, or was shown pictures in another way.

    Raises:
        UsageError: It is.
    """
    if stored.backbone is None:
        return
    theirs = {key: stored.backbone.get(key) for key in ("name", "stage", "weights")}
    if theirs["name"] != spec.name or theirs["stage"] not in (None, spec.stage):
        raise UsageError(
            f"model.backbone.weights: {source.path} holds {theirs['name']}, stage {theirs['stage']} "
            f"(got name {spec.name}, stage {spec.stage}); take the same"
        )
    kept, asked = _options(spec.name, stored.backbone.get("options") or {}), _options(spec.name, spec.options)
    if kept != asked:  # the tensors would fit, and mean something else
        raise UsageError(f"model.backbone.options: {source.path} was trained with {kept} (got {asked}); take the same")
    shown = stored.backbone.get("standardize", "weights")
    if shown != spec.standardize:
        raise UsageError(
            f"model.backbone.standardize: {source.path} was trained with {shown} (got {spec.standardize}); "
            "take the same"
        )
    card = resolve(theirs["weights"], spec.name).card
    if card != source.card and card != resolve(None, spec.name).card:
        raise UsageError(
            f"model.backbone.weights: {source.path} was trained from {card.name if card else 'no card'}, which says "
            f"what the network is shown; expected {card.name if card else 'the file without a card'}"
            f"{f':{source.path}' if card else ''} (got {spec.weights})"
        )


def _load(net: nn.Module, stored: Stored, what: tuple[BackboneSpec, Source, Built, str]) -> LoadReport:
    """Fill a network; a checkpoint of ours already has its names."""
    spec, source, built, title = what
    card = source.card
    is_ours = stored.backbone is not None
    rules = Rules(
        title,
        spec.name,
        layout=card.layout if card and not is_ours else "same",
        heads=card.heads if card else built.heads,
        adapt=None if is_ours else built.adapt,
    )
    return load(net, stored.tensors, rules)
