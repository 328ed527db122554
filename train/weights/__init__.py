"""Face-pretrained weights: cards of what is known about them, and a loader that refuses what does not fit."""

from .cards import CARDS, Card
from .find import Source, fetch, resolve
from .loading import LoadReport, Rules, load
from .preprocess import Preprocess
from .table import cards_table

__all__ = ["CARDS", "Card", "LoadReport", "Preprocess", "Rules", "Source", "cards_table", "fetch", "load", "resolve"]
