"""What two gloo processes run for `test_ddp`: commands as a user types them, then small networks."""

import json
import multiprocessing
import os
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch

from train.cli import main
from train.finetune import FinetuneSpec
from train.schedule import OptimizerSpec, ScheduleSpec

from .toy import Toy, fit, weights

SGD = OptimizerSpec("sgd", lr=0.05, schedule=ScheduleSpec("constant"))
CASES = {
    "gradual": (SGD, FinetuneSpec("gradual", unfreeze_epoch=1, backbone_lr=1.0, layer_decay=0.5)),
    "sam": (
        OptimizerSpec("sgd", lr=0.05, sam_rho=0.1, schedule=ScheduleSpec("sgdr", cycle_epochs=2)),
        FinetuneSpec("none"),
    ),
    "average": (OptimizerSpec("sgd", lr=0.05, ema_decay=0.7, base_batch=16), FinetuneSpec("none")),
    "plateau": (
        OptimizerSpec("sgd", lr=0.05, schedule=ScheduleSpec("plateau", plateau_patience=0, plateau_mode="max")),
        FinetuneSpec("gradual"),
    ),
}
EPOCHS = 4


class Agree(pl.Callback):
    """Prints how far the parameters and the running statistics of two ranks are apart."""

    def on_fit_end(self, trainer, module):
        flat = torch.cat([value.flatten().float() for value in module.state_dict().values()])
        every = [torch.zeros_like(flat) for _ in range(trainer.world_size)]
        torch.distributed.all_gather(every, flat)
        if trainer.is_global_zero:
            difference = float((every[0] - every[1]).abs().max())
            sys.stdout.write(f"RANKS {trainer.world_size} {difference}\n")
            sys.stdout.flush()


def trained(case):
    """Train without batch norm, whose statistics are a rank's own, and give the weights."""
    model = Toy(*CASES[case], norm=False)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    options = {"devices": world, "strategy": "ddp"} if world > 1 else {}
    fit(model, EPOCHS, **options)
    return weights(model)


def run(commands, folder=None):
    """Run commands, then train the cases where a folder for their weights is given; return the worst exit code."""
    code = max(main(command) for command in commands)
    for case in CASES if folder else ():
        torch.save(trained(case), Path(folder) / f"{case}-{os.environ['LOCAL_RANK']}.pt")
    return code


def run_as(rank, asked):
    os.environ["LOCAL_RANK"] = str(rank)
    sys.exit(run(**asked))


def run_on_two_ranks(asked):
    """Fork both from one import of torch and Lightning, which takes longer than all the rest."""
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=run_as, args=(rank, asked)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(200)
        rank.kill()
    return max(abs(rank.exitcode or 0) for rank in ranks)


if __name__ == "__main__":
    work = run_on_two_ranks if "WORLD_SIZE" in os.environ else lambda asked: run(**asked)
    sys.exit(work(json.loads(sys.argv[1])))
