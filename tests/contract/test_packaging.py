"""What others rely on: light imports, import directions, commands, the shipped registry."""

import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "cv2", "av", "dlib", "matplotlib", "pytorch_lightning", "numba", "jsonargparse", "imagehash"}


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("statement", "light_of"),
    [
        ("import align", HEAVY),
        ("import curate, curate.manifest", HEAVY),
        ("import train", HEAVY),
        ("import align; align.load_image", HEAVY),
        ("import align; align.find_faces", HEAVY - {"cv2", "dlib"}),
        ("import curate.cli", HEAVY - {"cv2", "av", "jsonargparse", "numba"}),
    ],
)
def test_imports_are_light(statement: str, light_of: set[str]) -> None:
    assert not _loaded_by(statement) & light_of


def test_every_public_name_of_align_can_be_had() -> None:
    import align

    for name in align.__all__:
        assert getattr(align, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        align.no_such_name  # noqa: B018


def test_imports_go_one_way() -> None:
    done = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_dependency_carries_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    for dependency in wanted:
        line = next(line for line in text.splitlines() if f'"{dependency}"' in line)
        assert "#" in line, line


@pytest.mark.parametrize("command", ["eyeline-align", "eyeline-curate", "eyeline-train"])
def test_every_command_has_help_and_refuses_wrong_usage(command: str) -> None:
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert command in done.stdout
    wrong = subprocess.run([command, "no-such-subcommand"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_the_benchmarks_list_themselves(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "benchmarks" / "__main__.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "python -m benchmarks hashing: " in capsys.readouterr().out


def test_the_wheel_carries_the_registry_the_page_and_the_recipes(tmp_path: Path) -> None:
    import zipfile

    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(built).namelist())
    assert {"curate/datasets.toml", "train/recipes/face_or_not.yaml", "align/cli.py"} <= names
    assert any(name.endswith(".jinja") for name in names)
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/")) for name in names)
