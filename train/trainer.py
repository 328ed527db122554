"""Lightning's trainer with one more thing that it can do: look for a learning rate."""

import pytorch_lightning as pl

from .data import FaceData
from .lr_finder import LrCurve, LrSearch, find_learning_rate
from .module import FaceModel


class Trainer(pl.Trainer):
    """A trainer whose `lr_find` becomes a subcommand, as `fit` and `test` do."""

    curve: LrCurve
    """What the last `lr_find` saw."""

    def lr_find(self, model: FaceModel, datamodule: FaceData, search: LrSearch = LrSearch()) -> None:  # noqa: B008 - frozen
        """Look for a learning rate: a short run whose rate rises until the loss does.

        Args:
            model: As it would be trained; it stays as it was.
            datamodule: What it would be trained on.
            search: The range of rates.
        """
        self.curve = find_learning_rate(self, model, datamodule, model.optimizer_spec.lr, search)
