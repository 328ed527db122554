"""Two gloo processes: the ranks agree, evaluation counts each row once, and they step as one process would."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from .ddp_worker import CASES, trained
from .test_cli import NETWORK
from .toy import Toy, same, weights

TWO = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
RANK_VARIABLES = ("PL_GLOBAL_SEED", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR", "NODE_RANK", "WORLD_SIZE")


def environment():
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def worker(commands, folder=None):
    asked = json.dumps({"commands": commands, "folder": folder and str(folder)})
    return [sys.executable, "-m", "tests.train.ddp_worker", asked]


def fit_command(root, folder):
    fit = ["fit", "--data.root", str(root), "--data.batch_size", "4", "--trainer.max_epochs", "2", *NETWORK, *TWO]
    fit += ["--model.finetune.unfreeze_epoch", "1", "--trainer.callbacks", "tests.train.ddp_worker.Agree"]
    fit += ["--model.head.batch_norm", "true"]
    return [*fit, "--trainer.default_root_dir", str(folder / "run")]


@pytest.fixture(scope="module")
def folder_and_output(faces_set, tmp_path_factory):
    """Run fit, test and predict and the cases on two ranks, both started here."""
    folder = tmp_path_factory.mktemp("ddp")
    common = ["--ckpt_path", "last", "--trainer.default_root_dir", str(folder / "run"), "--data.batch_size", "4", *TWO]
    common += ["--data.root", str(faces_set)]
    commands = [fit_command(faces_set, folder), ["test", *common]]
    commands.append(["predict", "--data.predict_split", "test", *common])
    env = environment() | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    done = subprocess.run(
        worker(commands, folder), env=env, cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder, done.stdout


def agreement(output):
    return [line for line in output.splitlines() if line.startswith("RANKS")]


def test_ranks_agree_after_the_backbone_was_unfrozen(folder_and_output):
    assert agreement(folder_and_output[1]) == ["RANKS 2 0.0"]


def test_two_ranks_count_each_row_once(folder_and_output):
    result = json.loads((folder_and_output[0] / "run" / "test" / "metrics.json").read_text())
    assert result["rows"] == 13  # not a multiple of two: no row counts twice


def test_two_ranks_predict_each_row_once(folder_and_output):
    folder, _ = folder_and_output
    predicted = pd.read_csv(folder / "run" / "predict" / "predictions.csv")
    confusion = json.loads((folder / "run" / "test" / "metrics.json").read_text())["confusion"]
    assert len(predicted) == 13
    assert predicted["face_id"].is_unique
    counts = predicted["predicted"].value_counts()
    assert [int(counts.get(name, 0)) for name in ("not_face", "face")] == [
        sum(column) for column in zip(*confusion, strict=True)
    ]


@pytest.mark.parametrize("case", sorted(CASES))
def test_after_unfreezing_sam_and_averaging_both_ranks_hold_the_same_weights(folder_and_output, case):
    folder, _ = folder_and_output
    ranks = [torch.load(folder / f"{case}-{rank}.pt", weights_only=True) for rank in range(2)]
    assert same(*ranks)


@pytest.mark.parametrize("case", sorted(CASES))
def test_two_ranks_train_as_one_process_on_the_whole_batch(folder_and_output, case):
    two, one = torch.load(folder_and_output[0] / f"{case}-0.pt", weights_only=True), trained(case)
    start = weights(Toy(*CASES[case], norm=False))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6, msg=name)
        assert not torch.equal(value, start[name]), name


@pytest.mark.slow
def test_two_launchers_train_as_two_nodes(faces_set, tmp_path):
    launch = [sys.executable, *("-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1")]  # torchrun
    launch += ["--master_addr", "127.0.0.1", "--master_port", str(free_port()), "--node_rank"]
    fit = [
        *("-m", "train.cli"),
        *fit_command(faces_set, tmp_path),
        "--trainer.devices",
        "1",
        "--trainer.num_nodes",
        "2",
    ]
    nodes = [
        subprocess.Popen([*launch, rank, *fit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
        for rank in ("0", "1")
    ]
    printed = [node.communicate(timeout=240)[0].decode() for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], printed[0][-3000:] + printed[1][-3000:]
    assert agreement(printed[0]) == ["RANKS 2 0.0"]
    assert "epoch 2/2" in printed[0]
    assert "epoch" not in printed[1]  # the second node prints nothing


@pytest.mark.slow
def test_one_command_starts_both_ranks(faces_set, tmp_path):
    line = worker([fit_command(faces_set, tmp_path)])
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert agreement(done.stdout) == ["RANKS 2 0.0"]
