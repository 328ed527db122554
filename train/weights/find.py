"""Finds what `model.backbone.weights` names: a card, a card's file, or a file without a card."""

import difflib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from align import STORE_VARIABLE, ModelError, UsageError, cache_folder, find_model, printable

from .cards import CARDS, Card
from .files import Stored, read

NONE = "none"
LIBRARIES = ("timm", "torchvision")
_DEFAULTS = {card.network: card for card in (CARDS["dlib"],)}
"""Network -> the card whose file an installed package ships."""


@dataclass(frozen=True)
class Source:
    """Where weights come from.

    Attributes:
        card: What is known of them; None where nothing is.
        path: A file that was named; None looks for the card's.
        library: `timm` or `torchvision`, whose own weights are meant; None for others.
    """

    card: Card | None = None
    path: Path | None = None
    library: str | None = None

    @property
    def is_random(self) -> bool:
        """Whether there is nothing to load."""
        return self == Source()


def resolve(weights: str | None, network: str) -> Source:
    """Tell what is meant by `weights`; no file is opened.

    Args:
        weights: None for what an installed package ships, else random weights; `none` for random ones; `timm` or
            `torchvision`; a card; `CARD:FILE`; or a file, whose card is told by its name where it is a published one.
        network: The name of the backbone.

    Raises:
        UsageError: It is none of these, or the card is another network's.
    """
    if weights is None:
        return Source(_DEFAULTS.get(network))
    if weights == NONE:
        return Source()
    if weights in LIBRARIES:
        return Source(library=weights)
    name, colon, file = weights.partition(":")
    if name in CARDS and bool(colon) == bool(file):
        return Source(_require_network(CARDS[name], network), Path(file) if file else None)
    path = Path(weights)
    if not (path.is_file() or path.suffix or os.sep in weights):
        near = difflib.get_close_matches(weights, CARDS, n=3)
        raise UsageError(
            f"model.backbone.weights: expected {NONE}, {' or '.join(LIBRARIES)}, one of {', '.join(CARDS)}, or "
            f"a file (got {weights!r}){'; did you mean ' + ' or '.join(near) + '?' if near else ''}"
        )
    card = next((card for card in CARDS.values() if path.name in card.files), None)
    return Source(_require_network(card, network) if card else None, path)


def _require_network(card: Card, network: str) -> Card:
    if card.network != network:
        raise UsageError(
            f"model.backbone.weights: {card.name} is for {card.network} (got {network}); "
            f"set model.backbone.name to {card.network}"
        )
    return card


def fetch(source: Source) -> tuple[Stored, str]:
    """Read the file of a source.

    Returns:
        Its tensors, and what a report calls it: the card, the file, and whether its bytes were verified.

    Raises:
        ModelError: It is in no place, its bytes are others than the published ones, or it is no file of tensors.
    """
    card, path = source.card, source.path
    if card is None:
        assert path is not None  # noqa: S101 - tells the type checker that sources without a file are not fetched
        return read(path), f"{printable(path)} (unverified)"
    if card.layout == "dlib" and (path is None or path.suffix == ".dat"):
        path = find_model(card.files[0], path)
    path = path or _find(card)
    stored = read(path, card.layout)
    checked = "verified" if stored.backbone is None and _verify(card, path) else "unverified"
    return stored, f"{card.name} ({printable(path)}, {checked})"


def find_file(card: Card) -> Path | None:
    """Look for a card's file in the model store and the cache; None where it is not.

    Raises:
        UsageError: There are several.
    """
    folders = [Path(store)] if (store := os.environ.get(STORE_VARIABLE)) else []
    found = [folder / name for folder in (*folders, cache_folder()) for name in card.files]
    found = [path for path in found if path.is_file()]
    if len({path.name for path in found}) > 1:
        raise UsageError(
            f"model.backbone.weights: expected one file of {card.name} (found {', '.join(map(printable, found))}); "
            f"name one: {card.name}:FILE"
        )
    return found[0] if found else None


def _find(card: Card) -> Path:
    """Find a card's file, or download it from the hub.

    Raises:
        ModelError: It is nowhere.
    """
    if path := find_file(card):
        return path
    why = "not found"
    if card.hub:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(card.hub, "model.safetensors"))
        except Exception as error:  # noqa: BLE001 - the hub's client raises whatever its transport raises
            why = f"not found, and the hub says: {(str(error).splitlines() or [type(error).__name__])[0]}"
    raise ModelError(
        f"weights {card.name}: expected {' or '.join(card.files)} in the folder {STORE_VARIABLE} names or in "
        f"{cache_folder()} ({why}); get it from {card.url}, licence: {card.licence}; put it there, or name it: "
        f"{card.name}:FILE"
    )


def _verify(card: Card, path: Path) -> bool:
    """Check a file's sha256 where its authors publish one; False where they do not.

    Raises:
        ModelError: The bytes are others.
    """
    if card.sha256 is None or path.name not in card.files:
        return False
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"{printable(path)}: expected sha256 {card.sha256} (found {found}); get it again from {card.url}"
        )
    return True
