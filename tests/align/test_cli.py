import io
import json
import os
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from align import load_image
from align.cli import main, make_parser


@pytest.fixture
def folder(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """Two photos of one name in two folders, a picture without a face, and a file that is none."""
    root = tmp_path / "photos"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        Image.fromarray(astronaut).save(root / name / "photo.png")
    Image.effect_noise((200, 200), 30).save(root / "noise.png")
    (root / "broken.jpg").write_text("no picture")
    return root


Done = subprocess.CompletedProcess[str]


def _as_typed(*arguments: str, stdin: bytes | None = None) -> Done:
    """Run the command in a process of its own."""
    done = subprocess.run(["eyeline-align", "run", *arguments], capture_output=True, input=stdin, check=False)
    assert b"Traceback" not in done.stderr
    return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _run(*arguments: str) -> Done:
    """Run the command in this process, which has loaded what it needs; its worker is one of its own."""
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as said:
        code = main(["run", *arguments])
    assert "Traceback" not in said.getvalue()
    return Done(arguments, code, printed.getvalue(), said.getvalue())


def _rows(out: str = "out") -> list[dict]:
    return pq.read_table(Path(out) / "faces.parquet").to_pylist()


def test_run_as_a_user_types_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _as_typed(str(folder), "--out", str(out), "--size", "112", "--workers", "2", "--json")
    assert done.returncode == 3, done.stderr
    result = json.loads(done.stdout)
    assert result["pictures"] == 4
    assert result["outcomes"] == {"aligned": 2, "corrupt": 1, "no_face": 1}
    assert (result["kept"], result["removed"]) == (0, 0)
    assert result["pictures_per_s"] > 0
    rows = pq.read_table(out / "faces.parquet").to_pandas()
    assert len(rows) == 4
    crops = rows["crop"].dropna()
    assert crops.nunique() == 2
    for name in crops:
        assert load_image(out / name).shape == (112, 112, 3)
    assert "broken.jpg" in rows.loc[rows["drop_reason"] == "corrupt", "error"].iloc[0]
    assert "broken.jpg" in done.stderr


def test_running_again_gives_the_same_bytes_and_says_what_was_kept(folder: Path, tmp_path: Path) -> None:
    def snapshot() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in sorted((tmp_path / "out").iterdir())}

    command = [str(folder), "--out", str(tmp_path / "out")]
    assert _run(*command).returncode == 3
    first = snapshot()
    again = _run(*command)
    assert again.returncode == 3
    assert "3 pictures kept from an earlier run, " in again.stdout
    assert "aligned" in again.stdout
    assert snapshot() == first
    assert len(first) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.jpg"], "missing.jpg: expected a picture or a folder (no such file)"),
        (["empty"], "empty: expected a folder with pictures (found none)"),
        (["*.jpg"], "*.jpg: expected a pattern that matches pictures (matches none)"),
        ([], "expected the paths of pictures (found none)"),
        (["photo.png", "--size", "3"], "size must be"),
        (
            ["photo.png", "--size", "12x"],
            "--size must be a number of pixels or WIDTHxHEIGHT such as 96x128 (got '12x')",
        ),
        (["photo.png", "--workers", "0"], "--workers must be 1 or more (got 0)"),
        (["photo.png", "--gates.min_sharpness=-1"], "min_sharpness must be a number >= 0 (got -1.0)"),
        (["photo.png", "--out", "photo.png/out"], "photo.png/out: expected a folder that can be written"),
        (["photo.png", "--out", "/proc/out"], "/proc/out: expected a folder that can be written"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], astronaut: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    Image.fromarray(astronaut).save("photo.png")
    assert main(["run", "--out", "out", *arguments]) == 2
    error = [line for line in capsys.readouterr().err.strip().splitlines() if not line.startswith("pictures ")]
    assert len(error) == 1
    assert sentence in error[0]
    assert not Path("out").exists()


def test_nothing_readable_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    assert main(["run", "a.jpg", "--out", "out", "--json"]) == 1


