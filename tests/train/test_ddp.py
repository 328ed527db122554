"""Two gloo processes: the ranks agree, and evaluation counts each row once."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

WORKER = """
import json, sys, torch
import pytorch_lightning as pl
from train.cli import main

class Agree(pl.Callback):
    def on_fit_end(self, trainer, module):
        flat = torch.cat([p.detach().flatten().float() for p in module.parameters()])
        every = [torch.zeros_like(flat) for _ in range(trainer.world_size)]
        torch.distributed.all_gather(every, flat)
        if trainer.is_global_zero:
            print("RANKS", trainer.world_size, float((every[0] - every[1]).abs().max()), flush=True)

if __name__ == "__main__":
    commands = json.loads(sys.argv[1]) if sys.argv[1].startswith("[") else [sys.argv[1:]]
    sys.exit(max(main(command) for command in commands))
"""
TWO = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
RANK_VARIABLES = ("PL_GLOBAL_SEED", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR", "NODE_RANK", "WORLD_SIZE")


def environment(folder):
    (folder / "worker.py").write_text(WORKER)
    paths = [str(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    kept = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def fit_command(root, folder):
    model = ["--model.backbone.name", "test_resnet", "--model.finetune.unfreeze_epoch", "1"]
    fit = ["fit", "--data.root", str(root), "--data.batch_size", "4", "--trainer.max_epochs", "2", *model, *TWO]
    return [*fit, "--trainer.callbacks", "worker.Agree", "--trainer.default_root_dir", str(folder / "run")]


@pytest.fixture(scope="module")
def folder_and_output(faces_set, tmp_path_factory):
    """Run fit, test and predict on two ranks, both started here."""
    folder = tmp_path_factory.mktemp("ddp")
    common = ["--ckpt_path", "last", "--trainer.default_root_dir", str(folder / "run"), "--data.batch_size", "4", *TWO]
    common += ["--data.root", str(faces_set)]
    commands = [fit_command(faces_set, folder), ["test", *common]]
    commands.append(["predict", "--data.predict_split", "test", *common])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = environment(folder) | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    line = [sys.executable, str(folder / "worker.py"), json.dumps(commands)]
    ranks = [
        subprocess.Popen(
            line, env=env | {"LOCAL_RANK": str(rank)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for rank in range(2)
    ]
    try:
        outputs = [rank.communicate(timeout=200)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(outputs)[-3000:]
    return folder, outputs[0]


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


@pytest.mark.slow
def test_one_command_starts_both_ranks(faces_set, tmp_path):
    line = [sys.executable, str(tmp_path / "worker.py"), *fit_command(faces_set, tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(tmp_path), timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert agreement(done.stdout) == ["RANKS 2 0.0"]
