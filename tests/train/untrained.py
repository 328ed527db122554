"""Checkpoints of models that never learned: what reads a checkpoint does not care, and nothing has to be trained."""

import pytorch_lightning as pl
import torch

from train.backbones import BackboneSpec
from train.console import quiet
from train.finetune import FinetuneSpec
from train.module import FaceModel
from train.tasks import Tasks

ALL_TASKS = Tasks(["not_face", "face"], affect=True, units=["au_4", "au_12"])
ALIGNMENT = {"detector": "hog", "landmarks": "dlib5", "template": "tight", "size": 64}


def untrained(name="test_resnet", tasks=ALL_TASKS, freeze="none", seed=0, **backbone):
    torch.manual_seed(seed)
    spec = BackboneSpec(name, **({"size_px": 64} | backbone)).without_weights()
    model = FaceModel(tasks, spec, finetune=FinetuneSpec(freeze)).eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.normal_()
    model.alignment = ALIGNMENT
    return model


def save(model, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with quiet():
        trainer = pl.Trainer(accelerator="cpu", max_epochs=0, logger=False, enable_checkpointing=False)
        trainer.strategy.connect(model)
        trainer.save_checkpoint(path)
    return path
