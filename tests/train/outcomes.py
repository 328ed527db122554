"""Outcomes for the tests of the metrics."""

import math

import torch

from train.metrics import Outcome
from train.tasks import Tasks

NAN = math.nan
CLASSES = ["neutral", "happy", "sad", "fear"]
UNITS = ["au_1", "au_4", "au_12"]
ALL = Tasks(CLASSES, affect=True, units=UNITS)


def outcome_of(outputs, targets):
    outputs, targets = (torch.as_tensor(values, dtype=torch.float32) for values in (outputs, targets))
    return Outcome(torch.arange(len(outputs)), outputs, targets)


def one_hot(labels, classes):
    """Targets of class indices; -1 gives a row without a label."""
    labels = torch.tensor(labels, dtype=torch.int64)
    targets = torch.nn.functional.one_hot(labels.clamp(min=0), classes).float()
    return torch.where(labels[:, None] < 0, NAN, targets)


def random_outcome(seed, rows, labelled=0.8):
    """Outputs and targets of all tasks; some labels are missing, and valence is told better than arousal."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.where(
        torch.rand(rows, generator=generator) < labelled, torch.randint(0, 4, (rows,), generator=generator), -1
    )
    rest = torch.cat(
        [torch.rand(rows, 2, generator=generator) * 2 - 1, (torch.rand(rows, 3, generator=generator) < 0.4).float()], 1
    )
    rest[torch.rand(rows, 5, generator=generator) > labelled] = NAN
    targets = torch.cat([one_hot(classes.tolist(), 4), rest], 1)
    noise = torch.randn(rows, 9, generator=generator)
    return outcome_of(targets.nan_to_num() * 1.5 + noise, targets)
