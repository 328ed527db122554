"""The systems that ship: their commands, the made sets, and the runner that goes on where it was stopped."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from align import EyelineError, UsageError, find_faces, locked
from curate.registry import load_dataset, registry_tables
from train.checkpoints import read_checkpoint
from train.cli import main
from train.recipes import recipe_names, runner
from train.recipes.record import RECORD, Record
from train.recipes.runner import carry_out
from train.recipes.sample import make_sample, portraits
from train.recipes.systems import Place, Step, System, load_system, system_names

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "how-to"
LIST, ONE = "eyeline-train --help", "eyeline-train -h"
FAILS = "eyeline-train recipes nowhere"


def system_of(*commands: str) -> System:
    return System("made", "Made here", "nothing", (), tuple(map(Step, commands)))


def run(system: System, out: Path, *, is_sample: bool = False) -> tuple[list[str], list[str]]:
    """The commands that were run, and all that are done."""
    told: list[str] = []
    place = Place(out / "sample" if is_sample else Path(), out, is_sample=is_sample)
    with (out.parent / "printed").open("w") as printed:
        done = [step.command for step in carry_out(system, place, told.append, printed)]
    return told, done


def done_in(out: Path) -> list[str]:
    return list(json.loads((out / RECORD).read_text())["done"])


def test_a_command_that_is_done_is_not_run_again_and_those_after_a_new_one_are(tmp_path):
    first, second = LIST, ONE
    assert run(system_of(first), tmp_path / "out") == ([first], [first])
    assert run(system_of(first, second), tmp_path / "out") == ([second], [first, second])
    assert run(system_of(first, second), tmp_path / "out") == ([], [first, second])
    other = [f"{ONE} again", second]
    assert run(system_of(*other), tmp_path / "out")[0] == other
    assert done_in(tmp_path / "out") == other  # what the first one wrote is no longer there


def test_a_command_that_fails_ends_it_and_is_run_again_and_so_is_what_it_did_not_come_to(tmp_path):
    assert run(system_of(LIST, ONE), tmp_path / "out")[0] == [LIST, ONE]
    for _ in range(2):
        with pytest.raises(EyelineError, match=r"expected exit code 0 of eyeline-train recipes nowhere \(found 2\)"):
            run(system_of(LIST, FAILS, ONE), tmp_path / "out")
        assert done_in(tmp_path / "out") == [LIST]
    assert run(system_of(LIST, ONE), tmp_path / "out")[0] == [ONE]


def test_a_training_goes_on_if_nothing_else_was_begun_and_else_older_checkpoints_go(tmp_path):
    record = Record(tmp_path, "made")
    assert [record.begin(key, []) for key in ("fit a", "fit a", "curate", "fit a")] == [False, True, False, False]
    assert Record.read(tmp_path, "made") == record
    (tmp_path / "checkpoints").mkdir()
    for name in ("last", "best"):
        (tmp_path / "checkpoints" / f"{name}.ckpt").touch()
    assert runner._resumed(tmp_path, goes_on=False) == []
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_command_whose_folder_is_not_there_any_more_is_run_again(tmp_path):
    system = system_of(f"{ONE} --out {{out}}/made", LIST)
    assert len(run(system, tmp_path / "out")[0]) == 2
    assert len(run(system, tmp_path / "out")[0]) == 2
    (tmp_path / "out" / "made").mkdir()
    assert run(system, tmp_path / "out")[0] == []


def test_how_a_folder_is_written_and_how_many_workers_there_are_decides_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    step = Step("eyeline-curate run x --root {root} --out {out}/set --workers {workers}")
    places = Place(Path("data"), Path("out")), Place(tmp_path / "data", tmp_path / "out", 8)
    assert len({step.key(place) for place in places}) == 1
    made = [Place(out / "sample", out, is_sample=True) for out in (Path("out"), tmp_path / "out")]
    others = *made, Place(Path("others"), Path("out"))
    assert len({step.key(place) for place in (*places, *others)}) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "expected the record of a recipe"),
        ("[]", "expected the record of a recipe"),
        (
            '{"recipe": "drivers", "done": {}, "begun": null}',
            "expected a new folder or one of the recipe fer2013 (found one",
        ),
    ],
)
def test_a_folder_of_another_recipe_is_refused_and_nothing_is_written(text, said, tmp_path, capsys):
    (tmp_path / RECORD).write_text(text)
    assert main(["recipes", "fer2013", "--sample", "--out", str(tmp_path)]) in (1, 2)
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]


def test_two_runs_into_one_folder_are_refused(tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(EyelineError, match="expected no other recipe at work here"):
        run(system_of(LIST), tmp_path / "out")


def test_folders_with_blanks_reach_the_commands_whole(tmp_path):
    place = Place(tmp_path / "my data", tmp_path / "my runs", 3)
    command = Step("eyeline-curate run x --root {root} --out {out}/set --workers {workers}").command(place)
    assert shlex.split(command)[4:] == [str(tmp_path / "my data"), "--out", f"{tmp_path}/my runs/set", "--workers", "3"]


def test_what_the_made_set_asks_for_is_added_on_it_alone(tmp_path):
    step = Step("eyeline-train fit", sample="--trainer.max_epochs 1")
    assert step.command(Place(tmp_path, tmp_path)) == "eyeline-train fit"
    assert step.command(Place(tmp_path, tmp_path, is_sample=True)) == "eyeline-train fit --trainer.max_epochs 1"


@pytest.mark.parametrize("name", [name for name in system_names() if load_system(name).sample])
def test_without_its_data_a_recipe_says_where_they_must_lie_and_offers_the_made_set(name, tmp_path, capsys):
    assert main(["recipes", name, "--root", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    homepages = {load_dataset(table).homepage for table in load_system(name).data}
    assert any(f"ask for it at {homepage}" in error for homepage in homepages)
    assert error.endswith("on a small made set: --sample")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", system_names())
def test_every_step_names_recipes_and_tables_that_exist(name, capsys):
    system = load_system(name)
    assert set(system.data) <= set(registry_tables())
    for step in system.steps:
        words = shlex.split(step.command(Place(Path("data"), Path("out"), is_sample=True)))
        assert words[0] in {"eyeline-align", "eyeline-curate", "eyeline-train"}
        if words[:2] == ["eyeline-curate", "run"]:
            assert words[2] in system.data
        if "--config" in words:
            assert words[words.index("--config") + 1] in recipe_names()
        quoted = shlex.split(step.command(Place(Path("data"), Path("out"), is_sample=True)), posix=False)
        assert not [
            word for word in quoted if set(word) & set("[]{}*?~$") and word[0] != "'"
        ]  # zsh takes them for files
    assert main(["recipes", name, "--dry_run"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(system.steps)


def test_the_commands_on_a_made_set_that_is_not_there_are_shown_with_a_word_on_it(tmp_path, capsys):
    assert main(["recipes", "fer2013", "--sample", "--dry_run", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert f"--root {tmp_path}/sample" in shown.out
    assert f"{tmp_path}/sample is not there yet" in shown.err
    assert not list(tmp_path.iterdir())


def test_the_list_says_what_each_reproduces_and_which_data_it_needs(capsys):
    assert main(["recipes", "--json"]) == 0
    listed = {row["recipe"]: row for row in json.loads(capsys.readouterr().out)}
    assert sorted(listed) == system_names()
    assert "57.15" in listed["fer2013"]["source"]
    assert "fer2013-study" in listed["fer2013"]["data"]
    assert main(["recipes"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name}: {row['title']}" in text for name, row in listed.items())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["none"], "expected one of the recipes"),
        (["face_or_not", "--sample"], "leave --sample out"),
        (["fer2013", "--workers", "0"], "--workers must be an integer >= 1"),
        (
            ["fer2013", "--sample", "--root", "x"],
            "--root: expected none beside --sample, which makes its own data (got x)",
        ),
        (["fer2013", "--sample", "--out", __file__], "expected a folder for the recipe (found a file)"),
        (["face_or_not", "--root", "x"], "--root: face_or_not reads what Python packages ship; leave --root out"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(given, said, capsys):
    assert main(["recipes", *given]) == 2
    assert said in capsys.readouterr().err


SLOWLY_DRAWN = {"action_units"}
SAMPLES = sorted({load_system(name).sample for name in system_names()} - {None})


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOWLY_DRAWN)) for n in SAMPLES])
def test_a_made_set_is_the_same_at_each_making_and_left_as_it_is(name, tmp_path):
    (tmp_path / ".one").mkdir()
    (tmp_path / ".one" / "left over").touch()  # of a making that was killed
    make_sample(name, tmp_path / "one")
    make_sample(name, tmp_path / "two")
    one, two = (sorted(p for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("one", "two"))
    assert [p.relative_to(tmp_path / "one") for p in one] == [p.relative_to(tmp_path / "two") for p in two]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))
    one[0].write_bytes(b"mine")
    make_sample(name, tmp_path / "one")
    assert one[0].read_bytes() == b"mine"


def children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_killed_recipe_takes_its_training_along_and_goes_on_from_its_last_epoch(faces_set, tmp_path):
    fit = f"eyeline-train fit --data.root {shlex.quote(str(faces_set))} --trainer.default_root_dir {{out}}/model"
    fit += " --trainer.max_epochs 12 --model.finetune.freeze none --model.backbone.name test_resnet"
    fit += " --model.backbone.weights none --model.backbone.size_px 48 --data.batch_size 8 --trainer.accelerator cpu"
    code = (
        "import sys; from pathlib import Path; from train.recipes.runner import carry_out;"
        "from train.recipes.systems import *;"
        f"place = Place(Path(), Path({str(tmp_path / 'out')!r}));"
        f"list(carry_out(System('made', '', '', (), (Step({fit!r}),)), place, print, sys.stderr))"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = tmp_path / "out" / "model" / "checkpoints" / "last.ckpt"
    while not last.is_file():
        assert running.poll() is None
        time.sleep(0.05)
    (training,) = children_of(running.pid)
    running.kill()  # it alone, as the kernel does where memory runs out
    running.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{training}").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{training}").is_dir()
    assert runner._resumed(tmp_path / "out" / "model", goes_on=True) == ["--ckpt_path", str(last)]
    epochs = read_checkpoint(last).global_step // 3
    assert 1 <= epochs < 12
    told, done = run(system_of(fit), tmp_path / "out")
    assert (len(told), len(done)) == (1, 1)
    assert "fit-from-step-" in (tmp_path / "printed").read_text()


def test_people_are_found_by_the_detector_and_each_is_someone_else():
    drawn = [portraits.Person(seed).draw({}) for seed in range(6)]
    for picture in drawn:
        (face,) = find_faces(picture)
        assert np.allclose([face.eyes.left, face.eyes.right], portraits.EYES, atol=8)
    assert np.array_equal(drawn[0], portraits.Person(0).draw({}))
    assert min(np.abs(a.astype(int) - b).mean() for i, a in enumerate(drawn) for b in drawn[:i]) > 5


@pytest.mark.parametrize(("unit", "way"), [(1, -1), (2, -1), (4, 1), (6, -1), (9, -1), (12, -1), (15, 1), (26, 1)])
def test_an_action_unit_moves_what_it_is_named_for(unit, way):
    x, y, *_ = portraits.UNITS[unit][-1]
    distance = portraits.EYES[1, 0] - portraits.EYES[0, 0]
    at = portraits.EYES.mean(0) + distance * np.array([x, y])
    dots = np.zeros((portraits.HEIGHT, portraits.WIDTH), np.float32)
    cv2.circle(dots, tuple(map(round, at)), 3, 255, -1)
    moved = cv2.remap(dots, *portraits._sources(list(portraits.UNITS[unit])), cv2.INTER_LINEAR)
    assert way * (np.average(np.arange(portraits.HEIGHT), weights=moved.sum(1)) - at[1]) > 0.04 * distance


def test_a_photograph_that_is_not_there_says_what_to_install(monkeypatch):
    portraits._photo.cache_clear()
    monkeypatch.setattr(portraits, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'eyeline\[demo\]'"):
        portraits.Person(0).draw({})
    portraits._photo.cache_clear()
