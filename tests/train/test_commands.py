"""The small commands of `eyeline-train`, and what it says of all of them."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from train.cli import OWN_COMMANDS, TRAINER_COMMANDS, main, make_parser
from train.lightning_cli import EyelineTrainCLI

from .test_cli import QUICK, fails


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_command_all_of_them_are_listed(arguments, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in TRAINER_COMMANDS | OWN_COMMANDS)


@pytest.mark.parametrize(
    ("name", "hint"), [("evalute", "did you mean evaluate or validate?"), ("nothing\n", r"(got 'nothing\n')")]
)
def test_a_command_that_is_none_is_told_before_torch_is_loaded(name, hint):
    code = f"import sys, train.cli; print(train.cli.main([{name!r}]), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    (sentence,) = done.stderr.splitlines()
    assert "expected a command of fit, validate, test" in sentence
    assert hint in sentence


def test_a_start_makes_the_parser_of_its_own_command_alone(monkeypatch, capsys):
    made = []
    prepare = EyelineTrainCLI._prepare_subcommand_parser
    monkeypatch.setattr(
        EyelineTrainCLI,
        "_prepare_subcommand_parser",
        lambda *asked, **options: made.append(asked[2]) or prepare(*asked, **options),
    )
    fails(["test", "--data.root", "nowhere"], capsys, 2, "expected --ckpt_path")
    assert made == ["test"]
    made.clear()
    fails(["--seed_everything", "1", "test"], capsys, 2, "the options are listed by --help")
    assert made == list(TRAINER_COMMANDS)


def test_each_of_our_own_commands_has_a_parser():
    (action,) = [action for action in make_parser()._actions if hasattr(action, "_name_parser_map")]
    assert set(action._name_parser_map) == set(OWN_COMMANDS)


def test_a_learning_rate_is_suggested_within_the_range_and_drawn(faces_set, tmp_path, capsys):
    folder = ["--trainer.default_root_dir", str(tmp_path)]
    search = ["--search.min_lr", "1e-4", "--search.max_lr", "0.5", "--search.steps", "20"]
    assert main(["lr_find", "--data.root", str(faces_set), *QUICK, *folder, *search, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    curve = pd.read_csv(result["files"]["lr_find.csv"])
    assert curve["lr"].iloc[0] == pytest.approx(1e-4)
    assert 4 <= len(curve) <= 20
    assert result["suggestion"] is None or result["suggestion"] == pytest.approx(
        curve["lr"].iloc[(curve["lr"] - result["suggestion"]).abs().argmin()], rel=1e-3
    )
    with Image.open(result["files"]["lr_find.png"]) as figure:
        assert min(figure.size) > 300
    assert not (tmp_path / "checkpoints").exists()


def test_a_range_that_is_none_is_refused(faces_set, tmp_path, capsys):
    root = ["--data.root", str(faces_set), *QUICK, "--trainer.default_root_dir", str(tmp_path)]
    fails(["lr_find", *root, "--search.min_lr", "1"], capsys, 2, "min_lr < max_lr")


def test_packing_says_how_many_faces_were_decoded(faces_set, tmp_path, capsys):
    pack = ["pack", "--root", str(faces_set), "--size", "48", "--pack_dir", str(tmp_path), "--json"]
    assert main(pack) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["faces"], first["decoded"], first["bytes"]) == (48, 48, 48 * 3 * 48 * 48)
    assert main(pack) == 0
    assert json.loads(capsys.readouterr().out)["decoded"] == 0


def test_weights_are_listed_with_their_licence_and_whether_they_are_here(capsys):
    assert main(["weights", "--json"]) == 0
    cards = {card["weights"]: card for card in json.loads(capsys.readouterr().out)}
    assert cards["dlib"]["found"] == "with the installation"
    assert all(card["licence"] for card in cards.values())