def test_bad_input_is_recorded_each_in_its_own_sentence(astronaut: np.ndarray) -> None:
    Image.fromarray(astronaut).save("good.jpg")
    Image.fromarray(astronaut).save("good.png")
    for name in ("good.jpg", "good.png"):
        content = Path(name).read_bytes()
        Path(f"cut{Path(name).suffix}").write_bytes(content[: len(content) // 2])
    Path("zero.jpg").touch()
    Path("text.jpg").write_text("text")
    Image.new("1", (20_000, 20_000)).save("bomb.png")
    Path("gone.png").symlink_to("nowhere.png")
    Path("folder.jpg").mkdir()
    os.mkfifo("pipe.jpg")
    done = _run(".", "--out", "out", "--faces", "largest", "--json")
    assert done.returncode == 3
    found = {row["path"]: row["error"] for row in _rows() if row["drop_reason"] == "corrupt"}
    assert sorted(found) == ["bomb.png", "cut.jpg", "cut.png", "gone.png", "pipe.jpg", "text.jpg", "zero.jpg"]
    assert "178,000,000 pixels" in found["bomb.png"]
    for name, sentence in found.items():
        assert sentence.startswith(f"{name}: expected ")
        assert f"failed: {sentence}\n" in done.stderr
    assert json.loads(done.stdout)["failed"] == [row["error"] for row in _rows() if row["error"]]


def test_only_the_first_failures_are_listed(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for number in range(13):
        (tmp_path / "p" / f"{number}.jpg").touch()
    done = _run("p", "--out", "out")
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 11
    assert failed[0].startswith("failed: p/0.jpg")
    assert failed[-1] == "failed: and 3 more; see out/faces.parquet"


def test_paths_come_from_stdin_with_names_of_any_bytes(astronaut: np.ndarray) -> None:
    names = [b"two\nlines.png", b"caf\xe9.png"]
    for name in names:
        Image.fromarray(astronaut[:256, 100:356]).save(os.fsdecode(name))
    done = _as_typed("-", "--null", "--out", "out", "--json", stdin=b"\0".join(names))
    assert done.returncode == 0, done.stderr
    assert [row["path"] for row in _rows()] == ["two\nlines.png", "caf\\xe9.png"]
    assert _as_typed(os.fsdecode(names[0]), "-", "-0", "--out", "out", stdin=names[1]).returncode == 0
    assert _as_typed("-", "--out", "none", stdin=b"").returncode == 2


def test_options_come_from_a_file_and_flags_win(astronaut: np.ndarray) -> None:
    Image.fromarray(astronaut).save("photo.png")
    Path("job.yaml").write_text(
        "paths: [photo.png]\nout: out\nsize: 80\nfaces: largest\ngates: {min_sharpness: 1.0e+9, min_contrast: null}\n"
    )
    assert _run("--config", "job.yaml", "--json").returncode == 0
    assert [row["drop_reason"] for row in _rows()] == ["blurred"]
    assert _run("--config", "job.yaml", "--gates.min_sharpness", "1", "--template", "arcface").returncode == 0
    (row,) = _rows()
    assert load_image(f"out/{row['crop']}").shape == (80, 80, 3)
    printed = _as_typed("photo.png", "--out", "out", "--size", "96x128", "--print_config").stdout
    Path("printed.yaml").write_text(printed)
    assert make_parser().parse_args(["run", "--config", "printed.yaml"]).run.size == "96x128"


def test_what_lies_in_out_is_told_and_not_read(astronaut: np.ndarray) -> None:
    Image.fromarray(astronaut).save("photo.png")
    assert _run(".", "--out", "out").returncode == 0
    done = _run("**/*.png", "--out", "out", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["kept"] == 1
    assert "not read, because they lie in out: 1" in done.stderr


def test_models_is_a_subcommand() -> None:
    done = subprocess.run(["eyeline-align", "models", "list", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "shape_predictor_5_face_landmarks.dat" in done.stdout


def test_real_photos_give_a_crop_each(photos: Path) -> None:
    done = _run(str(photos / "canada" / "00*.jpg"), "--out", "out", "--size", "64", "--faces", "largest", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["outcomes"] == {"aligned": result["pictures"]}
    assert result["pictures"] >= 2
