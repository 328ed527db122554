"""Two gloo processes: the ranks agree after unfreezing, SAM and averaging, and step as one process would."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.finetune import FinetuneSpec
from train.schedule import OptimizerSpec, ScheduleSpec

from .test_ddp import RANK_VARIABLES
from .toy import Toy, fit, same, weights

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


def trained(case):
    """Train without batch norm, whose statistics are a rank's own, and give the weights."""
    model = Toy(*CASES[case], norm=False)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    options = {"devices": world, "strategy": "ddp"} if world > 1 else {}
    fit(model, EPOCHS, **options)
    return weights(model)


def main(folder):
    for case in CASES:
        torch.save(trained(case), folder / f"{case}-{os.environ['LOCAL_RANK']}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "tests.train.test_training_ddp", str(folder)]
    ranks = [
        subprocess.Popen(
            line,
            env=env | {"LOCAL_RANK": str(rank)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[2],
        )
        for rank in range(2)
    ]
    try:
        outputs = [rank.communicate(timeout=200)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(outputs)[-3000:]
    return folder


@pytest.mark.parametrize("case", sorted(CASES))
def test_both_ranks_hold_the_same_weights(folder, case):
    ranks = [torch.load(folder / f"{case}-{rank}.pt", weights_only=True) for rank in range(2)]
    assert same(*ranks)


@pytest.mark.parametrize("case", sorted(CASES))
def test_two_ranks_train_as_one_process_on_the_whole_batch(folder, case):
    two, one = torch.load(folder / f"{case}-0.pt", weights_only=True), trained(case)
    start = weights(Toy(*CASES[case], norm=False))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6, msg=name)
        assert not torch.equal(value, start[name]), name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
