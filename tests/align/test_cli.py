import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from align import load_image
from align.cli import main


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


def test_run_as_a_user_types_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        ["eyeline-align", "run", str(folder), "--out", str(out), "--size", "112", "--workers", "2", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    result = json.loads(done.stdout)
    assert result["pictures"] == 4
    assert result["outcomes"] == {"aligned": 2, "corrupt": 1, "no_face": 1}
    rows = pq.read_table(out / "faces.parquet").to_pandas()
    assert len(rows) == 4
    crops = rows["crop"].dropna()
    assert crops.nunique() == 2
    for name in crops:
        assert load_image(out / name).shape == (112, 112, 3)
    assert "broken.jpg" in rows.loc[rows["drop_reason"] == "corrupt", "error"].iloc[0]
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_running_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    def snapshot() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in sorted((tmp_path / "out").iterdir())}

    command = ["run", str(folder), "--out", str(tmp_path / "out"), "--json"]
    assert main(command) == 3
    first = snapshot()
    assert main(command) == 3
    assert snapshot() == first
    assert len(first) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.jpg"], "missing.jpg: expected a picture or a folder (no such file)"),
        (["empty"], "empty: expected a folder with pictures (found none)"),
        (["photo.png", "--size", "3"], "size must be a whole number of pixels from 8 to 4096 (got 3)"),
        (["photo.png", "--workers", "0"], "--workers must be 1 or more (got 0)"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], astronaut: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    Image.fromarray(astronaut).save("photo.png")
    assert main(["run", *arguments, "--out", "out"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert sentence in error[0]


def test_nothing_readable_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    assert main(["run", "a.jpg", "--out", "out", "--json"]) == 1
