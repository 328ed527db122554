"""README and the docs say what is true: their commands parse, their code runs, their links and reference hold."""

import contextlib
import functools
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import align.cli
import curate.cli
import train.cli
from curate.registry import load_dataset
from tests.videos import shorten

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "docs" / "reference"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
WRITTEN = [page for page in PAGES if GENERATED not in page.parents]
SHELL = r"^(?:    )?((?:eyeline-|make |pip )\S.*?)(?:\s+#.*)?$"


def commands_of(page: Path) -> list[str]:
    """Every shell command of a page: lines of fenced sh blocks, indented lines, and code spans that start a command."""
    text = page.read_text()
    spans = re.findall(r"`(eyeline-\w+ \w+ [^`]+)`", text)
    return [*re.findall(SHELL, text, flags=re.MULTILINE), *spans]


def demo_commands() -> list[str]:
    """The commands that make demo runs, in order."""
    recipe = re.search(r"^demo: \$\(STAMP\)\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert recipe is not None
    return [line.strip() for line in recipe[1].splitlines()]


def test_the_demo_runs_exactly_what_readme_shows() -> None:
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert block is not None
    assert block[1].strip().splitlines() == demo_commands()


@functools.cache
def training_help(subcommand: str) -> str:
    """What `eyeline-train SUBCOMMAND --help` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as ended:
        train.cli.main([subcommand, "--help"])
    assert ended.value.code == 0
    return printed.getvalue()


@pytest.mark.parametrize(
    "command", sorted({command for page in WRITTEN for command in commands_of(page) if command.startswith("eyeline-")})
)
def test_every_command_in_the_docs_exists(command: str) -> None:
    words = [word for word in shlex.split(command) if word not in {"...", "\\"}]
    if words[0] == "eyeline-train":
        for flag in (word.split("=")[0] for word in words if word.startswith("--")):
            assert flag in training_help(words[1]), flag
        return
    parser = {"eyeline-align": align.cli, "eyeline-curate": curate.cli}[words[0]].make_parser()
    assert parser.parse_args(words[1:]).subcommand == words[1]


def test_every_make_target_in_the_docs_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {command.split()[1] for page in WRITTEN for command in commands_of(page) if command.startswith("make ")}
    assert {"demo", "test", "lint"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_readmes_registry_is_valid(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert block is not None
    (tmp_path / "datasets.toml").write_text(block[1])
    assert load_dataset("drivers").sample.every == 5


def _readme_command(start: str) -> list[str]:
    (command,) = {command for command in commands_of(ROOT / "README.md") if command.startswith(start)}
    return shlex.split(command)


def test_readmes_commands_for_your_own_videos_and_photos_run(
    astronaut: np.ndarray, clips: Path, tmp_path: Path
) -> None:
    """The registry, the command and the Python of README, on a short clip laid out as they say."""
    readme = (ROOT / "README.md").read_text()
    shorten(clips / "carphone_pristine.mp4", tmp_path / "clips" / "anna" / "1.mp4", 12)
    (tmp_path / "labels.csv").write_text("source,start_s,end_s,label\nclips/anna/1.mp4,0,9,happy\n")
    (tmp_path / "datasets.toml").write_text(re.search(r"```toml\n(.*?)```", readme, flags=re.DOTALL)[1])
    done = subprocess.run(_readme_command("eyeline-curate run drivers"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names: dict[str, pd.DataFrame] = {}
    exec(re.search(r"```python\n(import curate.*?)```", readme, flags=re.DOTALL)[1], names)  # noqa: S102
    assert set(names["rows"]["subject"]) == {"anna"}
    assert set(names["kept"]["label"]) == {"happy"}
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut).save(tmp_path / "photos" / "a.png")
    done = subprocess.run(_readme_command("eyeline-align run photos"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "aligned").glob("*.png"))) == 1


def test_the_commands_and_the_python_of_the_align_page_run(astronaut: np.ndarray, tmp_path: Path) -> None:
    """Every command that needs no network and no fetched model, on a folder laid out as the page says."""
    page = (ROOT / "docs" / "how-to" / "align.md").read_text()
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name in ("photos/more/b.jpg", "a.jpg", "b.png", "photo.jpg"):
        Image.fromarray(astronaut).save(tmp_path / name)
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL))
    lines = [line for line in blocks.splitlines() if "fetch" not in line and "yunet" not in line]
    assert len(lines) >= 5
    for number, line in enumerate(lines):
        command = re.sub(r"\s+#.*", "", line).replace("aligned/", f"aligned{number}/")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
        if "run" in command:
            assert list((tmp_path / f"aligned{number}").glob("*.png")), command
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names := {})  # noqa: S102  the page's own lines
        assert names["crop"].image.shape == (112, 112, 3)


def test_readmes_python_runs(astronaut: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(astronaut).save(tmp_path / "photo.jpg", quality=95)
    code = next(
        c for c in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL) if "crop" in c
    )
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102  the README's own lines
    assert names["crop"].image.shape == (224, 224, 3)
